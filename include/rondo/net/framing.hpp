// SPDX-License-Identifier: BSL-1.0
#pragma once
// Framing: turns a handler of messages into one of bytes, for Connections::on_data. A message ends
// with a delimiter, or begins with its length:
//
//     server.on_data(rondo::delimited("\n", [](auto& connection, std::string_view line) { ... }));
//
// Nothing is copied: a message is shown where it was received, and one that isn't complete stays
// with the connection. While that is paused, closed or full of replies, further messages wait or
// are dropped, as bytes would be. A handler that throws has had its message; the next come later.
//
// It refuses to keep anything per connection, so messages have a limit, above which the connection
// ends with EMSGSIZE. ConnectionOptions::unconsumed_max must exceed it by one read, 256 KiB.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <bit>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/net/connection.hpp>

namespace rondo::inline RONDO_ABI {

/// See delimited().
template <class F>
class Delimited {
public:
    Delimited(std::string_view delimiter, F f, size_t longest)
        : delimiter_(delimiter), longest_(longest), f_(std::move(f)) {
        RONDO_ASSERT(!delimiter.empty(), "a delimiter has at least one byte");
    }

    template <class Connection>
    size_t operator()(Connection& connection, std::span<const std::byte> bytes) {
        static_assert(std::is_invocable_v<F&, Connection&, std::string_view>,
                      "a handler of delimited messages is called as f(connection, "
                      "std::string_view message)");
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        size_t used = 0;
        while (connection.wants_more()) {
            const size_t end = text.find(delimiter_, used);
            const bool whole = end != std::string_view::npos;
            if ((whole ? end : text.size()) - used > longest_) {
                connection.abort(EMSGSIZE);
            } else if (whole) {
                const std::string_view message = text.substr(used, end - used);
                used = end + delimiter_.size();
                connection.used(used);
                f_(connection, message);
                continue;
            }
            break;
        }
        return used;
    }

private:
    const std::string_view delimiter_;
    const size_t longest_;
    F f_;
};

/// A handler for on_data that calls `f(connection, std::string_view message)` with each message,
/// without its delimiter. What follows the last delimiter when the peer ends isn't a message;
/// Connection::unconsumed() tells in on_end that there is something.
/// Lifetime: the delimiter is a literal, or lives as long as the connections.
/// Cost: the incomplete message is searched again with each arrival.
template <class F>
Delimited<std::decay_t<F>> delimited(std::string_view delimiter, F&& f,
                                     size_t longest = size_t{64} * 1024) {
    return {delimiter, static_cast<F&&>(f), longest};
}
/// Of a string that is gone afterwards: the handler would keep nothing but a view of it.
template <OwnsBytes Temporary, class F>
void delimited(Temporary&& delimiter, F&& f, size_t longest = 0) = delete;

/// See length_prefixed().
template <size_t Width, std::endian Order, class F>
class LengthPrefixed {
    static_assert(Width >= 1 && Width <= 8, "a length takes one to eight bytes");

public:
    LengthPrefixed(F f, size_t longest) : longest_(longest), f_(std::move(f)) {}

    template <class Connection>
    size_t operator()(Connection& connection, std::span<const std::byte> bytes) {
        static_assert(std::is_invocable_v<F&, Connection&, std::span<const std::byte>>,
                      "a handler of length-prefixed messages is called as f(connection, "
                      "std::span<const std::byte> message)");
        size_t used = 0;
        while (connection.wants_more() && bytes.size() - used >= Width) {
            const uint64_t length = length_at(bytes.data() + used);
            if (length > longest_) {
                connection.abort(EMSGSIZE);
                break;
            }
            if (bytes.size() - used - Width < length) break;
            const auto message = bytes.subspan(used + Width, static_cast<size_t>(length));
            used += Width + message.size();
            connection.used(used);
            f_(connection, message);
        }
        return used;
    }

private:
    static uint64_t length_at(const std::byte* at) noexcept {
        uint64_t length = 0;
        for (size_t i = 0; i < Width; ++i) {
            const size_t from = Order == std::endian::big ? i : Width - 1 - i;
            length = length << 8 | std::to_integer<uint64_t>(at[from]);
        }
        return length;
    }

    const size_t longest_;
    F f_;
};

/// A handler for on_data that calls `f(connection, std::span<const std::byte> message)` with each
/// message, without the `Width` bytes before it that tell its length: most significant first,
/// unless Order says otherwise. A message of which the peer has sent a part when it ends isn't
/// told; Connection::unconsumed() tells in on_end that there is one.
template <size_t Width = 4, std::endian Order = std::endian::big, class F>
LengthPrefixed<Width, Order, std::decay_t<F>> length_prefixed(F&& f,
                                                              size_t longest = size_t{512} * 1024) {
    return {static_cast<F&&>(f), longest};
}

/// Sends a message as length_prefixed() expects it, whose own limit is `longest`. False: see
/// Connection::send(); or it is longer than a length of that width can tell, then nothing is sent.
template <size_t Width = 4, std::endian Order = std::endian::big, class Connection>
bool send_length_prefixed(Connection& connection, std::span<const std::byte> message) {
    static_assert(Width >= 1 && Width <= 8, "a length takes one to eight bytes");
    const uint64_t length = message.size();
    if constexpr (Width < 8) {
        if (length >> (8 * Width) != 0) return false;
    }
    std::byte prefix[Width];
    for (size_t i = 0; i < Width; ++i) {
        prefix[Order == std::endian::little ? i : Width - 1 - i] =
            static_cast<std::byte>(length >> (8 * i) & 0xff);
    }
    return connection.send_parts({prefix, message});
}
template <size_t Width = 4, std::endian Order = std::endian::big, class Connection>
bool send_length_prefixed(Connection& connection, std::string_view message) {
    return send_length_prefixed<Width, Order>(connection, std::as_bytes(std::span(message)));
}

}  // namespace rondo::inline RONDO_ABI
