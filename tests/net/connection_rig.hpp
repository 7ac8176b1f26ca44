// SPDX-License-Identifier: BSL-1.0
#pragma once
// A connection whose peer is a plain descriptor in the hands of the test.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <rondo/net/connections.hpp>

#include "loop/rig.hpp"

namespace rondo::test {

inline std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Bytes that differ from place to place.
inline std::string pattern(size_t size) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
    return text;
}

template <class P, class State = NoState, class T = Plain, class M = Malloc>
struct StreamRig {
    using Loop = EventLoop<P, NoObserver, M>;
    using Group = Connections<Loop, State, T>;
    using Connection = typename Group::Connection;

    explicit StreamRig(const ConnectionOptions& options = {}) : group(rig.loop, options) {
        group.on_data(
            [this](Connection&, std::span<const std::byte> bytes) { heard += text_of(bytes); });
        group.on_close([this](Connection&, const Error& error) {
            ++closed;
            reason = error.code();
        });
    }

    /// One end becomes a connection, the other one is the peer's.
    Connection& open(const T& transport = T()) {
        const FdPair ends = rig.loop.sockets().pair(SocketKind::stream).value();
        peer = rig.own(ends.second);
        handle = group.adopt(ends.first, transport).value();
        return *group.find(handle);
    }
    void peer_sends(std::string_view text) { peer_sends(peer, text); }
    void peer_sends(int fd, std::string_view text) {
        const auto bytes = std::as_bytes(std::span(text));
        REQUIRE(rig.loop.sockets().write(fd, bytes).bytes == text.size());
    }
    /// All that can be read now.
    std::string peer_hears() { return peer_hears(peer); }
    std::string peer_hears(int fd) {
        std::string all;
        std::byte bytes[4096];
        for (;;) {
            const IoResult got = rig.loop.sockets().read(fd, bytes);
            if (!got || got.bytes == 0) return all;
            all += text_of(std::span(bytes).first(got.bytes));
        }
    }
    /// True if the peer is told of the end.
    bool peer_at_end() {
        std::byte byte;
        const IoResult got = rig.loop.sockets().read(peer, {&byte, 1});
        return got && got.bytes == 0;
    }
    void peer_finishes() { rig.loop.sockets().shutdown(peer, Shutdown::write).value(); }
    void turns(int count = 3) {
        for (int i = 0; i < count; ++i) rig.loop.poll();
    }

    Rig<P, M> rig;
    Group group;
    int peer = -1;
    ConnectionHandle handle;
    std::string heard;
    int closed = 0;
    int reason = -1;
};

}  // namespace rondo::test
