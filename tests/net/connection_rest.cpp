// SPDX-License-Identifier: BSL-1.0
// Connections in corners: bytes that on_data has left when the end comes, a peer that resets before
// a half-close, timers of what is in the background.

#include <errno.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <rondo/backend/default_poller.hpp>
#include <rondo/net/connections.hpp>
#include <rondo/net/framing.hpp>

#include "net/connection_rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {
/// Reads three bytes at a time, and writes nothing: the peer hears no more.
struct Unheard : Plain {
    template <class Sockets>
    static IoResult read(Sockets& sockets, int fd, std::span<std::byte> in) noexcept {
        return Plain::read(sockets, fd, in.first(3));
    }
    template <class Sockets>
    static IoResult write(Sockets&, int, std::span<const ConstBuffer>) noexcept {
        return {0, EPIPE};
    }
};
}  // namespace

KERNEL_CASE("what on_data has left is shown before the end, if it has paused and resumed",
            "[connection]") {
    StreamRig<TestType> it;
    std::string heard;
    it.group.on_data([&](auto& connection, std::span<const std::byte> bytes) -> size_t {
        const std::string text = text_of(bytes);
        const size_t end = text.find('\n');
        if (end == text.npos) return 0;
        heard += text.substr(0, end) + ";";
        connection.pause();
        connection.resume();
        return end + 1;
    });
    it.open();
    it.peer_sends("a\nb\nc\n");
    it.peer_finishes();
    it.turns(20);
    CHECK(heard == "a;b;c;");
    CHECK(it.closed == 1);
    CHECK(it.reason == 0);
}

KERNEL_CASE("what on_data has left is shown although nobody hears the replies any more",
            "[connection]") {
    StreamRig<TestType> it({.high_water = 1000, .low_water = 100});
    int messages = 0;
    it.group.on_data(delimited("\n", [&](auto& connection, std::string_view) {
        ++messages;
        connection.send(std::string(1'000'000, 'x'));
    }));
    it.open();
    it.peer_sends("a\nb\nc\n");
    it.turns(5);
    CHECK(messages == 1);
    it.rig.close(it.peer);
    it.turns(20);
    CHECK(messages == 3);
    CHECK(it.closed == 1);
}

KERNEL_CASE("what on_data has left because it was full waits for room, and is shown before the end",
            "[connection]") {
    StreamRig<TestType> it({.high_water = 700'000, .low_water = 10});
    std::string heard;
    it.group.on_data([&](auto& connection, std::span<const std::byte> bytes) -> size_t {
        const std::string text = text_of(bytes);
        size_t used = 0;
        while (connection.wants_more()) {
            const size_t end = text.find('\n', used);
            if (end == text.npos) break;
            heard += text.substr(used, end - used) + ";";
            used = end + 1;
            connection.send(std::string(1'000'000, 'x'));
        }
        // There is some room, but not all.
        for (int i = 0; i < 10 && connection.unsent() > 600'000; ++i) {
            it.peer_hears();
            it.rig.loop.poll();
            connection.flush();
        }
        return used;
    });
    const auto peer_reads = [&] {
        for (int i = 0; i < 40; ++i) {
            it.peer_hears();
            it.rig.loop.poll();
        }
    };
    auto& connection = it.open();
    connection.send(std::string(1'000'000, 'y'));  // from now on it is told of room
    peer_reads();
    connection.pause();
    it.peer_sends("a\nb\n");
    it.peer_finishes();
    it.turns();
    connection.resume();  // on_data is called by the group's service
    it.turns();
    CHECK(heard == "a;");
    peer_reads();
    CHECK(heard == "a;b;");
    peer_reads();
    CHECK(it.closed == 1);
    CHECK(it.reason == 0);
}

KERNEL_CASE("who pauses after a write has failed is shown no more: it ends", "[connection]") {
    StreamRig<TestType, NoState, Unheard> it;
    bool paused = false;
    it.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        CHECK_FALSE(paused);
        it.heard += text_of(bytes);
        if (it.heard == "onetwo") {
            connection.pause();
            paused = true;
        }
    });
    auto& connection = it.open();
    it.peer_sends("onetwosix");
    connection.send("x");
    it.turns(5);
    CHECK(it.heard == "onetwo");
    CHECK(it.closed == 1);
    CHECK(it.reason == EPIPE);
}

KERNEL_CASE("a limit of unsent bytes below the high-water mark lowers that", "[connection]") {
    StreamRig<TestType> it({.unsent_max = 50'000});
    CHECK(it.group.options().high_water == 50'000);
    CHECK(it.group.options().low_water == 12'500);
    auto& connection = it.open();
    bool sent = true;
    for (int i = 0; i < 90 && sent; ++i) sent = connection.send(std::string(10'000, 'x'));
    CHECK_FALSE(sent);
    it.turns();
    CHECK(it.closed == 1);
    CHECK(it.reason == ENOBUFS);

    StreamRig<TestType> own({.low_water = 60'000, .unsent_max = 50'000});
    CHECK(own.group.options().low_water == 50'000);
}

KERNEL_CASE("on_drain comes although the queue has fallen while on_end was running",
            "[connection]") {
    StreamRig<TestType> it({.high_water = 1000, .low_water = 100});
    int drained = 0;
    it.group.on_drain([&](auto&) { ++drained; });
    const auto fill = [](auto& connection) {
        while (!connection.full()) connection.send(std::string(100'000, 'x'));
    };
    const auto peer_reads = [&] {
        for (int i = 0; i < 20; ++i) {
            it.peer_hears();
            it.rig.loop.poll();
        }
    };
    it.group.on_end([&](auto& connection) {
        fill(connection);
        peer_reads();
    });
    auto& connection = it.open();
    fill(connection);  // from now on it is told of room
    peer_reads();
    CHECK(drained == 1);
    connection.pause();
    it.peer_finishes();
    it.turns();
    connection.resume();  // on_end is called by the group's service
    it.turns();
    peer_reads();
    CHECK(drained == 2);
    CHECK_FALSE(connection.full());
}

KERNEL_CASE("the timers of a connection in the background don't keep the loop going",
            "[connection]") {
    StreamRig<TestType> it({.idle_timeout = Duration::seconds(3600)});
    it.open().set_background(true);
    CHECK(it.rig.loop.run() == 0);
    CHECK(it.closed == 0);
}

TEST_CASE("a reset is told as one, also if it is noticed by a half-close", "[kernel]") {
    StreamRig<DefaultPoller> it;
    auto& sockets = it.rig.loop.sockets();
    const int listener = it.rig.own(sockets.listen_on(Endpoint::ipv4_loopback(0), {}).value());
    const Endpoint at = sockets.local(listener).value();
    const int fd = sockets.connect_to(at, {}).value();
    const int peer = sockets.accept(listener).value().fd;
    auto& connection = *it.group.find(it.group.adopt(fd).value());
    it.turns();
    sockets.set_linger_reset(peer, true).value();
    sockets.close(peer);
    connection.close();
    it.turns(20);
    CHECK(it.closed == 1);
    CHECK(it.reason == ECONNRESET);
}
