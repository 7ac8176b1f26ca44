// SPDX-License-Identifier: BSL-1.0
#pragma once
// Transport: how the bytes of a connection get onto its descriptor and off it. Plain hands them to
// the socket; one for TLS keeps its session here, and may need to write in order to read, or to
// read in order to write. A connection asks it what it waits for whenever a call would block.

#include <concepts>
#include <cstddef>
#include <span>

#include <rondo/core/io_result.hpp>
#include <rondo/core/socket_types.hpp>
#include <rondo/loop/handlers.hpp>

namespace rondo::inline RONDO_ABI {

/// One object per connection, copied from the one that adopt() is given. `read` and `write` may
/// move less than they are asked to; EAGAIN means "again when what read_needs(), or write_needs(),
/// names is ready". `finish` tells the peer that no more will come (EAGAIN: again later), after
/// which writing is over. `short_reads_drain` says that a read which filled less than it was given
/// has emptied the descriptor, that a write which took less than it was offered has filled it, and
/// that it hides no bytes of its own.
template <class T, class Sockets>
concept Transport = std::copy_constructible<T> &&
                    requires(T& transport, Sockets& sockets, int fd, std::span<std::byte> in,
                             std::span<const ConstBuffer> parts) {
                        { transport.read(sockets, fd, in) } -> std::same_as<IoResult>;
                        { transport.write(sockets, fd, parts) } -> std::same_as<IoResult>;
                        { transport.finish(sockets, fd) } -> std::same_as<IoResult>;
                        { transport.read_needs() } -> std::same_as<Interest>;
                        { transport.write_needs() } -> std::same_as<Interest>;
                        { T::short_reads_drain } -> std::convertible_to<bool>;
                    };

/// The bytes as they are.
struct Plain {
    static constexpr bool short_reads_drain = true;

    template <class Sockets>
    static IoResult read(Sockets& sockets, int fd, std::span<std::byte> in) noexcept {
        return sockets.read(fd, in);
    }
    template <class Sockets>
    static IoResult write(Sockets& sockets, int fd, std::span<const ConstBuffer> parts) noexcept {
        if (parts.size() != 1) return sockets.writev(fd, parts);
        return sockets.write(fd, {static_cast<const std::byte*>(parts[0].data), parts[0].size});
    }
    template <class Sockets>
    static IoResult finish(Sockets& sockets, int fd) noexcept {
        const auto done = sockets.shutdown(fd, Shutdown::write);
        return {0, done ? 0 : done.error().code()};
    }
    static constexpr Interest read_needs() noexcept { return Interest::read; }
    static constexpr Interest write_needs() noexcept { return Interest::write; }
};

}  // namespace rondo::inline RONDO_ABI
