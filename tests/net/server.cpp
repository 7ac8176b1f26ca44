// SPDX-License-Identifier: BSL-1.0
#include <rondo/net/server.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "net/server_rig.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

KERNEL_CASE("a server talks to each of its clients", "[server]") {
    EchoSite<TestType> site;
    std::vector<int> clients;
    for (size_t i = 0; i < 20; ++i) {
        clients.push_back(site.connect());
        while (site.opened <= i) site.rig.loop.run_once();
    }
    for (const int fd : clients) site.say(fd, "I am " + std::to_string(fd));
    for (const int fd : clients) {
        const std::string expected = "I am " + std::to_string(fd);
        CHECK(site.hear(fd, expected.size()) == expected);
    }
    CHECK(site.server.size() == 20);
    for (const int fd : clients) site.rig.close(fd);
    while (site.closed < 20) site.rig.loop.run_once();
    CHECK(site.server.empty());
    CHECK(site.server.listener().open_connections() == 0);
}

KERNEL_CASE("a server at its limit takes the next client when one has gone", "[server]") {
    EchoSite<TestType> site({}, {.connections_max = 1});
    const int first = site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    site.connect();
    for (int i = 0; i < 5; ++i) site.rig.loop.poll();
    CHECK(site.opened == 1);
    site.rig.close(first);
    while (site.opened < 2) site.rig.loop.run_once();
    CHECK(site.closed == 1);
}

KERNEL_CASE("what a server adopts doesn't count for its listener", "[server]") {
    EchoSite<TestType> site({}, {.connections_max = 1});
    const FdPair ends = site.rig.loop.sockets().pair(SocketKind::stream).value();
    site.server.adopt(ends.first).value();
    site.connect();
    while (site.opened < 2) site.rig.loop.run_once();
    site.rig.loop.sockets().close(ends.second);
    while (site.closed < 1) site.rig.loop.run_once();
    CHECK(site.server.listener().open_connections() == 1);
}

KERNEL_CASE("drain() refuses new clients, sends what is queued, and lets run() return",
            "[server]") {
    EchoSite<TestType> site;
    const int fd = site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    site.say(fd, "farewell");
    CHECK(site.hear(fd, 8) == "farewell");
    site.server.for_each([](auto& connection) { connection.send("good bye"); });
    CHECK(site.server.drain(60s));
    CHECK(site.server.listener().local_count() == 0);
    CHECK(site.hear(fd, 8) == "good bye");
    site.rig.loop.poll();
    std::byte byte;
    CHECK(site.rig.loop.sockets().read(fd, {&byte, 1}).bytes == 0);
    site.rig.close(fd);
    site.rig.loop.run();
    CHECK(site.closed == 1);
}

TEST_CASE("a client that outlasts the patience of drain() is aborted", "[server]") {
    EchoSite<ManualPoller> site({.close_timeout = 100s});
    site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    const Instant start = site.rig.loop.poller().now();
    CHECK(site.server.drain(7s));
    site.rig.loop.run();
    CHECK(site.rig.loop.poller().now() == start + Duration(7s));
    CHECK(site.closed == 1);
}

TEST_CASE("who came after drain() to a server that listens again isn't aborted with the others",
          "[server]") {
    EchoSite<ManualPoller> site({.close_timeout = 100s});
    site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    const Instant start = site.rig.loop.poller().now();
    CHECK(site.server.drain(7s));
    REQUIRE(site.server.listen(Endpoint::ipv4_loopback(0)));
    site.connect();
    while (site.closed < 1) site.rig.loop.run_once();
    CHECK(site.rig.loop.poller().now() == start + Duration(7s));
    CHECK(site.opened == 2);
    CHECK_FALSE(site.server.empty());
}

TEST_CASE("drain() of a server without clients lets run() return at once", "[server]") {
    EchoSite<ManualPoller> site;
    CHECK(site.server.drain(7s));
    CHECK(site.rig.loop.run() == 0);
}

TEST_CASE("drain() is over when the last connection has gone, also one that was adopted",
          "[server]") {
    EchoSite<ManualPoller> site;
    const FdPair ends = site.rig.loop.sockets().pair(SocketKind::stream).value();
    site.server.adopt(ends.first).value();
    const Instant start = site.rig.loop.poller().now();
    CHECK(site.server.drain(7s));
    site.rig.loop.sockets().close(ends.second);
    site.rig.loop.run();
    CHECK(site.closed == 1);
    CHECK(site.rig.loop.poller().now() == start);
}

TEST_CASE("a second drain() can only be shorter", "[server]") {
    const auto [second, end] = GENERATE(std::pair(20s, 7s), std::pair(3s, 4s));
    EchoSite<ManualPoller> site({.close_timeout = 100s});
    site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    const Instant start = site.rig.loop.poller().now();
    CHECK(site.server.drain(7s));
    site.rig.loop.after(Duration(1s),
                        [&, patience = second] { CHECK(site.server.drain(patience)); });
    site.rig.loop.run();
    CHECK(site.rig.loop.poller().now() == start + Duration(end));
}

TEST_CASE("a server that listens no longer keeps its connections", "[server]") {
    EchoSite<ManualPoller> site;
    const int fd = site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    site.server.stop_listening();
    CHECK(site.server.listener().local_count() == 0);
    site.say(fd, "still there");
    CHECK(site.hear(fd, 11) == "still there");
}

KERNEL_CASE("a connection knows its peer until it has ended", "[server]") {
    EchoSite<TestType> site;
    const int fd = site.connect();
    while (site.opened < 1) site.rig.loop.run_once();
    site.server.on_close([&](auto& gone, const Error&) {
        ++site.closed;
        CHECK(gone.peer().error() == EBADF);
    });
    site.server.for_each([&](auto& connection) {
        CHECK(connection.peer().value() == site.rig.loop.sockets().local(fd).value());
        connection.abort();
    });
    while (site.closed < 1) site.rig.loop.run_once();
}

namespace {

// Can't be made, the first time.
struct Fragile {
    Fragile() {
        if (attempts++ == 0) throw Thrown();
    }
    static inline int attempts = 0;
};

}  // namespace

KERNEL_CASE("a state that can't be made costs its client, and nobody else", "[server]") {
    Rig<TestType> rig;
    Fragile::attempts = 0;
    Server<EventLoop<TestType>, Fragile> server(rig.loop);
    server.listen(Endpoint::ipv4_loopback(0)).value();
    const Endpoint at = server.local().value();
    const int first = rig.own(rig.loop.sockets().connect_to(at, {}).value());
    CHECK_THROWS_AS(rig.loop.run_once(), Thrown);
    CHECK(server.empty());
    CHECK(server.listener().open_connections() == 0);
    std::byte byte;
    CHECK_FALSE(rig.loop.sockets().read(first, {&byte, 1}).would_block());  // it has been closed
    rig.own(rig.loop.sockets().connect_to(at, {}).value());
    rig.loop.run_once();
    CHECK(server.size() == 1);
}

namespace {

// The last one that knows the server.
struct Owner {
    std::unique_ptr<Server<EventLoop<ManualPoller>, Owner>>* server = nullptr;
    ~Owner() {
        if (server != nullptr) server->reset();
    }
};

}  // namespace

TEST_CASE("a server that the state of its connection destroys says so", "[server]") {
    Rig<ManualPoller> rig;
    auto server = std::make_unique<Server<EventLoop<ManualPoller>, Owner>>(rig.loop);
    const FdPair ends = rig.loop.sockets().pair(SocketKind::stream).value();
    server->find(server->adopt(ends.first).value())->state().server = &server;
    rig.close(ends.second);
    const auto death = dies([&] {
        for (int i = 0; i < 10; ++i) rig.loop.poll();
    });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("must not destroy the connections that call it"));
    server->for_each([](auto& connection) { connection.state().server = nullptr; });
}
