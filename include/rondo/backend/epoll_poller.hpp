// SPDX-License-Identifier: BSL-1.0
#pragma once
// Readiness from epoll(7). The kernel writes its events straight into the caller's span, an Event
// is a struct epoll_event seen through two functions, and nothing is kept in user space: compiled,
// this is the loop that one would write by hand.
//
// Level-triggered unless asked otherwise. It refuses to know what a descriptor was asked for
// before, to merge changes, and to use EPOLLEXCLUSIVE.

#include <rondo/backend/poller.hpp>
#include <rondo/config/platform.hpp>
#include <rondo/core/result.hpp>
#include <rondo/core/time.hpp>
#include <rondo/os/clock.hpp>
#include <rondo/os/fd.hpp>
#include <rondo/os/posix_sockets.hpp>
#include <rondo/os/posix_system.hpp>
#include <rondo/os/wake_channel.hpp>

#if RONDO_HAS_EPOLL

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// One event, as the kernel wrote it.
class EpollEvent {
public:
    // In halves, as they are needed: a whole would be taken apart again for each event.
    Token token() const noexcept {
        const auto* const data = reinterpret_cast<const char*>(&native_.data);
        int fd = 0;
        uint32_t generation = 0;
        memcpy(&fd, data, sizeof fd);
        memcpy(&generation, data + sizeof fd, sizeof generation);
        return {fd, generation};
    }

    /// EPOLLIN, PRI, OUT, ERR and HUP are Readiness's own bits; EPOLLRDHUP is moved into place. The
    /// kernel reports no other bits than those, because no others are asked for.
    Readiness readiness() const noexcept {
        return static_cast<Readiness>(native_.events | (native_.events >> 8));
    }

private:
    epoll_event native_{};
};

static_assert(sizeof(EpollEvent) == sizeof(epoll_event), "wait() hands its span to the kernel");
static_assert(EPOLLIN == static_cast<int>(Readiness::readable) &&
              EPOLLPRI == static_cast<int>(Readiness::priority) &&
              EPOLLOUT == static_cast<int>(Readiness::writable) &&
              EPOLLERR == static_cast<int>(Readiness::error) &&
              EPOLLHUP == static_cast<int>(Readiness::hangup) &&
              EPOLLRDHUP >> 8 == static_cast<int>(Readiness::read_closed));
static_assert(EPOLLIN == static_cast<int>(Interest::read) &&
              EPOLLPRI == static_cast<int>(Interest::priority) &&
              EPOLLOUT == static_cast<int>(Interest::write));

/// A Poller on epoll(7), Linux 2.6.27 or newer; waits are exact to the nanosecond from Linux 5.11.
/// Threads: wake() from any thread; everything else from the loop's thread.
class EpollPoller {
public:
    using Event = EpollEvent;
    using Sockets = PosixSockets;
    using System = PosixSystem;

    static constexpr PollerTraits traits{.edge = true,
                                         .priority = true,
                                         .read_closed = true,
                                         .native_handle = true,
                                         .closing_removes = true};

    static constexpr const char* name() noexcept { return "epoll"; }

    [[gnu::cold]] static Result<EpollPoller> open() noexcept {
        auto wake = EventfdChannel::open();
        if (!wake) return wake.error();
        auto set = open_set(wake->fd());
        if (!set) return set.error();
        return EpollPoller(std::move(*set), std::move(*wake));
    }

    Result<void> add(int fd, Interest interest, Token token) noexcept {
        return control(EPOLL_CTL_ADD, fd, interest, token);
    }

    Result<void> modify(int fd, Interest, Interest to, Token token) noexcept {
        return control(EPOLL_CTL_MOD, fd, to, token);
    }

    Result<void> remove(int fd, Interest) noexcept {
        return control(EPOLL_CTL_DEL, fd, Interest::none, Token::wake_up());
    }

    /// Cost: one system call; a finite deadline also reads the clock once.
    Result<size_t> wait(std::span<Event> out, Instant deadline) noexcept {
        int count = 0;
        if (set_.get() < 0) [[unlikely]]
            return Error(EBADF, "epoll_wait");
        if (deadline == Instant::max()) {
            count = wait_milliseconds(out, -1);
        } else if (deadline == Instant::min()) {
            count = wait_milliseconds(out, 0);
        } else {
            count = wait_until(out, deadline);
        }
        if (count >= 0) [[likely]]
            return static_cast<size_t>(count);
        if (errno == EINTR) return size_t{0};
        return Error(errno, "epoll_wait");
    }

    void wake() noexcept { wake_.wake(); }

    Instant now() const noexcept { return monotonic_now(); }

    PosixSockets& sockets() noexcept { return sockets_; }
    PosixSystem& system() noexcept { return system_; }

    /// Readable when wait() would have something to report. It keeps its number across reopen(),
    /// but is then another open file: a foreign epoll set has to be given it again, poll(2) notices
    /// nothing.
    int native_handle() const noexcept { return set_.get(); }

    /// Errors: on failure the set is as before.
    [[gnu::cold]] Result<void> reopen() noexcept {
        if (set_.get() < 0) return Error(EBADF, "epoll_create1");
        auto fresh = open_set(wake_.fd());
        if (!fresh) return fresh.error();
        if (dup3(fresh->get(), set_.get(), O_CLOEXEC) < 0) return Error(errno, "dup3");
        return {};
    }

    /// Closes this process's descriptors. The set itself lives on in the parent, unchanged: it is a
    /// set of open files, and close(2) takes nothing out of it while another process holds it.
    [[gnu::cold]] void abandon() noexcept {
        set_.reset();
        wake_.close();
        system_.abandon();
    }

private:
    EpollPoller(Fd set, EventfdChannel wake) noexcept
        : set_(std::move(set)), wake_(std::move(wake)) {}

    // The wake channel is edge-triggered and never drained: every write to an eventfd wakes the
    // waiters of its poll queue, also while its count is above zero (eventfd_write() in the
    // kernel's fs/eventfd.c), and epoll queues an edge-triggered file at each such call. That saves
    // a read per wake-up; the count would take 584 years of one write per nanosecond to fill.
    [[gnu::cold]] static Result<Fd> open_set(int wake_fd) noexcept {
        Fd set(epoll_create1(EPOLL_CLOEXEC));
        if (set.get() < 0) return Error(errno, "epoll_create1");
        epoll_event event{};
        event.events = EPOLLIN | EPOLLET;
        event.data.u64 = Token::wake_up().bits();
        if (epoll_ctl(set.get(), EPOLL_CTL_ADD, wake_fd, &event) != 0) {
            return Error::on_fd(errno, "epoll_ctl", wake_fd);
        }
        return set;
    }

    // EPOLLERR and EPOLLHUP can't be switched off (epoll_ctl(2)); without a direction they would be
    // reported by every wait. One-shot, they are reported once, and to nobody.
    static epoll_event native(Interest interest, Token token) noexcept {
        epoll_event event{};
        if (directions(interest) == Interest::none) {
            event.events = EPOLLONESHOT;
            event.data.u64 = Token::wake_up().bits();
            return event;
        }
        event.events = static_cast<uint32_t>(directions(interest));
        if (any(interest, Interest::read)) event.events |= EPOLLRDHUP;
        if (any(interest, Interest::edge)) event.events |= static_cast<uint32_t>(EPOLLET);
        if (any(interest, Interest::oneshot)) event.events |= static_cast<uint32_t>(EPOLLONESHOT);
        const uint32_t halves[] = {static_cast<uint32_t>(token.fd()), token.generation()};
        memcpy(&event.data, halves, sizeof halves);
        return event;
    }

    [[gnu::noinline]] Result<void> control(int operation, int fd, Interest interest,
                                           Token token) noexcept {
        epoll_event event = native(interest, token);
        if (set_.get() < 0) return Error::on_fd(EBADF, "epoll_ctl", fd);
        if (epoll_ctl(set_.get(), operation, fd, &event) == 0) [[likely]]
            return {};
        return Error::on_fd(errno, "epoll_ctl", fd);
    }

    static epoll_event* events(std::span<Event> out) noexcept {
        return reinterpret_cast<epoll_event*>(out.data());
    }

    int wait_milliseconds(std::span<Event> out, int timeout) noexcept {
        return epoll_wait(set_.get(), events(out), static_cast<int>(out.size()), timeout);
    }

    [[gnu::noinline]] int wait_until(std::span<Event> out, Instant deadline) noexcept {
        const Duration left = deadline - now();
        if (left <= Duration()) return wait_milliseconds(out, 0);
#ifdef SYS_epoll_pwait2
        if (exact_) {
            const int count = wait_nanoseconds(out, left);
            // ENOSYS before Linux 5.11 and under valgrind; EPERM from old container filters.
            if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
            exact_ = false;
        }
#endif
        const int64_t timeout = left.ms_rounded_up();
        return wait_milliseconds(out, timeout < INT_MAX ? static_cast<int>(timeout) : INT_MAX);
    }

#ifdef SYS_epoll_pwait2
    // By number: the C library's wrapper is younger than the call (glibc 2.35). The kernel's
    // timespec is 64 bits wide everywhere.
    int wait_nanoseconds(std::span<Event> out, Duration left) noexcept {
        const struct {
            int64_t seconds, nanoseconds;
        } timeout{left.ns() / 1'000'000'000, left.ns() % 1'000'000'000};
        return static_cast<int>(syscall(SYS_epoll_pwait2, set_.get(), events(out),
                                        static_cast<int>(out.size()), &timeout, nullptr,
                                        size_t{0}));
    }
    bool exact_ = true;
#endif

    Fd set_;
    EventfdChannel wake_;
    [[no_unique_address]] PosixSockets sockets_;
    PosixSystem system_;
};

static_assert(Poller<EpollPoller> && HasNativeHandle<EpollPoller>);

}  // namespace rondo::inline RONDO_ABI

#endif  // RONDO_HAS_EPOLL
