// SPDX-License-Identifier: BSL-1.0
// Connections in numbers: many that end in the middle of something, and what one costs.
#include <rondo/net/connection.hpp>

#include <string>
#include <vector>

#include "net/connection_rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

KERNEL_CASE("many that are reset in the middle of a write each end once", "[connection_many]") {
    // select watches no descriptor above its limit.
    constexpr size_t count = TestType::traits.fd_limit == 0 ? 1000 : 400;
    StreamRig<TestType, size_t> rig({.high_water = 100'000});
    auto& loop = rig.rig.loop;
    auto& sockets = loop.sockets();
    const int listener = rig.rig.own(sockets.listen_on(Endpoint::ipv4_loopback(0), {}).value());
    std::vector<int> peers;
    std::vector<int> ended(count, 0);
    rig.group.on_close([&](auto& connection, const Error& reason) {
        ++ended[connection.state()];
        CHECK((reason == ECONNRESET || reason == EPIPE));
    });
    for (size_t i = 0; i < count; ++i) {
        peers.push_back(
            rig.rig.own(sockets.connect_to(sockets.local(listener).value(), {}).value()));
        auto accepted = sockets.accept(listener);
        while (!accepted) {
            loop.poll();
            accepted = sockets.accept(listener);
        }
        auto& connection = *rig.group.find(rig.group.adopt(accepted->fd).value());
        connection.state() = i;
        sockets.set_send_buffer(accepted->fd, 4096).value();
        while (!connection.full()) connection.send(pattern(50'000));
    }
    CHECK(rig.group.size() == count);
    for (const int peer : peers) {
        sockets.set_linger_reset(peer, true).value();
        rig.rig.close(peer);
    }
    while (!rig.group.empty()) loop.run_once();
    CHECK(ended == std::vector<int>(count, 1));
}

KERNEL_CASE("on a Unix socket a message is one event", "[connection_many]") {
    StreamRig<TestType> rig;
    rig.group.on_data(
        [](auto& connection, std::span<const std::byte> bytes) { connection.send(bytes); });
    rig.open();
    size_t events = 0;
    for (int i = 0; i < 1000; ++i) {
        rig.peer_sends("message");
        std::string heard;
        while (heard.empty()) {
            events += rig.rig.loop.poll();
            heard = rig.peer_hears();
        }
        REQUIRE(heard == "message");
    }
    events += rig.rig.loop.poll();
    CHECK(events <= 1010);
}

TEST_CASE("an idle connection takes at most 400 bytes", "[connection_many]") {
    using Counting = CountingMemory<69>;
    StreamRig<ManualPoller, NoState, Plain, Counting> rig;
    rig.group.on_data(
        [](auto& connection, std::span<const std::byte> bytes) { connection.send(bytes); });
    rig.open();
    rig.peer_sends("warm-up");
    rig.turns();
    const size_t before = Counting::bytes();
    constexpr size_t count = 1000;
    for (size_t i = 0; i < count; ++i) {
        rig.open();
        rig.peer_sends("hello");
        rig.turns(1);
        REQUIRE(rig.peer_hears() == "hello");
    }
    const size_t each = (Counting::bytes() - before) / count;
    CHECK(each <= 400);
    CHECK(each >= sizeof(decltype(rig)::Connection));
}
