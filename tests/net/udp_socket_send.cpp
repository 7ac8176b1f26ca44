// SPDX-License-Identifier: BSL-1.0
// How a datagram socket sends, on every poller.

#include <rondo/net/udp_socket.hpp>

#include <unistd.h>

#include <string>
#include <vector>

#include <rondo/backend/default_poller.hpp>

#include "net/udp_rig.hpp"

using namespace rondo;
using namespace rondo::test;

KERNEL_CASE("a connected socket sends to its peer, and hears no other", "[udp]") {
    UdpSite<TestType> site;
    const int peer = site.other();
    REQUIRE(site.udp.connect(site.sockets().local(peer).value()));
    REQUIRE(site.udp.send("hello"));
    CHECK(site.hear(peer) == Texts{"hello"});
    site.tell(site.other(), "stranger");
    site.tell(peer, "answer");
    site.turns();
    CHECK(site.heard == Texts{"answer"});
}

KERNEL_CASE("a socket may be bound first and connected then", "[udp]") {
    UdpSite<TestType> site;
    const Endpoint at = site.open();
    const int peer = site.other();
    REQUIRE(site.udp.connect(site.sockets().local(peer).value()));
    CHECK(site.udp.local().value() == at);
    REQUIRE(site.udp.send("hello"));
    CHECK(site.hear(peer) == Texts{"hello"});
}

KERNEL_CASE("a refused datagram is told to on_error, and the socket lives on", "[udp]") {
    UdpSite<TestType> site;
    const int gone = site.other();
    const Endpoint nobody = site.sockets().local(gone).value();
    site.rig.close(gone);
    REQUIRE(site.udp.connect(nobody));
    REQUIRE(site.udp.send("anybody?"));
    site.turns();
    CHECK(site.errors == std::vector<int>{ECONNREFUSED});
    REQUIRE(site.udp.send("still nobody?"));
    site.settle();
    CHECK(site.udp.send("told at once").error() == ECONNREFUSED);
    CHECK(site.udp.counters().errors == 2);
    CHECK(site.udp.counters().sent == 2);
    CHECK(site.udp.is_open());
}

TEST_CASE("a paused socket that waits to send is told of an error once", "[udp]") {
    UdpSite<ManualPoller> site;
    site.adopt();
    while (site.udp.unsent() == 0) REQUIRE(site.udp.send(std::string(1000, 'x')));
    site.udp.pause();
    site.rig.world().find(site.udp.fd())->datagram()->refuse();
    site.turns();
    CHECK(site.errors == std::vector<int>{ECONNREFUSED});
    CHECK(site.udp.unsent() == 1);
}

KERNEL_CASE("without on_error a failure is counted", "[udp]") {
    Rig<TestType> rig;
    UdpSocket<typename Rig<TestType>::Loop> udp(rig.loop, small);
    udp.on_datagram([](std::span<const std::byte>, const Datagram&) {});
    UdpSocket<typename Rig<TestType>::Loop> gone(rig.loop, small);
    REQUIRE(gone.bind(Endpoint::ipv4_loopback(0)));
    REQUIRE(udp.connect(gone.local().value()));
    gone.close();
    REQUIRE(udp.send("anybody?"));
    while (udp.counters().errors == 0) rig.loop.run_once();
    CHECK(udp.is_open());
}

KERNEL_CASE("what can't be sent is told by send, with the peer's address", "[udp]") {
    UdpSite<TestType> site;
    site.open();
    const Endpoint peer = site.sockets().local(site.other()).value();
    const std::string large(65508, 'x');
    const auto sent = site.udp.send(large, peer);
    CHECK(sent.error() == EMSGSIZE);
    CHECK(sent.error().object() == peer.text().view());
    CHECK(site.udp.counters().errors == 1);
    site.udp.close();
    CHECK(site.udp.send("x", peer).error() == EBADF);
}

KERNEL_CASE("what fails after it has waited is told to on_error, and the rest is sent", "[udp]") {
    UdpSite<TestType> site;
    const std::string large(65508, 'x');
    site.udp.on_datagram([&](std::span<const std::byte>, const Datagram& from) {
        CHECK(site.udp.send("before", from.peer));
        CHECK(site.udp.send(large, from.peer));
        CHECK(site.udp.send(std::string(65536, 'x'), from.peer).error() == EMSGSIZE);
        CHECK(site.udp.send("after", from.peer));
    });
    // Sent by on_error itself: what it sends fails again, and is told later.
    int tries = 0;
    site.udp.on_error([&](const Error& error) {
        site.errors.push_back(error.code());
        if (++tries < 3) CHECK(site.udp.send(large, site.last.peer));
        site.udp.flush();
    });
    site.open();
    const int client = site.other();
    site.last.peer = site.sockets().local(client).value();
    site.tell(client, "x");
    site.turns(6);
    CHECK(site.hear(client) == Texts{"before", "after"});
    CHECK(site.errors == std::vector<int>{EMSGSIZE, EMSGSIZE, EMSGSIZE});
    CHECK(site.udp.counters().dropped == 3);
    CHECK(site.udp.unsent() == 0);
}

KERNEL_CASE("flush sends within a handler", "[udp]") {
    UdpSite<TestType> site;
    int client = -1;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        CHECK(site.udp.send(bytes, from.peer));
        CHECK(site.hear(client).empty());
        CHECK(site.udp.unsent() == 1);
        site.udp.flush();
        CHECK(site.hear(client) == Texts{"now"});
    });
    site.open();
    client = site.other();
    site.tell(client, "now");
    site.turns();
    CHECK(site.udp.counters().sent == 1);
}

KERNEL_CASE("what the kernel doesn't take waits, in its order, until it does", "[udp]") {
    UdpSite<TestType> site;
    const int peer = site.adopt();
    Texts expected;
    while (site.udp.unsent() < 3) {
        expected.push_back(std::to_string(expected.size()) + std::string(1000, '.'));
        REQUIRE(site.udp.send(expected.back()));
    }
    const auto calls = site.udp.counters().send_calls;
    site.turns();
    CHECK(site.udp.unsent() == 3);
    REQUIRE(site.sockets().write(peer, bytes_of("in between")));
    site.turns();
    CHECK(site.heard == Texts{"in between"});
    CHECK(site.udp.counters().send_calls == calls);  // nobody tries in vain
    Texts got = site.hear(peer);
    expected.push_back("last");
    REQUIRE(site.udp.send("last"));  // there is room by now, but the others come first
    for (int i = 0; i < 10; ++i) {
        site.turns();
        for (auto& text : site.hear(peer)) got.push_back(text);
    }
    CHECK(got == expected);
    CHECK(site.udp.unsent() == 0);
    CHECK(site.udp.counters().sent == expected.size());
    CHECK(site.udp.counters().dropped == 0);
}

KERNEL_CASE("what waits is bounded; beyond that it is dropped and told", "[udp]") {
    UdpSite<TestType> site({.datagram_max = 2048, .unsent_max = 3 * (1000 + 120)});
    const int peer = site.adopt();
    const std::string text(1000, 'x');
    Result<void> sent;
    size_t taken = 0;
    while ((sent = site.udp.send(text))) ++taken;
    CHECK(sent.error() == ENOBUFS);
    CHECK(site.udp.unsent() == 3);
    CHECK(site.udp.counters().dropped == 1);
    size_t got = 0;
    for (int i = 0; i < 10; ++i) {
        got += site.hear(peer).size();
        site.turns();
    }
    CHECK(got == taken);
    CHECK(site.udp.send(text));
}

KERNEL_CASE("a handler that sends more than may wait has the kernel take it first", "[udp]") {
    UdpSite<TestType> site({.datagram_max = 2048, .unsent_max = 3 * (1000 + 120)});
    site.udp.on_datagram([&](std::span<const std::byte>, const Datagram& from) {
        for (int i = 0; i < 10; ++i) CHECK(site.udp.send(std::string(1000, 'x'), from.peer));
    });
    site.open();
    const int client = site.other();
    site.tell(client, "x");
    site.turns();
    CHECK(site.hear(client).size() == 10);
    CHECK(site.udp.counters().dropped == 0);
}

KERNEL_CASE("close drops what waits, and the next socket begins anew", "[udp]") {
    UdpSite<TestType> site;
    site.adopt();
    while (site.udp.unsent() == 0) REQUIRE(site.udp.send(std::string(1000, 'x')));
    site.udp.close();
    CHECK(site.udp.unsent() == 0);
    site.open();
    const int client = site.other();
    REQUIRE(site.udp.send("hello", site.sockets().local(client).value()));
    CHECK(site.hear(client) == Texts{"hello"});
}

TEST_CASE("what is sent to a name that is full is refused instead of waiting for ever",
          "[udp][kernel]") {
    const auto name = Endpoint::unix_abstract("rondo test " + std::to_string(getpid())).value();
    UdpSite<DefaultPoller> site;
    const int full =
        site.rig.own(site.sockets().open(Family::unix_path, SocketKind::datagram).value());
    const auto bound = site.sockets().bind(full, name);
    if (!bound) SKIP("no abstract names here: " << bound.error().message().c_str());
    site.udp.adopt(site.sockets().open(Family::unix_path, SocketKind::datagram).value()).value();
    Result<void> sent;
    size_t taken = 0;
    while ((sent = site.udp.send("x", name))) ++taken;
    CHECK(taken > 0);
    CHECK(sent.error() == EAGAIN);
    CHECK(site.udp.unsent() == 0);
}

KERNEL_CASE("a handler sends at once what is larger than the queue", "[udp]") {
    UdpSite<TestType> site({.datagram_max = 2048, .unsent_max = 200});
    std::vector<int> codes;
    site.udp.on_datagram([&](std::span<const std::byte>, const Datagram& from) {
        for (const size_t size : {1U, 1000U, 2U}) {
            codes.push_back(site.udp.send(std::string(size, 'x'), from.peer).error().code());
        }
        codes.push_back(site.udp.send(std::string(1000, 'x')).error().code());
    });
    site.open();
    const int client = site.other();
    site.tell(client, "?");
    site.turns();
    REQUIRE(codes.size() == 4);
    CHECK(codes[0] == 0);
    CHECK(codes[1] == 0);
    CHECK(codes[2] == 0);
    CHECK((codes[3] == EDESTADDRREQ || codes[3] == ENOTCONN));
    const Texts heard = site.hear(client);
    REQUIRE(heard.size() == 3);
    CHECK(heard[0] == "x");
    CHECK(heard[1].size() == 1000);
    CHECK(heard[2] == "xx");
    CHECK(site.udp.counters().sent == 3);
    CHECK(site.udp.counters().dropped == 1);
}
