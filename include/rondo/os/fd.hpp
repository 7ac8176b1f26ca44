// SPDX-License-Identifier: BSL-1.0
#pragma once
// Fd owns a kernel object that a poller or the system layer made for itself: an epoll instance, an
// eventfd, a pidfd. It closes it exactly once.
//
// It is not for users' sockets, which belong to a loop's handles and may not be real descriptors at
// all in a simulated world, and it refuses to report what close(2) says.

#include <errno.h>
#include <unistd.h>

#include <utility>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

namespace detail {

// Never repeated: after EINTR Linux has already released the number (close(2), "Dealing with error
// returns from close()"), so a second close would hit whoever got that number in between. errno
// stays, so that cleaning up doesn't hide the reason for it.
[[gnu::noinline]] inline void close_fd(int fd) noexcept {
    const int saved = errno;
    ::close(fd);
    errno = saved;
}

}  // namespace detail

/// The only owner of a descriptor, or of none (-1).
/// Threads: externally synchronised.
class Fd {
public:
    constexpr Fd() noexcept = default;
    /// Takes over `fd`; a negative number owns nothing.
    constexpr explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~Fd() { reset(); }

    constexpr int get() const noexcept { return fd_; }
    /// True if it owns a descriptor.
    constexpr explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Gives the descriptor to the caller without closing it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes what it owns and takes over `fd`, which must not be the descriptor that it owns
    /// already.
    void reset(int fd = -1) noexcept {
        const int old = std::exchange(fd_, fd);
        if (old >= 0) detail::close_fd(old);
    }

private:
    int fd_ = -1;
};

}  // namespace rondo::inline RONDO_ABI
