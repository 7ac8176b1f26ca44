// SPDX-License-Identifier: BSL-1.0
#pragma once
// Moving bytes in and out of sockets, pipes and terminals, without SIGPIPE. Models SocketTransfer
// of the poller's seam; PosixSockets inherits it.
//
// Writing asks send(2) with MSG_NOSIGNAL first: most descriptors of a loop are sockets, and for
// them that is the whole cost. Anything else answers ENOTSOCK and goes on to pwritev2(2) with
// RWF_NOSIGNAL (Linux 6.18): a one-byte pipe write takes nearly twice as long as write(2). Where
// the flag is missing, SIGPIPE is blocked around the write and one that the write has caused is
// taken back: four to five more system calls, about four times as long.
//
// It refuses to change a signal's disposition, to remember what kind of descriptor it saw, and to
// loop until everything is written.

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <span>

#include <rondo/core/endpoint.hpp>
#include <rondo/core/io_result.hpp>
#include <rondo/core/socket_types.hpp>
#include <rondo/os/socket_address.hpp>

namespace rondo::inline RONDO_ABI {

namespace detail {

// Without it (older macOS) the option SO_NOSIGPIPE is set on each socket instead.
#ifdef MSG_NOSIGNAL
inline constexpr int send_flags = MSG_NOSIGNAL;
#else
inline constexpr int send_flags = 0;
#endif

#ifdef IOV_MAX
inline constexpr size_t most_parts = IOV_MAX;
#else
inline constexpr size_t most_parts = 16;  // what POSIX guarantees
#endif

static_assert(sizeof(ConstBuffer) == sizeof(iovec) &&
                  offsetof(ConstBuffer, data) == offsetof(iovec, iov_base) &&
                  offsetof(ConstBuffer, size) == offsetof(iovec, iov_len),
              "writev hands its span to the kernel as it is");

// Runs a system call until no signal interrupts it.
template <class Call>
IoResult repeat(Call call) noexcept {
    for (;;) {
        const ssize_t count = call();
        if (count >= 0) return {static_cast<size_t>(count), 0};
        if (errno != EINTR) return {0, errno};
    }
}

// Keeps a SIGPIPE of the calling thread's own making from being delivered. write(2) sends it to the
// thread that writes, at once, so what is pending after the write and wasn't before is ours. One
// that was pending before is blocked already, and somebody else's to take.
class SigpipeBlock {
public:
    SigpipeBlock() noexcept {
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        if (was_pending_) return;
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    SigpipeBlock(const SigpipeBlock&) = delete;
    SigpipeBlock& operator=(const SigpipeBlock&) = delete;
    ~SigpipeBlock() {
        if (!was_pending_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

    // Takes the signal that a write caused by failing with EPIPE.
    void swallow() noexcept {
        if (was_pending_) return;
#if defined(_POSIX_REALTIME_SIGNALS) && _POSIX_REALTIME_SIGNALS > 0
        const timespec at_once{};
        while (sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
        }
#else
        sigset_t pending;
        int number = 0;
        sigpending(&pending);
        if (sigismember(&pending, SIGPIPE) == 1) sigwait(&pipe_, &number);
#endif
    }

private:
    bool was_pending_ = false;
    sigset_t pipe_;
    sigset_t before_;
};

// Five system calls, six when the peer has gone.
inline IoResult write_behind_mask(int fd, const iovec* parts, int count) noexcept {
    SigpipeBlock block;
    const IoResult result = repeat([=] { return ::writev(fd, parts, count); });
    if (result.code == EPIPE) block.swallow();
    return result;
}

// For what isn't a socket. RWF_NOSIGNAL (0x100, Linux 6.18) is newer than most C libraries; an
// older kernel, or a file that takes no flags, answers EOPNOTSUPP and has written nothing. Offset
// -1 is the file's own position (pwritev2(2)).
[[gnu::noinline]] inline IoResult write_no_signal(int fd, const iovec* parts, int count) noexcept {
#ifdef RWF_HIPRI
    constexpr int rwf_nosignal = 0x100;
    const IoResult result = repeat([=] { return ::pwritev2(fd, parts, count, -1, rwf_nosignal); });
    if (result.code != EOPNOTSUPP && result.code != ENOSYS) return result;
#endif
    return write_behind_mask(fd, parts, count);
}

}  // namespace detail

/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: EAGAIN when there is nothing to do now; an interrupted call is repeated.
class PosixSocketTransfer {
public:
    /// Reads what there is, at most `in.size()` bytes; success with 0 bytes is the end of the
    /// stream (or an empty `in`).
    static IoResult read(int fd, std::span<std::byte> in) noexcept {
        return detail::repeat([=] { return ::read(fd, in.data(), in.size()); });
    }

    /// Writes at most `out.size()` bytes, to any kind of descriptor.
    /// Errors: EPIPE when the peer reads no longer, without a signal.
    /// Cost: one system call on a socket; see the top of this file for pipes and terminals.
    static IoResult write(int fd, std::span<const std::byte> out) noexcept {
        const IoResult sent =
            detail::repeat([=] { return ::send(fd, out.data(), out.size(), detail::send_flags); });
        if (sent.code != ENOTSOCK) return sent;
        const iovec part{const_cast<std::byte*>(out.data()), out.size()};
        return detail::write_no_signal(fd, &part, 1);
    }

    /// Writes several buffers to a stream in one go; what is beyond the system's IOV_MAX (1024)
    /// parts is left for the next call, like the rest of every partial write. Otherwise as write().
    static IoResult writev(int fd, std::span<const ConstBuffer> parts) noexcept {
        const auto* const first = reinterpret_cast<const iovec*>(parts.data());
        const size_t count = parts.size() < detail::most_parts ? parts.size() : detail::most_parts;
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(first);
        message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
        const IoResult sent =
            detail::repeat([&] { return ::sendmsg(fd, &message, detail::send_flags); });
        if (sent.code != ENOTSOCK) return sent;
        return detail::write_no_signal(fd, first, static_cast<int>(count));
    }

    /// Sends one datagram; to "none" means to the peer that the socket is connected to.
    /// Errors: EMSGSIZE for one that is too long, ECONNREFUSED if an earlier one found nobody.
    static IoResult send_to(int fd, std::span<const std::byte> out, const Endpoint& to) noexcept {
        if (!to) {
            return detail::repeat(
                [=] { return ::send(fd, out.data(), out.size(), detail::send_flags); });
        }
        detail::SocketAddress address;
        if (const int code = address.assign(to)) return {0, code};
        return detail::repeat([&] {
            return ::sendto(fd, out.data(), out.size(), detail::send_flags, address.data(),
                            address.length());
        });
    }

    /// Receives one datagram. `from.truncated` tells that it was longer than `in`; what didn't fit
    /// is lost. Both counts are of the bytes in `in`. A sender without a name is "none".
    static IoResult receive_from(int fd, std::span<std::byte> in, Datagram& from) noexcept {
        detail::SocketAddress address;
        iovec part{in.data(), in.size()};
        msghdr message{};
        message.msg_name = address.data();
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        const IoResult received = detail::repeat([&] {
            message.msg_namelen = address.length();
            return ::recvmsg(fd, &message, 0);
        });
        if (!received) return received;
        address.length() = message.msg_namelen;
        from.bytes = received.bytes;
        from.truncated = (message.msg_flags & MSG_TRUNC) != 0;
        from.peer = address.endpoint();
        return received;
    }
};

}  // namespace rondo::inline RONDO_ABI
