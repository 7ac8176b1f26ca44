// SPDX-License-Identifier: BSL-1.0
#pragma once
// Readiness from poll(2), for every Unix. The array that the kernel reads is dense; a table by
// descriptor finds an entry in it. A descriptor that nobody wants to hear from stays in its place
// with its number complemented, which poll(2) skips, hang-ups included.
//
// The cost of a wait grows with the number of descriptors. It refuses edge-triggered interest;
// one-shot is emulated by complementing the number.

#include <rondo/backend/poller.hpp>
#include <rondo/config/platform.hpp>
#include <rondo/core/array.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/os/clock.hpp>
#include <rondo/os/posix_sockets.hpp>
#include <rondo/os/posix_system.hpp>
#include <rondo/os/wake_channel.hpp>

#if RONDO_HAS_POLL

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// One event: an entry of the array that was found ready.
class PollEvent {
public:
    PollEvent() noexcept = default;
    PollEvent(Token token, short native) noexcept : token_(token), native_(native) {}

    Token token() const noexcept { return token_; }

    /// POLLIN, PRI, OUT, ERR and HUP are Readiness's own bits. POLLNVAL, a descriptor that was
    /// closed without remove, is an error.
    Readiness readiness() const noexcept {
        Readiness result = static_cast<Readiness>(native_ & 0x1f);
        if ((native_ & read_closed) != 0) result |= Readiness::read_closed;
        if ((native_ & POLLNVAL) != 0) result |= Readiness::error;
        return result;
    }

    /// The kernel's bit for a peer that has finished sending; 0 where it has none.
#ifdef POLLRDHUP
    static constexpr short read_closed = POLLRDHUP;
#else
    static constexpr short read_closed = 0;
#endif

private:
    Token token_;
    short native_ = 0;
};

static_assert(POLLIN == static_cast<int>(Readiness::readable) &&
              POLLPRI == static_cast<int>(Readiness::priority) &&
              POLLOUT == static_cast<int>(Readiness::writable) &&
              POLLERR == static_cast<int>(Readiness::error) &&
              POLLHUP == static_cast<int>(Readiness::hangup));

/// A Poller on poll(2); waits are exact to the nanosecond where there is ppoll(2).
/// Threads: wake() from any thread; everything else from the loop's thread.
template <Memory M>
class BasicPollPoller {
public:
    using Event = PollEvent;
    using Sockets = PosixSockets;
    using System = PosixSystem;

    static constexpr PollerTraits traits{
        .priority = true, .read_closed = PollEvent::read_closed != 0, .files_always_ready = true};

    static constexpr const char* name() noexcept { return "poll"; }

    static Result<BasicPollPoller> open() noexcept {
        auto wake = WakeChannel::open();
        if (!wake) return wake.error();
        BasicPollPoller poller(std::move(*wake));
        if (!poller.reserve(0, 1)) return Error(ENOMEM, "poll");
        poller.empty();
        return poller;
    }

    /// Errors: ENOMEM too, with everything as before. poll(2) itself would not tell a descriptor
    /// that isn't open until it is waited for, so this asks fcntl(2).
    Result<void> add(int fd, Interest interest, Token token) noexcept {
        if (any(interest, Interest::edge)) return failed(ENOTSUP, fd);
        if (wake_.fd() < 0 || fd < 0 || fcntl(fd, F_GETFD) < 0) return failed(EBADF, fd);
        if (find(fd) != 0) return failed(EEXIST, fd);
        const auto index = static_cast<size_t>(fd);
        if (!reserve(index + 1, fds_.size() + 1)) return failed(ENOMEM, fd);
        if (places_.size() <= index) places_.resize(index + 1);
        places_[index] = static_cast<uint32_t>(fds_.size());
        append(native(fd, interest), {token, any(interest, Interest::oneshot)});
        return {};
    }

    Result<void> modify(int fd, Interest, Interest to, Token token) noexcept {
        const size_t place = find(fd);
        if (place == 0) return failed(fd < 0 ? EBADF : ENOENT, fd);
        fds_[place] = native(fd, to);
        owners_[place].token = token;
        return {};
    }

    Result<void> remove(int fd, Interest) noexcept {
        const size_t place = find(fd);
        if (place == 0) return failed(fd < 0 ? EBADF : ENOENT, fd);
        const size_t last = fds_.size() - 1;
        places_[static_cast<size_t>(number(fds_[last]))] = static_cast<uint32_t>(place);
        places_[static_cast<size_t>(fd)] = 0;
        fds_[place] = fds_[last];
        owners_[place] = owners_[last];
        fds_.resize(last);
        owners_.resize(last);
        return {};
    }

    /// Cost: one system call; a finite deadline also reads the clock once.
    Result<size_t> wait(std::span<Event> out, Instant deadline) noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "poll");
        int ready = ask(deadline);
        if (ready < 0) {
            if (errno == EINTR) return size_t{0};
            return Error(errno, "poll");
        }
        if (ready > 0 && fds_[0].revents != 0) {
            wake_.drain();
            --ready;
        }
        return collect(out, ready);
    }

    void wake() noexcept { wake_.wake(); }
    Instant now() const noexcept { return monotonic_now(); }
    PosixSockets& sockets() noexcept { return sockets_; }
    PosixSystem& system() noexcept { return system_; }

    /// There is no set in the kernel: this forgets the registrations.
    Result<void> reopen() noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "poll");
        empty();
        return {};
    }

    void abandon() noexcept {
        wake_.close();
        empty();
        system_.abandon();
    }

private:
    struct Owner {
        Token token;
        bool oneshot = false;
    };

    explicit BasicPollPoller(WakeChannel wake) noexcept : wake_(std::move(wake)) {}

    static Error failed(int code, int fd) noexcept { return Error::on_fd(code, "poll", fd); }

    static pollfd native(int fd, Interest interest) noexcept {
        pollfd entry{};
        entry.fd = directions(interest) == Interest::none ? ~fd : fd;
        entry.events = static_cast<short>(directions(interest));
        if (any(interest, Interest::read)) {
            entry.events = static_cast<short>(entry.events | PollEvent::read_closed);
        }
        return entry;
    }
    static int number(const pollfd& entry) noexcept { return entry.fd < 0 ? ~entry.fd : entry.fd; }

    // Where fds_ holds the descriptor; 0, the place of the wake channel, if it doesn't.
    size_t find(int fd) const noexcept {
        return static_cast<size_t>(fd) < places_.size() ? places_[static_cast<size_t>(fd)] : 0;
    }

    bool reserve(size_t numbers, size_t entries) noexcept {
        return places_.reserve(numbers) && fds_.reserve(entries) && owners_.reserve(entries);
    }

    // Needs room for one more.
    void append(const pollfd& entry, const Owner& owner) noexcept {
        fds_.push_back(entry);
        owners_.push_back(owner);
    }

    void empty() noexcept {
        places_.clear();
        fds_.clear();
        owners_.clear();
        append(native(wake_.fd(), Interest::read), {Token::wake_up(), false});
    }

    int ask(Instant deadline) noexcept {
        const auto count = static_cast<nfds_t>(fds_.size());
        if (deadline == Instant::max()) return poll(fds_.data(), count, -1);
        if (deadline == Instant::min()) return poll(fds_.data(), count, 0);
        const Duration left = deadline - now();
        if (left <= Duration()) return poll(fds_.data(), count, 0);
#if RONDO_HAS_PPOLL
        const timespec timeout = wait_timespec(left);
        return ppoll(fds_.data(), count, &timeout, nullptr);
#else
        const int64_t timeout = left.ms_rounded_up();
        return poll(fds_.data(), count, timeout < INT_MAX ? static_cast<int>(timeout) : INT_MAX);
#endif
    }

    // Starts where the last full batch ended, so that low entries don't starve high ones.
    size_t collect(std::span<Event> out, int ready) noexcept {
        size_t count = 0;
        for (size_t left = fds_.size() - 1; left > 0 && ready > 0 && count < out.size(); --left) {
            if (next_ >= fds_.size()) next_ = 1;
            pollfd& entry = fds_[next_];
            const Owner& owner = owners_[next_++];
            if (entry.revents == 0) continue;
            out[count++] = PollEvent(owner.token, entry.revents);
            if (owner.oneshot) entry.fd = ~entry.fd;
            --ready;
        }
        return count;
    }

    WakeChannel wake_;
    Array<uint32_t, M> places_;  // by descriptor
    Array<pollfd, M> fds_;
    Array<Owner, M> owners_;  // beside fds_
    size_t next_ = 1;
    [[no_unique_address]] PosixSockets sockets_;
    PosixSystem system_;
};

using PollPoller = BasicPollPoller<Malloc>;

static_assert(Poller<PollPoller>);

}  // namespace rondo::inline RONDO_ABI

#endif  // RONDO_HAS_POLL
