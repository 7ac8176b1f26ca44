// SPDX-License-Identifier: BSL-1.0
#pragma once
// Datagrams in batches: one system call for many of them where the kernel has recvmmsg(2) and
// sendmmsg(2), one for each elsewhere. Models that part of SocketTransfer of the poller's seam;
// PosixSockets inherits it.
//
// A batch ends at the first datagram that can't be moved, and its error comes with the next call:
// the kernel tells of the datagrams before it and keeps the error (recvmmsg(2), sendmmsg(2)). It
// refuses to wait for a batch to fill.

#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>

#include <rondo/config/platform.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/io_result.hpp>
#include <rondo/core/socket_types.hpp>
#include <rondo/os/socket_address.hpp>
#include <rondo/os/socket_transfer.hpp>

namespace rondo::inline RONDO_ABI {

namespace detail {

#if RONDO_HAS_MMSG
// What the kernel is handed for a batch; 14 KiB of stack.
struct MessageBatch {
    static constexpr size_t max = 64;

    SocketAddress addresses[max];
    iovec parts[max];
    mmsghdr headers[max];

    void set(size_t i, void* data, size_t size, bool with_address) noexcept {
        parts[i] = {data, size};
        headers[i] = {};
        headers[i].msg_hdr.msg_iov = &parts[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        if (!with_address) return;
        headers[i].msg_hdr.msg_name = addresses[i].data();
        headers[i].msg_hdr.msg_namelen = addresses[i].length();
    }
};
#endif

}  // namespace detail

/// Threads: stateless; the kernel orders calls on one descriptor.
/// Errors: EAGAIN when there is nothing to do now; an interrupted call is repeated.
/// Cost: on Linux one system call for up to 64 datagrams, elsewhere one for each.
class PosixSocketBatches : public PosixSocketTransfer {
public:
    /// Receives what has come, as many as both spans have room for: datagram i is at
    /// `in[i * slot]`, and `from[i]` tells its length and sender, as receive_from() does.
    static BatchResult receive_batch(int fd, std::span<std::byte> in, size_t slot,
                                     std::span<Datagram> from) noexcept {
        const size_t fitting = slot != 0 ? in.size() / slot : 0;
        const size_t room = from.size() < fitting ? from.size() : fitting;
#if RONDO_HAS_MMSG
        detail::MessageBatch batch;
        const size_t most = room < batch.max ? room : batch.max;
        for (size_t i = 0; i < most; ++i) batch.set(i, in.data() + i * slot, slot, true);
        const IoResult got = detail::repeat(
            [&] { return ::recvmmsg(fd, batch.headers, static_cast<unsigned>(most), 0, nullptr); });
        for (size_t i = 0; i < got.bytes; ++i) {
            const mmsghdr& header = batch.headers[i];
            batch.addresses[i].length() = header.msg_hdr.msg_namelen;
            from[i].bytes = header.msg_len;
            from[i].truncated = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0;
            from[i].peer = batch.addresses[i].endpoint();
        }
        return {got.bytes, got.code};
#else
        for (size_t i = 0; i < room; ++i) {
            const IoResult got = receive_from(fd, in.subspan(i * slot, slot), from[i]);
            if (!got) return {i, got.code};
        }
        return {room, 0};
#endif
    }

    /// Sends the datagrams in their order, up to the first that can't be sent.
    /// Errors: those of send_to(), for the first datagram that wasn't sent.
    static BatchResult send_batch(int fd, std::span<const OutDatagram> out) noexcept {
#if RONDO_HAS_MMSG
        detail::MessageBatch batch;
        size_t count = 0;
        for (; count < out.size() && count < batch.max; ++count) {
            const OutDatagram& each = out[count];
            const bool named = each.to != nullptr && *each.to;
            const int code = named ? batch.addresses[count].assign(*each.to) : 0;
            if (code != 0 && count == 0) return {0, code};
            if (code != 0) break;
            batch.set(count, const_cast<void*>(each.data), each.size, named);
        }
        const IoResult sent = detail::repeat([&] {
            return ::sendmmsg(fd, batch.headers, static_cast<unsigned>(count), detail::send_flags);
        });
        return {sent.bytes, sent.code};
#else
        for (size_t i = 0; i < out.size(); ++i) {
            const std::span bytes(static_cast<const std::byte*>(out[i].data), out[i].size);
            const IoResult sent =
                send_to(fd, bytes, out[i].to != nullptr ? *out[i].to : Endpoint());
            if (!sent) return {i, sent.code};
        }
        return {out.size(), 0};
#endif
    }
};

}  // namespace rondo::inline RONDO_ABI
