// SPDX-License-Identifier: BSL-1.0
#pragma once
// A datagram socket that notes what it hears, and plain descriptors to talk to it.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rondo/net/udp_socket.hpp>

#include "loop/rig.hpp"

namespace rondo::test {

inline std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

inline constexpr UdpOptions small{.datagram_max = 2048};

template <class P, class M = Malloc>
struct UdpSite {
    using Loop = EventLoop<P, NoObserver, M>;

    explicit UdpSite(const UdpOptions& options = small) : udp(rig.loop, options) {
        udp.on_datagram([this](std::span<const std::byte> bytes, const Datagram& from) {
            heard.push_back(text_of(bytes));
            last = from;
        });
        udp.on_error([this](const Error& error) { errors.push_back(error.code()); });
    }

    auto& sockets() { return rig.loop.sockets(); }
    Endpoint open(const Endpoint& at = Endpoint::ipv4_loopback(0)) {
        udp.bind(at).value();
        return udp.local().value();
    }
    /// A socket of its own, bound to loopback.
    int other() {
        const int fd = rig.own(sockets().open(Family::ipv4, SocketKind::datagram).value());
        sockets().bind(fd, Endpoint::ipv4_loopback(0)).value();
        return fd;
    }
    void tell(int fd, std::string_view text) {
        REQUIRE(sockets().send_to(fd, bytes_of(text), udp.local().value()));
    }
    /// All that `fd` can receive now.
    std::vector<std::string> hear(int fd) {
        settle();
        std::vector<std::string> all;
        std::byte bytes[4096];
        Datagram from;
        while (const IoResult got = sockets().receive_from(fd, bytes, from)) {
            all.push_back(text_of(std::span(bytes).first(got.bytes)));
        }
        return all;
    }
    /// One end of a pair becomes the socket, the other one is the peer's. What it sends waits when
    /// the peer doesn't read.
    int adopt() {
        const FdPair ends = sockets().pair(SocketKind::datagram).value();
        udp.adopt(ends.first).value();
        return rig.own(ends.second);
    }
    void turns(int count = 3) {
        for (int i = 0; i < count; ++i) {
            settle();
            rig.loop.poll();
        }
    }
    /// A busy kernel may deliver what is sent over loopback a little later, but in its order: waits
    /// for datagrams that were sent last, twice, because an answer may be on its way too.
    void settle() {
        if constexpr (P::traits.kernel) {
            if (witness < 0) witness = other();
            const Endpoint self = sockets().local(witness).value();
            for (int i = 0; i < 2; ++i) {
                std::byte byte{};
                Datagram from;
                REQUIRE(sockets().send_to(witness, {&byte, 1}, self));
                while (!sockets().receive_from(witness, {&byte, 1}, from)) {
                }
            }
        }
    }

    Rig<P, M> rig;
    int witness = -1;
    std::vector<std::string> heard;
    Datagram last;
    std::vector<int> errors;
    UdpSocket<Loop> udp;
};

using Texts = std::vector<std::string>;

}  // namespace rondo::test
