// SPDX-License-Identifier: BSL-1.0
// A little of sim: what must work in every way of building the library.

#include <rondo/net/server.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

TEST_CASE("two loops of one world talk over its network, in every build", "[smoke]") {
    using Loop = rondo::EventLoop<rondo::SimPoller>;
    constexpr auto second = rondo::Duration::seconds(1);
    rondo::sim::World world({.latency = {second, second, second}});
    Loop there{rondo::SimPoller(world, world.host("there"))};
    Loop here{rondo::SimPoller(world, world.host("here"))};
    rondo::Server<Loop> server(there);
    server.on_open([](auto& connection) { connection.send("hello"); });
    REQUIRE(server.listen(rondo::Endpoint::ipv4_any(7000)));
    rondo::Connections<Loop> clients(here);
    size_t heard = 0;
    clients.on_data([&](auto&, auto bytes) {
        heard += bytes.size();
        server.drain(second);
    });
    const auto to = world.host("there").address(7000);
    REQUIRE(clients.adopt(here.sockets().connect_to(to, {}).value()));
    world.drive(there);
    world.drive(here);
    const rondo::Instant start = world.now();
    CHECK(world.settle(second * 60));
    CHECK(heard == 5);
    CHECK(world.now() >= start + second * 4);
}
