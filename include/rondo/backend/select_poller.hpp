// SPDX-License-Identifier: BSL-1.0
#pragma once
// Readiness from select(2): the oldest way, for descriptors that no other call takes. Two bit sets
// say what is wanted; a table by descriptor holds the tokens.
//
// select(2) says "readable" or "writable" and nothing else: a hang-up is readable, an error is
// both. It refuses edge-triggered and priority interest (nobody who asks for priority alone could
// be told of a hang-up) and descriptors from FD_SETSIZE up, whose bits would be somebody else's
// memory.

#include <rondo/backend/poller.hpp>
#include <rondo/config/platform.hpp>
#include <rondo/core/array.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/os/clock.hpp>
#include <rondo/os/posix_sockets.hpp>
#include <rondo/os/posix_system.hpp>
#include <rondo/os/wake_channel.hpp>

#if RONDO_HAS_SELECT

#include <errno.h>
#include <fcntl.h>
#include <sys/select.h>

#include <utility>

namespace rondo::inline RONDO_ABI {

/// One event: a descriptor whose bit was found set.
class SelectEvent {
public:
    SelectEvent() noexcept = default;
    SelectEvent(Token token, Readiness readiness) noexcept : token_(token), readiness_(readiness) {}

    Token token() const noexcept { return token_; }
    Readiness readiness() const noexcept { return readiness_; }

private:
    Token token_;
    Readiness readiness_ = Readiness::none;
};

/// A Poller on pselect(2); waits are exact to the nanosecond.
/// Threads: wake() from any thread; everything else from the loop's thread.
template <Memory M>
class BasicSelectPoller {
public:
    using Event = SelectEvent;
    using Sockets = PosixSockets;
    using System = PosixSystem;

    static constexpr PollerTraits traits{.files_always_ready = true, .fd_limit = FD_SETSIZE};

    static constexpr const char* name() noexcept { return "select"; }

    /// Errors: ERANGE too, when so many descriptors are open that its own is beyond the limit.
    static Result<BasicSelectPoller> open() noexcept {
        auto wake = WakeChannel::open();
        if (!wake) return wake.error();
        if (wake->fd() >= FD_SETSIZE) return failed(ERANGE, wake->fd());
        return BasicSelectPoller(std::move(*wake));
    }

    /// Errors: ENOMEM too, with everything as before.
    Result<void> add(int fd, Interest interest, Token token) noexcept {
        if (any(interest, Interest::edge | Interest::priority)) return failed(ENOTSUP, fd);
        if (fd >= FD_SETSIZE) return failed(ERANGE, fd);
        if (wake_.fd() < 0 || fd < 0 || fcntl(fd, F_GETFD) < 0) return failed(EBADF, fd);
        if (find(fd) != nullptr) return failed(EEXIST, fd);
        const size_t size = static_cast<size_t>(fd) + 1;
        if (!owners_.reserve(size)) return failed(ENOMEM, fd);
        if (owners_.size() < size) owners_.resize(size);
        owners_[size - 1] = {token, true, any(interest, Interest::oneshot)};
        want(fd, interest);
        return {};
    }

    /// Errors: ENOTSUP too, for priority.
    Result<void> modify(int fd, Interest, Interest to, Token token) noexcept {
        Owner* const owner = find(fd);
        if (owner == nullptr) return failed(fd < 0 ? EBADF : ENOENT, fd);
        if (any(to, Interest::priority)) return failed(ENOTSUP, fd);
        owner->token = token;
        want(fd, to);
        return {};
    }

    Result<void> remove(int fd, Interest) noexcept {
        Owner* const owner = find(fd);
        if (owner == nullptr) return failed(fd < 0 ? EBADF : ENOENT, fd);
        want(fd, Interest::none);
        owner->present = false;
        size_t size = owners_.size();
        while (size > 0 && !owners_[size - 1].present) --size;
        owners_.resize(size);
        return {};
    }

    /// Cost: one system call; a finite deadline also reads the clock once.
    Result<size_t> wait(std::span<Event> out, Instant deadline) noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "select");
        FD_ZERO(&broken_);
        int ready = ask(deadline);
        if (ready < 0 && errno == EBADF) {
            find_broken();
            ready = ask(Instant::min());
        }
        if (ready < 0) {
            if (errno == EINTR) return size_t{0};
            return Error(errno, "select");
        }
        if (FD_ISSET(wake_.fd(), &readable_)) wake_.drain();
        return collect(out);
    }

    void wake() noexcept { wake_.wake(); }
    Instant now() const noexcept { return monotonic_now(); }
    PosixSockets& sockets() noexcept { return sockets_; }
    PosixSystem& system() noexcept { return system_; }

    /// There is no set in the kernel: this forgets the registrations.
    Result<void> reopen() noexcept {
        if (wake_.fd() < 0) return Error(EBADF, "select");
        empty();
        return {};
    }

    void abandon() noexcept {
        wake_.close();
        owners_.clear();
        system_.abandon();
    }

private:
    struct Owner {
        Token token;
        bool present = false;
        bool oneshot = false;
    };

    explicit BasicSelectPoller(WakeChannel wake) noexcept : wake_(std::move(wake)) { empty(); }

    static Error failed(int code, int fd) noexcept { return Error::on_fd(code, "select", fd); }

    Owner* find(int fd) noexcept {
        const auto at = static_cast<size_t>(fd);
        return at < owners_.size() && owners_[at].present ? &owners_[at] : nullptr;
    }

    void empty() noexcept {
        owners_.clear();
        FD_ZERO(&want_read_);
        FD_ZERO(&want_write_);
        FD_SET(wake_.fd(), &want_read_);
    }

    void want(int fd, Interest interest) noexcept {
        FD_CLR(fd, &want_read_);
        FD_CLR(fd, &want_write_);
        if (any(interest, Interest::read)) FD_SET(fd, &want_read_);
        if (any(interest, Interest::write)) FD_SET(fd, &want_write_);
    }

    int ask(Instant deadline) noexcept {
        timespec timeout{};
        if (deadline != Instant::max() && deadline != Instant::min()) {
            const Duration left = deadline - now();
            if (left > Duration()) timeout = wait_timespec(left);
        }
        readable_ = want_read_;
        writable_ = want_write_;
        for (int fd = 0; fd < count(); ++fd) {
            if (!FD_ISSET(fd, &broken_)) continue;
            FD_CLR(fd, &readable_);
            FD_CLR(fd, &writable_);
        }
        const int numbers = wake_.fd() < count() ? count() : wake_.fd() + 1;
        return pselect(numbers, &readable_, &writable_, nullptr,
                       deadline == Instant::max() ? nullptr : &timeout, nullptr);
    }

    // One closed descriptor makes the whole call fail with EBADF. Those are reported with an error,
    // and the others are asked without them.
    void find_broken() noexcept {
        for (int fd = 0; fd < count(); ++fd) {
            if (wanted(fd) && fcntl(fd, F_GETFD) < 0) FD_SET(fd, &broken_);
        }
    }

    bool wanted(int fd) const noexcept {
        return FD_ISSET(fd, &want_read_) || FD_ISSET(fd, &want_write_);
    }

    Readiness found(int fd) const noexcept {
        Readiness result = Readiness::none;
        if (FD_ISSET(fd, &readable_)) result |= Readiness::readable;
        if (FD_ISSET(fd, &writable_)) result |= Readiness::writable;
        if (FD_ISSET(fd, &broken_)) result |= Readiness::error;
        return result;
    }

    // Starts where the last full batch ended, so that low descriptors don't starve high ones.
    size_t collect(std::span<Event> out) noexcept {
        size_t filled = 0;
        for (int left = count(); left > 0 && filled < out.size(); --left) {
            if (next_ >= count()) next_ = 0;
            const int fd = next_++;
            const Readiness readiness = found(fd);
            const Owner* const owner = find(fd);
            if (readiness == Readiness::none || owner == nullptr) continue;
            out[filled++] = SelectEvent(owner->token, readiness);
            if (owner->oneshot) want(fd, Interest::none);
        }
        return filled;
    }

    int count() const noexcept { return static_cast<int>(owners_.size()); }

    WakeChannel wake_;
    Array<Owner, M> owners_;  // by descriptor
    fd_set want_read_;
    fd_set want_write_;
    fd_set readable_{};
    fd_set writable_{};
    fd_set broken_{};
    int next_ = 0;
    [[no_unique_address]] PosixSockets sockets_;
    PosixSystem system_;
};

using SelectPoller = BasicSelectPoller<Malloc>;

static_assert(Poller<SelectPoller>);

}  // namespace rondo::inline RONDO_ABI

#endif  // RONDO_HAS_SELECT
