// SPDX-License-Identifier: BSL-1.0
#pragma once
// The kernel's sockets, thinly: what a poller on a real kernel gives as its Sockets. Models
// SocketApi of the poller's seam, so that everything above can run on a simulated network instead.
//
// A descriptor is a plain int, non-blocking and close-on-exec from the system call that makes it.
// An error says which call failed and for which address ("bind 127.0.0.1:80: permission denied"),
// and no failing path keeps a descriptor. It refuses to resolve names, to own what it returns, to
// remove the file of a Unix socket that somebody else made, and to touch a signal's disposition.

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rondo/config/platform.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/error.hpp>
#include <rondo/core/result.hpp>
#include <rondo/core/socket_types.hpp>
#include <rondo/os/fd.hpp>
#include <rondo/os/socket_address.hpp>
#include <rondo/os/socket_batches.hpp>
#include <rondo/os/socket_groups.hpp>
#include <rondo/os/socket_transfer.hpp>

namespace rondo::inline RONDO_ABI {

namespace detail {

// After these errors accept(2) has taken a connection off the queue that was dead already; the next
// one may be fine. Linux hands out the network errors of the new socket like this (accept(2),
// "Error handling"). Its list has EOPNOTSUPP too, which a socket that can't listen answers for
// ever.
constexpr bool accept_again(int code) noexcept {
    switch (code) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENETUNREACH:
#ifdef ENONET
        case ENONET:
#endif
            return true;
        default:
            return false;
    }
}

#ifdef SOCK_CLOEXEC
inline constexpr int socket_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
#else
inline constexpr int socket_flags = 0;
#endif

// Does what the flags above do, for systems without them.
inline int finish_descriptor(int fd) noexcept {
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return errno;
#if defined(SO_NOSIGPIPE) && !defined(MSG_NOSIGNAL)
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);  // a pipe has no such option
#endif
    return 0;
}

}  // namespace detail

/// Socket calls. What returns an int returns a descriptor that the caller owns.
/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: the errno of the call that failed, its name, and the endpoint or "fd 7".
/// Cost: as many system calls as are named, and no allocation.
class PosixSockets : public PosixSocketGroups, public PosixSocketBatches {
public:
    /// socket(2).
    /// Errors: EAFNOSUPPORT, EMFILE and others.
    [[gnu::cold]] static Result<int> open(Family family, SocketKind kind) noexcept {
        constexpr const char* names[] = {"none", "ipv4", "ipv6", "unix"};
        const char* const name = names[static_cast<int>(family)];
        const int native = detail::native_family(family);
        if (native < 0) return Error(EAFNOSUPPORT, "socket", name);
        Fd fd(::socket(native, native_kind(kind) | detail::socket_flags, 0));
        if (!fd) return Error(errno, "socket", name);
        if constexpr (detail::socket_flags == 0) {
            const int code = detail::finish_descriptor(fd.get());
            if (code != 0) return Error(code, "fcntl", name);
        }
        return fd.release();
    }

    /// Two connected Unix sockets.
    [[gnu::cold]] static Result<FdPair> pair(SocketKind kind) noexcept {
        int ends[2];
        if (::socketpair(AF_UNIX, native_kind(kind) | detail::socket_flags, 0, ends) != 0) {
            return Error(errno, "socketpair");
        }
        return finished(ends, detail::socket_flags != 0);
    }

    /// A pipe: `first` reads, `second` writes.
    [[gnu::cold]] static Result<FdPair> pipe() noexcept {
        int ends[2];
#if RONDO_HAS_PIPE2
        if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return Error(errno, "pipe2");
#else
        if (::pipe(ends) != 0) return Error(errno, "pipe");
#endif
        return finished(ends, RONDO_HAS_PIPE2);
    }

    [[gnu::cold]] static Result<void> bind(int fd, const Endpoint& at) noexcept {
        detail::SocketAddress address;
        if (const int code = address.assign(at)) return Error(code, "bind", at.text());
        if (::bind(fd, address.data(), address.length()) == 0) return {};
        return Error(errno, "bind", at.text());
    }

    /// `at` is only for the message.
    [[gnu::cold]] static Result<void> listen(int fd, const Endpoint& at, int backlog) noexcept {
        if (::listen(fd, backlog) == 0) return {};
        return Error(errno, "listen", at.text());
    }

    /// A socket that listens: TCP, with SO_REUSEADDR, or Unix. A Unix socket's file gets its mode
    /// before anybody can connect, and stays when the socket is closed: remove it before the next
    /// start.
    /// Errors: EADDRINUSE also for a file that is there already, EADDRNOTAVAIL, EACCES, EMFILE...
    [[gnu::cold]] static Result<int> listen_on(const Endpoint& at,
                                               const ListenOptions& options) noexcept {
        const auto opened = open(at.family(), SocketKind::stream);
        if (!opened) return Error(opened.error().code(), "socket", at.text());
        Fd fd(*opened);
        if (at.is_ip()) {
            if (auto ok = prepare_tcp_listener(fd.get(), at, options); !ok) return ok.error();
        }
        if (auto bound = bind(fd.get(), at); !bound) return bound.error();
        auto listening = set_mode(at, options.unix_mode);
        if (listening) listening = listen(fd.get(), at, options.backlog);
        if (!listening) {
            if (has_file(at)) ::unlink(path_of(at).c_str());
            return listening.error();
        }
        return fd.release();
    }

    /// The next connection that waits. One that died while it waited is passed over.
    /// Errors: EAGAIN if none is waiting; EMFILE, ENFILE, ENOBUFS and ENOMEM leave it in the queue.
    static Result<Accepted> accept(int fd) noexcept {
        detail::SocketAddress from;
        for (;;) {
            from.clear();
#if RONDO_HAS_ACCEPT4
            Fd accepted(::accept4(fd, from.data(), &from.length(), detail::socket_flags));
#else
            Fd accepted(::accept(fd, from.data(), &from.length()));
#endif
            if (accepted) {
#if !RONDO_HAS_ACCEPT4
                const int code = detail::finish_descriptor(accepted.get());
                if (code != 0) return Error::on_fd(code, "fcntl", accepted.get());
#endif
                return Accepted{accepted.release(), from.endpoint()};
            }
            if (!detail::accept_again(errno)) return Error::on_fd(errno, "accept", fd);
        }
    }

    /// Success: connected. EINPROGRESS: the socket is writable when it is decided, and error()
    /// tells how.
    /// Errors: on a Unix socket EAGAIN means that the listener's queue is full; nothing is in
    /// progress.
    static Result<void> connect(int fd, const Endpoint& at) noexcept {
        detail::SocketAddress address;
        if (const int code = address.assign(at)) return Error(code, "connect", at.text());
        if (::connect(fd, address.data(), address.length()) == 0) return {};
        // An interrupted connect goes on by itself (connect(2)), just like one in progress.
        return Error(errno == EINTR ? EINPROGRESS : errno, "connect", at.text());
    }

    /// A stream socket that is connected or connecting: wait until it is writable, then ask
    /// error(). With `best_effort_source`, an attempt that fails at once is repeated without the
    /// source address.
    static Result<int> connect_to(const Endpoint& at, const ConnectOptions& options) noexcept {
        auto attempt = connect_from(options.source, at);
        if (attempt || options.source == nullptr || !options.best_effort_source) return attempt;
        return connect_from(nullptr, at);
    }

    static Result<void> shutdown(int fd, Shutdown how) noexcept {
        const int native = how == Shutdown::read    ? SHUT_RD
                           : how == Shutdown::write ? SHUT_WR
                                                    : SHUT_RDWR;
        if (::shutdown(fd, native) == 0) return {};
        return Error::on_fd(errno, "shutdown", fd);
    }

    /// Closes once; -1 is nothing to close. Remove the descriptor from its loop first.
    static void close(int fd) noexcept {
        if (fd >= 0) detail::close_fd(fd);
    }

    /// The socket's own address, such as the port that the kernel picked for port 0.
    [[gnu::cold]] static Result<Endpoint> local(int fd) noexcept {
        detail::SocketAddress address;
        if (::getsockname(fd, address.data(), &address.length()) == 0) return address.endpoint();
        return Error::on_fd(errno, "getsockname", fd);
    }

    /// Errors: ENOTCONN.
    [[gnu::cold]] static Result<Endpoint> peer(int fd) noexcept {
        detail::SocketAddress address;
        if (::getpeername(fd, address.data(), &address.length()) == 0) return address.endpoint();
        return Error::on_fd(errno, "getpeername", fd);
    }

private:
    static int native_kind(SocketKind kind) noexcept {
        return kind == SocketKind::stream ? SOCK_STREAM : SOCK_DGRAM;
    }

    static Result<FdPair> finished(const int (&ends)[2], bool born_with_flags) noexcept {
        Fd first(ends[0]);
        Fd second(ends[1]);
        for (const int end : ends) {
            const int code = born_with_flags ? 0 : detail::finish_descriptor(end);
            if (code != 0) return Error::on_fd(code, "fcntl", end);
        }
        return FdPair{first.release(), second.release()};
    }

    [[gnu::cold]] static Result<void> prepare_tcp_listener(int fd, const Endpoint& at,
                                                           const ListenOptions& options) noexcept {
        auto ok = set_reuse_address(fd, true);
        if (ok && options.reuse_port) ok = set_reuse_port(fd, true);
        if (ok && options.no_delay) ok = set_no_delay(fd, true);
        if (ok && at.family() == Family::ipv6) ok = set_v6_only(fd, !options.dual_stack);
        return ok;
    }

    static bool has_file(const Endpoint& at) noexcept {
        return at.family() == Family::unix_path && !at.is_abstract();
    }

    static Text<Endpoint::max_path + 1> path_of(const Endpoint& at) noexcept {
        return Text<Endpoint::max_path + 1>(at.path());
    }

    // Between bind and listen, when connecting is still refused.
    [[gnu::cold]] static Result<void> set_mode(const Endpoint& at, uint32_t mode) noexcept {
        if (mode == 0 || !has_file(at)) return {};
        if (::chmod(path_of(at).c_str(), static_cast<mode_t>(mode)) == 0) return {};
        return Error(errno, "chmod", at.text());
    }

    static Result<int> connect_from(const Endpoint* source, const Endpoint& at) noexcept {
        const auto opened = open(at.family(), SocketKind::stream);
        if (!opened) return Error(opened.error().code(), "socket", at.text());
        Fd fd(*opened);
        if (source != nullptr) {
            if (auto bound = bind_source(fd.get(), *source); !bound) return bound.error();
        }
        const auto connected = connect(fd.get(), at);
        if (!connected && connected.error() != EINPROGRESS) return connected.error();
        return fd.release();
    }

    // A fixed port may be in TIME_WAIT from the last time. For port 0, IP_BIND_ADDRESS_NO_PORT
    // (ip(7), Linux 4.2) leaves the choice to connect, which only needs it to be free towards that
    // peer; without the option a client address has 28 thousand ports for all its peers together.
    static Result<void> bind_source(int fd, const Endpoint& source) noexcept {
        if (source.is_ip() && source.port() != 0) {
            if (auto ok = set_reuse_address(fd, true); !ok) return ok;
        }
#ifdef IP_BIND_ADDRESS_NO_PORT
        if (source.is_ip() && source.port() == 0) {
            const int on = 1;
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        }
#endif
        return bind(fd, source);
    }
};

}  // namespace rondo::inline RONDO_ABI
