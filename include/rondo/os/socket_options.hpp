// SPDX-License-Identifier: BSL-1.0
#pragma once
// The options of a socket, each a function with a type instead of an int, a level and a length.
// Models SocketOptions of the poller's seam; PosixSockets inherits it.
//
// It refuses to remember or combine anything: one call is one option, and an error names it.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <rondo/core/error.hpp>
#include <rondo/core/result.hpp>
#include <rondo/core/socket_types.hpp>
#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI {

/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: the option and the descriptor, "set TCP_NODELAY fd 7: bad file descriptor".
class PosixSocketOptions {
public:
    /// Bind to a port whose old connections are still in TIME_WAIT.
    static Result<void> set_reuse_address(int fd, bool on) noexcept {
        return set(fd, SOL_SOCKET, SO_REUSEADDR, int{on}, "set SO_REUSEADDR");
    }

    /// Several sockets bind to one port; on Linux the kernel spreads connections over them.
    static Result<void> set_reuse_port(int fd, bool on) noexcept {
#ifdef SO_REUSEPORT
        return set(fd, SOL_SOCKET, SO_REUSEPORT, int{on}, "set SO_REUSEPORT");
#else
        return unsupported(fd, on, "set SO_REUSEPORT");
#endif
    }

    /// An IPv6 wildcard that leaves IPv4 alone. To be set before bind.
    static Result<void> set_v6_only(int fd, bool on) noexcept {
        return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, int{on}, "set IPV6_V6ONLY");
    }

    /// Small writes leave at once, without waiting for what is on its way (Nagle). Where
    /// `inherits_no_delay`, an accepted socket has it from the one that listens: Linux clones it.
    static Result<void> set_no_delay(int fd, bool on) noexcept {
        return set(fd, IPPROTO_TCP, TCP_NODELAY, int{on}, "set TCP_NODELAY");
    }
    static constexpr bool inherits_no_delay = RONDO_HAS_INHERITED_NO_DELAY;

    /// Probes an idle connection; a count of 0 turns the probes off. Times are rounded up to
    /// seconds. Linux takes 1 to 32767 seconds and a count up to 127 (else EINVAL). Where an
    /// interval or a count can't be set, the system's own stay.
    static Result<void> set_keep_alive(int fd, const KeepAlive& keep_alive) noexcept {
        const int on = keep_alive.count != 0 ? 1 : 0;
        if (on != 0) {
            // The numbers come first, so that a refused one doesn't leave probes at other times.
#if defined(TCP_KEEPIDLE)
            const auto idle =
                set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds_of(keep_alive.idle), "set TCP_KEEPIDLE");
            if (!idle) return idle;
#elif defined(TCP_KEEPALIVE)
            const auto idle = set(fd, IPPROTO_TCP, TCP_KEEPALIVE, seconds_of(keep_alive.idle),
                                  "set TCP_KEEPALIVE");
            if (!idle) return idle;
#endif
#if defined(TCP_KEEPINTVL)
            const auto interval = set(fd, IPPROTO_TCP, TCP_KEEPINTVL,
                                      seconds_of(keep_alive.interval), "set TCP_KEEPINTVL");
            if (!interval) return interval;
#endif
#if defined(TCP_KEEPCNT)
            const auto count =
                set(fd, IPPROTO_TCP, TCP_KEEPCNT, keep_alive.count, "set TCP_KEEPCNT");
            if (!count) return count;
#endif
        }
        return set(fd, SOL_SOCKET, SO_KEEPALIVE, on, "set SO_KEEPALIVE");
    }

    /// How long a blocking send may take; 0: for ever. Of no effect while the socket is
    /// non-blocking, which all of ours are: it is for a socket that is handed to blocking code.
    static Result<void> set_send_timeout(int fd, Duration timeout) noexcept {
        return set(fd, SOL_SOCKET, SO_SNDTIMEO, timeval_of(timeout), "set SO_SNDTIMEO");
    }

    /// How long a blocking receive may take; see set_send_timeout.
    static Result<void> set_receive_timeout(int fd, Duration timeout) noexcept {
        return set(fd, SOL_SOCKET, SO_RCVTIMEO, timeval_of(timeout), "set SO_RCVTIMEO");
    }

    /// Bytes; Linux doubles the number for its own use and clips it (socket(7)).
    static Result<void> set_send_buffer(int fd, int size) noexcept {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_SNDBUF", fd);
        return set(fd, SOL_SOCKET, SO_SNDBUF, size, "set SO_SNDBUF");
    }

    /// Bytes; see set_send_buffer. A listener's size is that of the connections it accepts.
    static Result<void> set_receive_buffer(int fd, int size) noexcept {
        if (size < 0) return Error::on_fd(EINVAL, "set SO_RCVBUF", fd);
        return set(fd, SOL_SOCKET, SO_RCVBUF, size, "set SO_RCVBUF");
    }

    /// Closing resets the connection: what is queued is thrown away and the peer reads ECONNRESET.
    static Result<void> set_linger_reset(int fd, bool on) noexcept {
        linger value{};
        value.l_onoff = on ? 1 : 0;
        return set(fd, SOL_SOCKET, SO_LINGER, value, "set SO_LINGER");
    }

    /// A number for firewall and routing rules. Linux wants CAP_NET_ADMIN; ENOTSUP where there is
    /// none.
    static Result<void> set_mark(int fd, uint32_t mark) noexcept {
#if defined(SO_MARK)
        return set(fd, SOL_SOCKET, SO_MARK, mark, "set SO_MARK");
#elif defined(SO_USER_COOKIE)
        return set(fd, SOL_SOCKET, SO_USER_COOKIE, mark, "set SO_USER_COOKIE");
#elif defined(SO_RTABLE)
        return set(fd, SOL_SOCKET, SO_RTABLE, mark, "set SO_RTABLE");
#else
        return unsupported(fd, mark != 0, "set mark");
#endif
    }

    /// Datagrams may be sent to a broadcast address (else EACCES).
    static Result<void> set_broadcast(int fd, bool on) noexcept {
        return set(fd, SOL_SOCKET, SO_BROADCAST, int{on}, "set SO_BROADCAST");
    }

    /// For a descriptor that comes from elsewhere; ours are non-blocking from birth. Mind that the
    /// flag belongs to the open file, which a terminal or an inherited pipe shares with other
    /// processes.
    static Result<void> set_non_blocking(int fd, bool on) noexcept {
        const int flags = fcntl(fd, F_GETFL);
        if (flags < 0) return Error::on_fd(errno, "fcntl F_GETFL", fd);
        const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted == flags || fcntl(fd, F_SETFL, wanted) == 0) return {};
        return Error::on_fd(errno, "fcntl F_SETFL", fd);
    }

    /// Whether it is a stream socket that listens.
    static Result<bool> listens(int fd) noexcept {
        int value = 0;
        socklen_t length = sizeof value;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) != 0) {
            return Error::on_fd(errno, "get SO_TYPE", fd);
        }
        if (value != SOCK_STREAM) return false;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) != 0) {
            return Error::on_fd(errno, "get SO_ACCEPTCONN", fd);
        }
        return value != 0;
    }

    /// The error that is pending on the socket, which this call takes away; 0: none. A descriptor
    /// that can't be asked answers with the reason for that, such as EBADF.
    static int error(int fd) noexcept {
        int code = 0;
        socklen_t length = sizeof code;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno;
    }

protected:
    template <class T>
    static Result<void> set(int fd, int level, int option, const T& value,
                            const char* call) noexcept {
        if (setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
        return Error::on_fd(errno, call, fd);
    }

    [[maybe_unused]] static Result<void> unsupported(int fd, bool asked,
                                                     const char* call) noexcept {
        if (!asked) return {};
        return Error::on_fd(ENOTSUP, call, fd);
    }

private:
    static int seconds_of(Duration duration) noexcept {
        const int64_t whole = (duration.ms_rounded_up() + 999) / 1000;
        return whole < INT_MAX ? static_cast<int>(whole) : INT_MAX;
    }

    static timeval timeval_of(Duration duration) noexcept {
        const int64_t us = duration.us_rounded_up();
        timeval value{};
        value.tv_sec = static_cast<decltype(value.tv_sec)>(us / 1'000'000);
        value.tv_usec = static_cast<decltype(value.tv_usec)>(us % 1'000'000);
        return value;
    }
};

}  // namespace rondo::inline RONDO_ABI
