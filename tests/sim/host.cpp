// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/host.hpp>

#include <chrono>
#include <string>

#include <rondo/net/server.hpp>
#include <rondo/net/udp_socket.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

using namespace rondo;
using namespace std::chrono_literals;

namespace {

using Loop = EventLoop<SimPoller>;

struct Site {
    Site() {
        world.drive(here);
        world.drive(there);
    }
    /// Whom a listener at `at` has for a peer when `to` is connected to; none: nobody came.
    Endpoint peer_of_connect(const Endpoint& at, bool dual_stack, const Endpoint& to) {
        Endpoint peer;
        Server<Loop> server(there);
        server.on_open([&](auto& connection) { peer = connection.peer().value(); });
        server.listen(at, {.dual_stack = dual_stack}).value();
        Connections<Loop> clients(here);
        clients.adopt(here.sockets().connect_to(to, {}).value()).value();
        world.run_for(1s);
        return peer;
    }

    sim::World world;
    sim::Host& host = world.host("there");
    Loop there{SimPoller(world, host)};
    Loop here{SimPoller(world, world.host("here"))};
};

}  // namespace

TEST_CASE("a host has an address of each family") {
    Site site;
    CHECK(site.host.address(80).text() == "10.0.0.1:80");
    CHECK(site.host.address(80, Family::ipv6).text() == "[fd00::1]:80");
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const Endpoint at = site.host.address(80, family);
        const Endpoint peer = site.peer_of_connect(at, false, at);
        CHECK(peer.with_port(0) == site.world.host("here").address(0, family));
    }
}

TEST_CASE("a name stands for both addresses of its host") {
    Site site;
    Endpoint found[3];
    auto& system = site.here.poller().system();
    REQUIRE(system.resolve("there", 80, Family::none, found).value() == 2);
    CHECK(found[0] == site.host.address(80));
    CHECK(found[1] == site.host.address(80, Family::ipv6));
    REQUIRE(system.resolve("there", 80, Family::ipv6, found).value() == 1);
    CHECK(found[0] == site.host.address(80, Family::ipv6));
}

TEST_CASE("the wildcard of IPv6 takes IPv4 only if it is dual-stack") {
    Site site;
    const Endpoint any = Endpoint::ipv6_any(80), v4 = site.host.address(80);
    CHECK_FALSE(site.peer_of_connect(any, false, v4));
    const Endpoint peer = site.peer_of_connect(any, true, v4);
    CHECK(peer.family() == Family::ipv6);
    CHECK(peer.unmapped().with_port(0) == site.world.host("here").address(0));
    CHECK(site.peer_of_connect(any, true, site.host.address(80, Family::ipv6)));
}

TEST_CASE("a socket of IPv6 may ask for an IPv4 address, mapped") {
    Site site;
    const Endpoint v4 = site.host.address(80), mapped = sim::Host::seen_by(Family::ipv6, v4);
    REQUIRE(mapped.family() == Family::ipv6);
    CHECK(site.peer_of_connect(v4, false, mapped).with_port(0) ==
          site.world.host("here").address(0));
    const Endpoint both = site.peer_of_connect(Endpoint::ipv6_any(80), true, mapped);
    CHECK(both.family() == Family::ipv6);
    CHECK(both.unmapped().with_port(0) == site.world.host("here").address(0));
    CHECK_FALSE(site.peer_of_connect(Endpoint::ipv6_any(80), false, mapped));
    const int fd = site.here.sockets().connect_to(mapped, {}).value();
    CHECK(site.here.sockets().local(fd).value().family() == Family::ipv6);
    site.here.sockets().close(fd);
}

TEST_CASE("no call makes more descriptors than a host may have") {
    Site site;
    auto& sockets = site.there.sockets();
    auto& system = site.there.poller().system();
    const size_t open = site.host.open_descriptors();
    site.host.set_fd_max(open);
    CHECK(sockets.open(Family::ipv4, SocketKind::stream).error() == EMFILE);
    CHECK(sockets.pipe().error() == EMFILE);
    CHECK(system.open_signals().error() == EMFILE);
    CHECK(system.watch_child(7).error() == EMFILE);
    site.host.set_fd_max(open + 1);
    for (const auto kind : {SocketKind::stream, SocketKind::datagram}) {
        CHECK(sockets.pair(kind).error() == EMFILE);
    }
    CHECK(sockets.pipe().error() == EMFILE);
    CHECK(site.host.open_descriptors() == open);
    sockets.close(sockets.open(Family::ipv4, SocketKind::stream).value());
    site.host.set_fd_max(open + 2);
    const FdPair ends = sockets.pair(SocketKind::stream).value();
    sockets.close(ends.first);
    sockets.close(ends.second);
}

TEST_CASE("the ports that a host chooses are never those of servers") {
    Site site;
    for (int i = 0; i < 70'000; ++i) REQUIRE(site.host.next_port() >= 40'000);
}

TEST_CASE("a dual-stack wildcard and that of IPv4 are the same port") {
    Site site;
    auto& sockets = site.there.sockets();
    const int v4 = sockets.listen_on(Endpoint::ipv4_any(80), {}).value();
    CHECK(sockets.listen_on(Endpoint::ipv6_any(80), {.dual_stack = true}).error() == EADDRINUSE);
    const int v6 = sockets.listen_on(Endpoint::ipv6_any(80), {}).value();
    sockets.close(v4);
    sockets.close(v6);
    sockets.close(sockets.listen_on(Endpoint::ipv6_any(80), {.dual_stack = true}).value());
}

TEST_CASE("a dual-stack datagram socket answers IPv4") {
    Site site;
    UdpSocket<Loop> server(site.there), client(site.here);
    std::string heard;
    server.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        CHECK(from.peer.family() == Family::ipv6);
        if (heard.empty()) server.connect(from.peer).value();  // and hears no other
        server.send(bytes).value();
    });
    client.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        heard.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        CHECK(from.peer == site.host.address(53));
    });
    server.bind(Endpoint::ipv6_any(53), {.dual_stack = true}).value();
    client.bind(Endpoint::ipv4_any(0)).value();
    client.send("hello", site.host.address(53)).value();
    site.world.run_for(1s);
    CHECK(heard == "hello");
    client.send("again", site.host.address(53)).value();
    site.world.run_for(1s);
    CHECK(heard == "again");
}
