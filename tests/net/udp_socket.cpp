// SPDX-License-Identifier: BSL-1.0
// How a datagram socket opens and receives, on every poller. Sending is in udp_socket_send.cpp.

#include <rondo/net/udp_socket.hpp>

#include <string>
#include <vector>

#include "net/udp_rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

// Receiving.

KERNEL_CASE("a datagram is shown with its sender, and can be answered", "[udp]") {
    UdpSite<TestType> site;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        site.last = from;
        REQUIRE(site.udp.send(bytes, from.peer));
    });
    site.open();
    const int client = site.other();
    site.tell(client, "hello");
    site.turns();
    CHECK(site.last.peer == site.sockets().local(client).value());
    CHECK(site.last.bytes == 5);
    CHECK(site.hear(client) == Texts{"hello"});
    CHECK(site.udp.counters().received == 1);
    CHECK(site.udp.counters().sent == 1);
}

KERNEL_CASE("datagrams that wait are received and answered by one call each", "[udp]") {
    UdpSite<TestType> site;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        CHECK(site.udp.send(bytes, from.peer));
        CHECK(site.udp.send("!", from.peer));
    });
    site.open();
    const int client = site.other();
    Texts expected;
    for (int i = 0; i < 20; ++i) {
        site.tell(client, std::to_string(i));
        expected.push_back(std::to_string(i));
        expected.push_back("!");
    }
    site.turns();
    CHECK(site.hear(client) == expected);
    CHECK(site.udp.counters().received == 20);
    CHECK(site.udp.counters().sent == 40);
    CHECK(site.udp.counters().receive_calls == 1);
    CHECK(site.udp.counters().send_calls == 1);
}

KERNEL_CASE("more than a turn takes is received in the next turns", "[udp]") {
    UdpSite<TestType> site({.datagram_max = 65536});
    site.open();
    const int client = site.other();
    for (int i = 0; i < 40; ++i) site.tell(client, std::to_string(i));
    site.turns(1);
    CHECK(site.heard.size() == 16);  // 4 batches of 4
    site.turns();
    REQUIRE(site.heard.size() == 40);
    CHECK(site.heard.back() == "39");
}

KERNEL_CASE("an empty datagram is a datagram", "[udp]") {
    UdpSite<TestType> site;
    site.open();
    const int client = site.other();
    site.tell(client, "");
    site.tell(client, "x");
    site.turns();
    CHECK(site.heard == Texts{"", "x"});
}

KERNEL_CASE("what is longer than datagram_max is cut, and that is told", "[udp]") {
    UdpSite<TestType> site({.datagram_max = 4});
    site.open();
    const int client = site.other();
    site.tell(client, "12345");
    site.turns();
    CHECK(site.last.truncated);
    site.tell(client, "1234");
    site.turns();
    CHECK_FALSE(site.last.truncated);
    CHECK(site.heard == Texts{"1234", "1234"});
    CHECK(site.udp.counters().truncated == 1);
}

KERNEL_CASE("the largest datagram passes whole", "[udp]") {
    UdpSite<TestType> site(UdpOptions{});
    site.open();
    const int client = site.other();
    const std::string large(65507, 'x');
    REQUIRE(site.sockets().set_send_buffer(client, 200'000));
    site.tell(client, large);
    site.turns();
    REQUIRE(site.heard.size() == 1);
    CHECK(site.heard[0] == large);
    CHECK_FALSE(site.last.truncated);
}

KERNEL_CASE("a paused socket shows nothing, and loses nothing of a batch that was begun", "[udp]") {
    UdpSite<TestType> site;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram&) {
        site.heard.push_back(text_of(bytes));
        site.udp.pause();
    });
    site.open();
    const int client = site.other();
    for (const char* text : {"a", "b", "c"}) site.tell(client, text);
    site.turns();
    CHECK(site.heard == Texts{"a"});
    for (size_t shown = 2; shown <= 3; ++shown) {
        site.udp.resume();
        site.turns();
        CHECK(site.heard.size() == shown);
    }
    site.tell(client, "d");
    site.turns();
    CHECK(site.heard.size() == 3);
    site.udp.resume();
    site.turns();
    CHECK(site.heard == Texts{"a", "b", "c", "d"});
    CHECK(site.udp.counters().receive_calls == 2);
}

KERNEL_CASE("what on_error resumes goes on with the batch that was begun", "[udp]") {
    UdpSite<TestType> site;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram&) {
        site.heard.push_back(text_of(bytes));
        if (site.heard.size() != 2) return;
        site.udp.pause();
        CHECK(site.udp.send(std::string(65535, 'x'), Endpoint::ipv4_loopback(9)));
    });
    site.udp.on_error([&](const Error& error) {
        site.errors.push_back(error.code());
        site.udp.resume();
    });
    site.open();
    const int client = site.other();
    Texts expected;
    for (int i = 0; i < 70; ++i) {
        expected.push_back(std::to_string(i));
        site.tell(client, expected.back());
    }
    site.turns();
    CHECK(site.errors == std::vector<int>{EMSGSIZE});
    CHECK(site.heard == expected);
}

KERNEL_CASE("a handler may close its socket, and open it again", "[udp]") {
    UdpSite<TestType> site;
    Endpoint second;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram&) {
        const std::string before = text_of(bytes);
        site.udp.close();
        CHECK(site.udp.send("x", site.last.peer).error() == EBADF);
        if (site.heard.empty()) {
            REQUIRE(site.udp.bind(Endpoint::ipv4_loopback(0)));
            second = site.udp.local().value();
        }
        CHECK(text_of(bytes) == before);
        site.heard.push_back(before);
    });
    site.open();
    const int client = site.other();
    site.tell(client, "1");
    site.tell(client, "2");
    site.turns();
    CHECK(site.heard == Texts{"1"});
    REQUIRE(site.udp.is_open());
    site.tell(client, "3");
    site.turns();
    CHECK(site.heard == Texts{"1", "3"});
    CHECK_FALSE(site.udp.is_open());
    CHECK(site.rig.loop.run() == 0);  // nothing keeps it going
}

KERNEL_CASE("a handler may close its socket while it looks at its bytes", "[udp]") {
    UdpSite<TestType> site;
    UdpSocket<typename UdpSite<TestType>::Loop> second(site.rig.loop, small);
    int heard_by_second = 0;
    second.on_datagram([&](std::span<const std::byte>, const Datagram&) { ++heard_by_second; });
    REQUIRE(second.bind(Endpoint::ipv4_loopback(0)));
    const Endpoint to_second = second.local().value();
    int client = -1;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram&) {
        site.udp.close();
        REQUIRE(site.sockets().send_to(client, bytes_of("other"), to_second));
        site.turns();
        CHECK(heard_by_second == 1);
        CHECK(text_of(bytes) == "bytes");
    });
    site.open();
    client = site.other();
    site.tell(client, "bytes");
    site.turns();
}

KERNEL_CASE("a nested turn changes no datagram that a handler looks at", "[udp]") {
    UdpSite<TestType> site;
    UdpSocket<typename UdpSite<TestType>::Loop> second(site.rig.loop, small);
    std::string inner;
    second.on_datagram(
        [&](std::span<const std::byte> bytes, const Datagram&) { inner += text_of(bytes); });
    REQUIRE(second.bind(Endpoint::ipv4_loopback(0)));
    const Endpoint to_second = second.local().value();
    int client = -1;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        const std::string before = text_of(bytes);
        const Endpoint peer = from.peer;
        if (site.heard.empty()) {
            CHECK(site.sockets().send_to(client, bytes_of("in between"), to_second));
            site.tell(client, "for later");
            site.turns();
            CHECK(inner == "in between");
        }
        CHECK(text_of(bytes) == before);
        CHECK(from.peer == peer);
        site.heard.push_back(before);
    });
    site.open();
    client = site.other();
    site.tell(client, "outer");
    site.turns();
    CHECK(site.heard == Texts{"outer", "for later"});
}

KERNEL_CASE("what a throwing handler leaves of a batch is shown by the next turns", "[udp]") {
    UdpSite<TestType> site;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram&) {
        site.heard.push_back(text_of(bytes));
        if (site.heard.size() < 3) throw Thrown();
    });
    site.open();
    const int client = site.other();
    for (const char* text : {"a", "b", "c", "d"}) site.tell(client, text);
    CHECK_THROWS_AS(site.turns(1), Thrown);
    CHECK_THROWS_AS(site.turns(1), Thrown);
    site.turns();
    CHECK(site.heard == Texts{"a", "b", "c", "d"});
    CHECK(site.udp.counters().receive_calls == 1);
}

KERNEL_CASE("what a handler has sent before it throws is sent", "[udp]") {
    UdpSite<TestType> site;
    site.udp.on_datagram([&](std::span<const std::byte> bytes, const Datagram& from) {
        REQUIRE(site.udp.send(bytes, from.peer));
        throw Thrown();
    });
    site.open();
    const int client = site.other();
    site.tell(client, "echo");
    CHECK_THROWS_AS(site.turns(1), Thrown);
    site.turns();
    CHECK(site.hear(client) == Texts{"echo"});
}

// Opening.

KERNEL_CASE("a port in use is a clear error, and may be shared on request", "[udp]") {
    UdpSite<TestType> site;
    site.udp.bind(Endpoint::ipv4_loopback(0), {.reuse_port = true}).value();
    const Endpoint at = site.udp.local().value();
    UdpSocket<typename UdpSite<TestType>::Loop> second(site.rig.loop);
    const auto bound = second.bind(at);
    CHECK(bound.error() == EADDRINUSE);
    CHECK(bound.error().message().view().substr(0, 15) == "bind 127.0.0.1:");
    CHECK_FALSE(second.is_open());
    CHECK(second.bind(at, {.reuse_port = true}));
}

KERNEL_CASE("a socket without on_datagram only sends", "[udp]") {
    UdpSite<TestType> site;
    UdpSocket<typename UdpSite<TestType>::Loop> sender(site.rig.loop);
    REQUIRE(sender.bind(Endpoint::ipv4_loopback(0)));
    REQUIRE(sender.send("hello", site.open()));
    site.tell(sender.fd(), "x");
    REQUIRE(site.sockets().send_to(site.udp.fd(), bytes_of("back"), sender.local().value()));
    site.turns();
    CHECK(site.heard == Texts{"hello", "x"});
    CHECK(sender.counters().receive_calls == 0);
}

KERNEL_CASE("each allocation that fails leaves the socket closed, and the next try works",
            "[udp]") {
    using Counting = CountingMemory<71>;
    UdpSite<TestType, Counting> site;
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        const auto bound = site.udp.bind(Endpoint::ipv4_loopback(0));
        CHECK(bool(bound) == (Counting::refused() == before));
        if (!bound) CHECK(bound.error() == ENOMEM);
        CHECK(site.udp.is_open() == bool(bound));
    });
    CHECK(failures > 0);
    const int client = site.other();
    site.tell(client, "x");
    Counting::fail_after(1);
    site.turns();
    Counting::never_fail();
    CHECK(site.errors == std::vector<int>{ENOMEM});  // no buffer: the datagram is lost
    site.tell(client, "y");
    site.turns();
    CHECK(site.heard == Texts{"y"});
    const size_t allocations = Counting::allocations();
    for (int i = 0; i < 10; ++i) {
        site.tell(client, "z");
        site.turns();
    }
    CHECK(Counting::allocations() == allocations);
}

TEST_CASE("a handler that memory was out for makes bind fail", "[udp]") {
    using Counting = CountingMemory<72>;
    Rig<ManualPoller, Counting> rig;
    UdpSocket<typename Rig<ManualPoller, Counting>::Loop> udp(rig.loop);
    const char large[64] = {'!'};
    Counting::fail_after(1);
    udp.on_error([large](const Error&) { static_cast<void>(large[0]); });
    Counting::never_fail();
    CHECK(udp.bind(Endpoint::ipv4_loopback(0)).error() == ENOMEM);
    udp.on_error([large](const Error&) { static_cast<void>(large[0]); });
    CHECK(udp.bind(Endpoint::ipv4_loopback(0)));
}

TEST_CASE("misuse stops with a sentence", "[udp]") {
    using Udp = UdpSocket<ManualRig::Loop>;
    ManualRig rig;
    Udp udp(rig.loop, small);
    udp.on_datagram([&](std::span<const std::byte>, const Datagram&) { udp.~UdpSocket(); });
    REQUIRE(udp.bind(Endpoint::ipv4_loopback(0)));
    CHECK_THAT(dies([&] { static_cast<void>(udp.bind(Endpoint::ipv4_loopback(0))); }).message,
               ContainsSubstring("close it first"));
    CHECK_THAT(dies([&] { udp.on_error([](const Error&) {}); }).message,
               ContainsSubstring("before it is opened"));
    REQUIRE(udp.send("x", udp.local().value()));
    CHECK_THAT(dies([&] { rig.loop.poll(); }).message, ContainsSubstring("close() it there"));
    CHECK_THAT(dies([&] { Udp wrong(rig.loop, {.datagram_max = 0}); }).message,
               ContainsSubstring("datagram_max"));
}
