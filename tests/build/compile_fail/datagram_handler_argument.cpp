// SPDX-License-Identifier: BSL-1.0
// expect: on_datagram is called as f(std::span<const std::byte> bytes, const rondo::Datagram& from)

#include <rondo/rondo.hpp>

#include "support/archetype.hpp"

void use(rondo::EventLoop<rondo::test::Archetype>& loop) {
    rondo::UdpSocket udp(loop);
    udp.on_datagram([](int) {});
}
