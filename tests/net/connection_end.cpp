// SPDX-License-Identifier: BSL-1.0
// How connections end: by either side, in order or not, by themselves, and in their own handlers.

#include <rondo/net/connection_io.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/connection_rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

KERNEL_CASE("a peer that has finished ends a connection when its replies are sent",
            "[connection_end]") {
    StreamRig<TestType> rig;
    rig.group.on_data([](auto& connection, auto) { connection.send(pattern(2'000'000)); });
    rig.open();
    rig.peer_sends("?");
    rig.peer_finishes();
    std::string all;
    while (all.size() < 2'000'000) {
        rig.rig.loop.poll();
        all += rig.peer_hears();
    }
    CHECK((all == pattern(2'000'000)));
    while (rig.closed == 0) rig.rig.loop.run_once();
    CHECK(rig.reason == 0);
    CHECK(rig.peer_at_end());
}

KERNEL_CASE("with on_end a connection stays open for writing", "[connection_end]") {
    StreamRig<TestType> rig;
    int ended = 0;
    rig.group.on_end([&](auto& connection) {
        ++ended;
        connection.send("and ");
    });
    auto& connection = rig.open();
    rig.peer_sends("x");
    rig.peer_finishes();
    rig.turns();
    CHECK(rig.heard == "x");
    CHECK(ended == 1);
    CHECK(connection.send("more"));
    rig.turns();
    CHECK(rig.peer_hears() == "and more");
    CHECK(rig.closed == 0);
    connection.end();
    while (rig.closed == 0) rig.rig.loop.run_once();
    CHECK(rig.reason == 0);
    CHECK(ended == 1);
}

KERNEL_CASE("end() closes one direction behind what is queued; the other goes on",
            "[connection_end]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    connection.send("last words");
    connection.end();
    CHECK_FALSE(connection.send("too late"));
    rig.turns();
    CHECK(rig.peer_hears() == "last words");
    CHECK(rig.peer_at_end());
    rig.peer_sends("reply");
    rig.turns();
    CHECK(rig.heard == "reply");
    CHECK(rig.closed == 0);
    rig.peer_finishes();
    while (rig.closed == 0) rig.rig.loop.run_once();
    CHECK(rig.reason == 0);
}

KERNEL_CASE("close() sends what is queued, discards what comes, and waits for the peer",
            "[connection_end]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    connection.send(pattern(1'000'000));
    connection.close();
    connection.close();
    CHECK_FALSE(connection.can_send());
    rig.peer_sends("nobody looks at this");
    std::string all;
    while (all.size() < 1'000'000) {
        rig.rig.loop.poll();
        all += rig.peer_hears();
    }
    CHECK((all == pattern(1'000'000)));
    rig.turns();
    CHECK(rig.peer_at_end());
    CHECK(rig.closed == 0);
    rig.rig.close(rig.peer);
    while (rig.closed == 0) rig.rig.loop.run_once();
    CHECK(rig.reason == 0);
    CHECK(rig.heard.empty());
}

TEST_CASE("a peer that never finishes holds up close() as long as its timeout",
          "[connection_end]") {
    StreamRig<ManualPoller> rig({.close_timeout = 3s});
    const Instant start = rig.rig.loop.poller().now();
    rig.open().close();
    rig.rig.loop.run();
    CHECK(rig.closed == 1);
    CHECK(rig.reason == ETIMEDOUT);
    CHECK(rig.rig.loop.poller().now() == start + Duration(3s));
}

TEST_CASE("close() has its own timeout, however long the connection might have been idle",
          "[connection_end]") {
    StreamRig<ManualPoller> rig({.idle_timeout = 20s, .close_timeout = 3s});
    const Instant start = rig.rig.loop.poller().now();
    auto& connection = rig.open();
    rig.rig.loop.run_for(1s);
    connection.close();
    rig.rig.loop.run();
    CHECK(rig.closed == 1);
    CHECK(rig.reason == ETIMEDOUT);
    CHECK(rig.rig.loop.poller().now() == start + Duration(4s));
}

KERNEL_CASE("abort() ends at once, and on_close comes later, once", "[connection_end]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    connection.abort();
    CHECK(rig.closed == 0);
    CHECK(rig.group.find(rig.handle) == nullptr);
    CHECK(rig.group.size() == 1);
    CHECK_FALSE(connection.send("x"));
    connection.abort();
    connection.close();
    connection.end();
    connection.resume();
    connection.flush();
    rig.rig.loop.run();
    CHECK(rig.closed == 1);
    CHECK(rig.reason == ECONNABORTED);
    CHECK(rig.group.empty());
    std::byte byte;
    CHECK_FALSE(rig.rig.loop.sockets().read(rig.peer, {&byte, 1}).would_block());
}

KERNEL_CASE("a peer that closes in the middle of a write ends it with the write's error",
            "[connection_end]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    while (!connection.full()) connection.send(pattern(100'000));
    rig.rig.close(rig.peer);
    while (rig.closed == 0) rig.rig.loop.run_once();
    CHECK((rig.reason == EPIPE || rig.reason == ECONNRESET));
}

KERNEL_CASE("what the peer sent before it closed is delivered although writing fails",
            "[connection_end]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    rig.peer_sends("last words");
    rig.rig.close(rig.peer);
    connection.send("to nobody");
    while (rig.closed == 0) rig.rig.loop.run_once();
    CHECK(rig.heard == "last words");
}

// In its own handlers.

KERNEL_CASE("each handler may close or abort its own connection", "[connection_end]") {
    for (const bool abort : {false, true}) {
        const auto stop = [abort](auto& connection) {
            abort ? connection.abort() : connection.close();
            CHECK_FALSE(connection.send("more"));
            connection.pause();
            connection.resume();
            connection.flush();
        };
        for (int where = 0; where < 4; ++where) {
            StreamRig<TestType> rig({.high_water = 1000, .low_water = 100});
            if (where == 0) rig.group.on_open(stop);
            if (where == 1) {
                rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
                    stop(connection);
                    CHECK(text_of(bytes) == "x");
                });
            }
            if (where == 2) rig.group.on_end(stop);
            if (where == 3) rig.group.on_drain(stop);
            const FdPair ends = rig.rig.loop.sockets().pair(SocketKind::stream).value();
            rig.peer = rig.rig.own(ends.second);
            rig.handle = rig.group.adopt(ends.first).value();
            if (where != 0) rig.peer_sends("x");
            if (where == 2) rig.peer_finishes();
            if (where == 3) {
                auto& connection = *rig.group.find(rig.handle);
                while (!connection.full()) connection.send(pattern(100'000));
                while (connection.can_send()) {
                    rig.peer_hears();
                    rig.rig.loop.poll();
                    if (rig.closed != 0) break;
                }
            }
            rig.turns();
            rig.peer_hears();
            if (!abort && where != 2) rig.peer_finishes();
            while (rig.closed == 0) rig.rig.loop.run_once();
            rig.turns();
            CHECK(rig.closed == 1);
            CHECK(rig.reason == (abort ? ECONNABORTED : 0));
            CHECK(rig.group.empty());
        }
    }
}

KERNEL_CASE("a handler may end another connection, and one that is due already",
            "[connection_end]") {
    StreamRig<TestType> rig;
    rig.open();
    const int first_peer = rig.peer;
    rig.open();
    rig.group.on_data([&](auto&, auto) {
        rig.heard += 'x';
        rig.group.for_each([](auto& each) { each.abort(); });
    });
    rig.peer_sends(first_peer, "a");
    rig.peer_sends("b");
    rig.rig.loop.run();
    CHECK(rig.heard == "x");
    CHECK(rig.closed == 2);
}

KERNEL_CASE("on_close may open and end others, and its own state is still there",
            "[connection_end]") {
    struct Name {
        std::string text = "unset";
    };
    StreamRig<TestType, Name> rig;
    std::string order;
    int left = 3;
    rig.group.on_close([&](auto& connection, const Error&) {
        order += connection.state().text;
        if (--left != 0) rig.open().state().text = "next ";
        rig.group.for_each([](auto& each) { each.abort(); });
    });
    auto& first = rig.open();
    first.state().text = "first ";
    first.abort();
    rig.rig.loop.run();
    CHECK(order == "first next next ");
    CHECK(rig.group.empty());
}

KERNEL_CASE("an exception of on_close still ends the connection", "[connection_end]") {
    StreamRig<TestType> rig;
    rig.group.on_close([](auto&, const Error&) { throw Thrown(); });
    rig.open().abort();
    CHECK_THROWS_AS(rig.rig.loop.run(), Thrown);
    CHECK(rig.group.empty());
    CHECK(rig.rig.loop.run() == 0);
}

KERNEL_CASE("a group that is destroyed closes its connections and calls nobody",
            "[connection_end]") {
    Rig<TestType> rig;
    const FdPair ends = rig.loop.sockets().pair(SocketKind::stream).value();
    rig.own(ends.second);
    int called = 0;
    {
        Connections<typename Rig<TestType>::Loop> group(rig.loop);
        group.on_close([&](auto&, const Error&) { ++called; });
        group.adopt(ends.first).value();
        auto& connection = *group.find(group.adopt(rig.own(rig.readable())).value());
        connection.close();
    }
    std::byte byte;
    const IoResult got = rig.loop.sockets().read(ends.second, {&byte, 1});
    CHECK((got && got.bytes == 0));
    CHECK(rig.loop.run() == 0);
    CHECK(called == 0);
}

#ifndef RONDO_NO_ASSERT
TEST_CASE("a handler that destroys its group asserts", "[connection_end]") {
    ManualRig rig;
    auto group = std::make_unique<Connections<ManualRig::Loop>>(rig.loop);
    group->on_open([&](auto&) { group.reset(); });
    const FdPair ends = rig.loop.sockets().pair(SocketKind::stream).value();
    const auto death = dies([&] { static_cast<void>(group->adopt(ends.first)); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("must not destroy the connections that call it"));
    rig.own(ends.first);
    rig.own(ends.second);
}

TEST_CASE("a connection's handler that is empty asserts", "[connection_end]") {
    using Group = StreamRig<ManualPoller>::Group;
    using Connection = Group::Connection;
    StreamRig<ManualPoller> rig;
    const auto event = dies([&] { rig.group.on_drain(std::function<void(Connection&)>()); });
    CHECK_THAT(event.message, ContainsSubstring("an empty handler was given"));
    const auto data = dies(
        [&] { rig.group.on_data(std::function<void(Connection&, std::span<const std::byte>)>()); });
    CHECK_THAT(data.message, ContainsSubstring("an empty handler was given"));
}
#endif

TEST_CASE("a handle of a connection that is gone finds nothing, also when its place is used again",
          "[connection_end]") {
    StreamRig<ManualPoller> rig;
    rig.open();
    const ConnectionHandle early = rig.handle;
    rig.group.find(early)->abort();
    rig.turns();
    rig.open();
    CHECK(rig.group.find(early) == nullptr);
    CHECK(rig.group.find(rig.handle) != nullptr);
    CHECK_FALSE(ConnectionHandle());
    CHECK(rig.group.find({}) == nullptr);
}

// Limits and time.

TEST_CASE("too many unsent or unconsumed bytes end a connection", "[connection_end]") {
    StreamRig<ManualPoller> rig(
        {.high_water = 1000, .low_water = 0, .unsent_max = 50'000, .unconsumed_max = 1000});
    auto& connection = rig.open();
    while (connection.send(pattern(9000))) CHECK(connection.unsent() <= 50'000);
    rig.turns();
    CHECK(rig.reason == ENOBUFS);
    rig.group.on_data([](auto&, auto) { return size_t{0}; });
    rig.open();
    rig.peer_sends(pattern(1000));
    rig.turns();
    CHECK(rig.closed == 1);
    rig.peer_sends("x");
    rig.turns();
    CHECK(rig.reason == EMSGSIZE);
}

TEST_CASE("what on_data has left isn't shown after close()", "[connection_end]") {
    StreamRig<ManualPoller> rig;
    int calls = 0;
    rig.group.on_data([&](auto& connection, auto) -> size_t {
        ++calls;
        connection.pause();
        return 0;
    });
    auto& connection = rig.open();
    rig.peer_sends("a");
    rig.turns();
    REQUIRE(calls == 1);
    connection.resume();
    connection.close();
    rig.turns();
    CHECK(calls == 1);
}

TEST_CASE("a peer that doesn't get all that was sent is told by a reset", "[connection_end]") {
    const bool lost = GENERATE(true, false);
    StreamRig<ManualPoller> rig({.idle_timeout = 10s});
    auto& connection = rig.open();
    connection.send(pattern(lost ? 1'000'000 : 1000));
    rig.rig.loop.run();
    CHECK(rig.reason == ETIMEDOUT);
    std::vector<std::byte> bytes(2'000'000);
    IoResult got = rig.rig.loop.sockets().read(rig.peer, bytes);
    while (got && got.bytes != 0) got = rig.rig.loop.sockets().read(rig.peer, bytes);
    CHECK(got.code == (lost ? ECONNRESET : 0));
}

TEST_CASE("a peer that misses bytes because memory was out is told by a reset",
          "[connection_end]") {
    using Counting = CountingMemory<72>;
    StreamRig<ManualPoller, NoState, Plain, Counting> rig;
    auto& connection = rig.open();
    rig.rig.world().set_capacity(1000);
    Counting::fail_after(1);
    CHECK_FALSE(connection.send(pattern(5000)));
    Counting::never_fail();
    rig.turns();
    CHECK(rig.reason == ENOMEM);
    std::vector<std::byte> bytes(5000);
    IoResult got = rig.rig.loop.sockets().read(rig.peer, bytes);
    while (got && got.bytes != 0) got = rig.rig.loop.sockets().read(rig.peer, bytes);
    CHECK(got.code == ECONNRESET);
}

TEST_CASE("an idle connection ends by its timeout, and activity puts it off", "[connection_end]") {
    StreamRig<ManualPoller> rig({.idle_timeout = 10s});
    auto& connection = rig.open();
    auto& loop = rig.rig.loop;
    const Instant start = loop.poller().now();
    loop.after(Duration(6s), [&] { rig.peer_sends("x"); });
    loop.after(Duration(12s), [&] { connection.send("y"); });
    loop.run();
    CHECK(rig.reason == ETIMEDOUT);
    CHECK(loop.poller().now() == start + Duration(22s));
}

TEST_CASE("a read timeout counts only while it reads", "[connection_end]") {
    StreamRig<ManualPoller> rig({.read_timeout = 10s});
    auto& connection = rig.open();
    auto& loop = rig.rig.loop;
    const Instant start = loop.poller().now();
    loop.after(Duration(5s), [&] { connection.pause(); });
    loop.after(Duration(50s), [&] { connection.resume(); });
    loop.run();
    CHECK(rig.reason == ETIMEDOUT);
    CHECK(loop.poller().now() == start + Duration(60s));
}

TEST_CASE("a read timeout begins anew when the replies have left", "[connection_end]") {
    StreamRig<ManualPoller> rig({.high_water = 1000, .read_timeout = 10s});
    rig.group.on_data([&](auto& connection, auto) {
        while (!connection.full()) connection.send(pattern(100'000));
    });
    rig.open();
    auto& loop = rig.rig.loop;
    const Instant start = loop.poller().now();
    rig.peer_sends("all of it");
    rig.turns();
    loop.after(Duration(50s), [&] {
        for (int i = 0; i < 20; ++i) {
            rig.peer_hears();
            rig.turns(1);
        }
    });
    loop.run();
    CHECK(rig.reason == ETIMEDOUT);
    CHECK(loop.poller().now() == start + Duration(60s));
}

TEST_CASE("a write timeout counts while bytes wait and none leave", "[connection_end]") {
    StreamRig<ManualPoller> rig({.write_timeout = 10s});
    auto& connection = rig.open();
    auto& loop = rig.rig.loop;
    const Instant start = loop.poller().now();
    loop.after(Duration(100s), [&] {
        while (connection.unsent() < 500'000) connection.send(pattern(100'000));
    });
    loop.after(Duration(106s), [&] { rig.peer_hears(); });
    loop.run();
    CHECK(rig.reason == ETIMEDOUT);
    CHECK(loop.poller().now() == start + Duration(116s));
}

namespace {

/// Can't tell that no more will come.
struct Unfinished : Plain {
    static IoResult finish(auto&, int) noexcept { return {0, ENOTCONN}; }
};

}  // namespace

KERNEL_CASE("a half-close that fails is told, behind what the peer has sent", "[connection_end]") {
    StreamRig<TestType, NoState, Unfinished> it;
    auto& connection = it.open();
    it.peer_sends("last words");
    connection.end();
    it.turns();
    REQUIRE(it.heard == "last words");
    REQUIRE(it.closed == 1);
    REQUIRE(it.reason == ENOTCONN);
}
