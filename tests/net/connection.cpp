// SPDX-License-Identifier: BSL-1.0
// What a connection promises, on every poller. How it ends is in connection_end.cpp.

#include <rondo/net/connection.hpp>

#include <array>
#include <string>
#include <vector>

#include "net/connection_rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

// Reading.

KERNEL_CASE("on_data is shown what has come", "[connection]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    rig.peer_sends("hello");
    rig.turns();
    CHECK(rig.heard == "hello");
    rig.peer_sends(", world");
    rig.turns();
    CHECK(rig.heard == "hello, world");
    CHECK(connection.counters().received == 12);
    CHECK(connection.handle() == rig.handle);
}

KERNEL_CASE("what on_data leaves is shown again before what comes next", "[connection]") {
    StreamRig<TestType> rig;
    std::vector<std::string> shown;
    rig.group.on_data([&](auto&, std::span<const std::byte> bytes) {
        const std::string text = text_of(bytes);
        shown.push_back(text);
        const size_t end = text.rfind('\n');
        return end == std::string::npos ? 0 : end + 1;
    });
    auto& connection = rig.open();
    for (const char* part : {"on", "e\ntw", "o\n", "three"}) {
        rig.peer_sends(part);
        rig.turns();
    }
    CHECK(shown == std::vector<std::string>{"on", "one\ntw", "two\n", "three"});
    CHECK(connection.unconsumed() == 5);
}

KERNEL_CASE("much that comes at once is read to its end, and nobody starves", "[connection]") {
    StreamRig<TestType> rig;
    const std::string all = pattern(3'000'000);
    size_t turns_of_others = 0;
    rig.open();
    const auto other =
        rig.rig.loop.watch(rig.rig.readable(), Interest::read, [&] { ++turns_of_others; });
    size_t sent = 0;
    while (rig.heard.size() < all.size()) {
        const auto rest = std::as_bytes(std::span(all).subspan(sent));
        sent += rig.rig.loop.sockets().write(rig.peer, rest).bytes;
        rig.rig.loop.poll();
    }
    CHECK(rig.heard == all);
    CHECK(turns_of_others > 0);
}

KERNEL_CASE("bytes and the end of the stream that come together are both delivered",
            "[connection]") {
    StreamRig<TestType> rig;
    for (int i = 1; i <= 1000; ++i) {
        rig.open();
        rig.peer_sends("x");
        rig.rig.close(rig.peer);
        while (rig.closed < i) rig.rig.loop.run_once();
        CHECK(rig.reason == 0);
    }
    CHECK(rig.heard == std::string(1000, 'x'));
    CHECK(rig.group.empty());
}

KERNEL_CASE("a paused connection reads nothing, and resume shows what was left", "[connection]") {
    StreamRig<TestType> rig;
    std::string used;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        used += text_of(bytes.first(1));
        connection.pause();
        return size_t{1};
    });
    auto& connection = rig.open();
    rig.peer_sends("abc");
    rig.turns();
    CHECK(used == "a");
    rig.peer_sends("d");
    rig.turns();
    CHECK(used == "a");
    for (const char* expected : {"ab", "abc", "abcd"}) {
        connection.resume();
        rig.turns();
        CHECK(used == expected);
    }
    CHECK_FALSE(connection.unconsumed() != 0);
}

KERNEL_CASE("a nested turn serves others and changes no byte that a handler looks at",
            "[connection]") {
    StreamRig<TestType> rig;
    auto& first = rig.open();
    const int first_peer = rig.peer;
    rig.open();
    std::string inner;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        if (&connection != &first) {
            inner += text_of(bytes);
            return;
        }
        const std::string before = text_of(bytes);
        if (rig.heard.empty()) {
            rig.heard = before;
            rig.peer_sends(pattern(5000));
            rig.peer_sends(first_peer, "more");
            rig.turns();
            CHECK((text_of(bytes) == before));
        } else {
            rig.heard += before;
        }
    });
    rig.peer_sends(first_peer, pattern(3000));
    rig.turns();
    CHECK((inner == pattern(5000)));
    CHECK((rig.heard == pattern(3000) + "more"));
}

KERNEL_CASE("bytes that a nested turn in on_open was told of are not lost", "[connection]") {
    StreamRig<TestType> rig;
    rig.group.on_open([&](auto&) {
        rig.peer_sends("early");
        rig.turns();
        CHECK(rig.heard.empty());  // on_open comes first, also if it takes its time
    });
    const FdPair ends = rig.rig.loop.sockets().pair(SocketKind::stream).value();
    rig.peer = rig.rig.own(ends.second);
    rig.group.adopt(ends.first).value();
    rig.turns();
    CHECK(rig.heard == "early");
}

KERNEL_CASE("an exception of on_data leaves run(), and the connection goes on", "[connection]") {
    StreamRig<TestType> rig;
    int calls = 0;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        connection.send("got ");
        connection.send(bytes);
        if (++calls == 1) throw Thrown();
    });
    rig.open();
    rig.peer_sends("one");
    CHECK_THROWS_AS(rig.turns(), Thrown);
    rig.turns();
    CHECK(rig.peer_hears() == "got one");
    rig.peer_sends("two");
    rig.turns();
    CHECK(rig.peer_hears() == "got two");
}

// Writing.

KERNEL_CASE("send outside of a handler leaves at once", "[connection]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    CHECK(connection.send("at once"));
    CHECK(rig.peer_hears() == "at once");
    CHECK(connection.unsent() == 0);
    CHECK(connection.counters().sent == 7);
}

KERNEL_CASE("what a handler sends leaves when it returns, in order, and flush() sends it now",
            "[connection]") {
    StreamRig<TestType> rig;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        connection.send(bytes.first(2));
        connection.send(bytes.subspan(2, 2));
        connection.send("-");
        connection.send(std::string(1000, '+'));
        connection.send(bytes.subspan(4));
        CHECK(rig.peer_hears().empty());
        CHECK(connection.unsent() == bytes.size() + 1001);
        if (text_of(bytes) == "flushed") {
            connection.flush();
            CHECK(connection.unsent() == 0);
            CHECK(rig.peer_hears() == "flus-" + std::string(1000, '+') + "hed");
        }
    });
    rig.open();
    rig.peer_sends("return");
    rig.turns();
    CHECK(rig.peer_hears() == "retu-" + std::string(1000, '+') + "rn");
    rig.peer_sends("flushed");
    rig.turns();
    CHECK(rig.peer_hears().empty());
}

KERNEL_CASE("what a handler was shown it may send in any order", "[connection]") {
    StreamRig<TestType> rig;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        connection.send(bytes.last(2));
        connection.send(bytes.first(2));
        connection.send(std::string(1000, '+'));
        connection.send(bytes.first(1));
        connection.send(std::string(1000, '-'));
    });
    rig.open();
    rig.peer_sends("abcd");
    rig.turns();
    CHECK(rig.peer_hears() == "cdab" + std::string(1000, '+') + "a" + std::string(1000, '-'));
}

KERNEL_CASE("an echo gives back every byte in order", "[connection]") {
    StreamRig<TestType> rig;
    rig.group.on_data(
        [](auto& connection, std::span<const std::byte> bytes) { connection.send(bytes); });
    rig.open();
    const std::string all = pattern(2'000'000);
    std::string back;
    size_t sent = 0;
    while (back.size() < all.size()) {
        const auto rest = std::as_bytes(std::span(all).subspan(sent));
        sent += rig.rig.loop.sockets().write(rig.peer, rest).bytes;
        rig.rig.loop.poll();
        back += rig.peer_hears();
    }
    CHECK(back == all);
}

KERNEL_CASE("moved-in strings and vectors are sent in order with what is copied", "[connection]") {
    StreamRig<TestType> rig;
    auto& connection = rig.open();
    std::string expected;
    std::string received;
    for (int i = 0; i < 300; ++i) {
        std::string text = pattern(static_cast<size_t>(i) * 37 % 3000);
        expected += text;
        if (i % 3 == 0) {
            CHECK(connection.send(std::string_view(text)));
        } else if (i % 3 == 1) {
            CHECK(connection.send(std::move(text)));
        } else {
            CHECK(connection.send(std::vector<char>(text.begin(), text.end())));
        }
    }
    while (received.size() < expected.size()) {
        rig.rig.loop.poll();
        received += rig.peer_hears();
    }
    CHECK(received == expected);
}

KERNEL_CASE("above the high-water mark it reads no more until the peer has read", "[connection]") {
    StreamRig<TestType> rig({.high_water = 50'000, .low_water = 10'000});
    int drained = 0;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        rig.heard += text_of(bytes);
        connection.send(std::string(100'000, 'x'));
    });
    rig.group.on_drain([&](auto& connection) {
        ++drained;
        CHECK(connection.unsent() <= 10'000);
        CHECK_FALSE(connection.full());
    });
    auto& connection = rig.open();
    size_t asked = 0;
    while (!connection.full()) {
        rig.peer_sends("1");
        ++asked;
        rig.turns();
    }
    CHECK(connection.unsent() <= 150'000);
    rig.peer_sends("2");
    rig.turns(10);
    CHECK(rig.heard == std::string(asked, '1'));
    CHECK(drained == 0);
    size_t received = 0;
    while (received < (asked + 1) * 100'000) {
        received += rig.peer_hears().size();
        rig.rig.loop.poll();
    }
    CHECK(received == (asked + 1) * 100'000);
    CHECK(rig.heard == std::string(asked, '1') + "2");
    CHECK(drained >= 1);
    CHECK(connection.unsent() == 0);
}

TEST_CASE("on_drain isn't told of a queue that isn't below the mark", "[connection]") {
    StreamRig<ManualPoller> rig({.high_water = 1000, .pause_if_full = false});
    rig.rig.world().set_capacity(3000);
    const bool refilled = GENERATE(true, false);
    int drained = 0;
    rig.group.on_drain([&](auto&) { ++drained; });
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) -> size_t {
        if (connection.counters().sent == 0) {
            connection.send(pattern(4100));
            connection.pause();
            return 0;
        }
        std::vector<std::byte> room(refilled ? 3000 : 1100);
        CHECK(rig.rig.loop.sockets().read(rig.peer, room).bytes == room.size());
        rig.rig.loop.poll();
        if (refilled) {
            connection.flush();
            connection.send(pattern(4100));
        } else {
            connection.send(bytes);  // waits where it is
        }
        return bytes.size();
    });
    auto& connection = rig.open();
    rig.peer_sends(pattern(600));
    rig.turns();
    REQUIRE(connection.unsent() == 1100);
    connection.resume();  // so it isn't the descriptor's handler that shows them again
    rig.turns();
    CHECK(connection.unsent() == (refilled ? 2200 : 600));
    CHECK(drained == 0);
}

TEST_CASE("a connection that others have filled goes on reading", "[connection]") {
    StreamRig<ManualPoller> rig({.high_water = 1000});
    auto& connection = rig.open();
    while (!connection.full()) connection.send(pattern(100'000));
    for (const char* const text : {"a", "b", "c"}) {
        rig.peer_sends(text);
        rig.turns();
    }
    CHECK(rig.heard == "abc");
}

TEST_CASE("a connection costs an add and a remove, and one change when the kernel is full",
          "[connection]") {
    StreamRig<ManualPoller> rig;
    rig.group.on_data(
        [](auto& connection, std::span<const std::byte> bytes) { connection.send(bytes); });
    const auto& counted = rig.rig.world().counters();
    const size_t adds = counted.adds;
    auto& connection = rig.open();
    for (int i = 0; i < 20; ++i) {
        rig.peer_sends("ping");
        rig.turns();
        connection.pause();
        rig.turns();
        connection.resume();
        rig.turns();
        CHECK(rig.peer_hears() == "ping");
    }
    CHECK(counted.modifies == 0);
    for (int i = 0; i < 3; ++i) {
        while (connection.unsent() == 0) connection.send(pattern(10'000));
        while (connection.unsent() != 0) {
            rig.peer_hears();
            rig.turns();
        }
    }
    CHECK(counted.modifies == 1);
    rig.group.find(rig.handle)->abort();
    rig.turns();
    CHECK(counted.adds == adds + 1);
    CHECK(counted.removes == 1);
}

TEST_CASE("the low-water mark is a quarter of the high one unless it is given", "[connection]") {
    StreamRig<ManualPoller> rig({.high_water = 1000});
    CHECK(rig.group.options().low_water == 250);
    StreamRig<ManualPoller> other({.high_water = 1000, .low_water = 0});
    CHECK(other.group.options().low_water == 0);
}

TEST_CASE("what on_data has left is shown when it has paused and resumed", "[connection]") {
    StreamRig<ManualPoller> rig;
    int calls = 0;
    rig.group.on_data([&](auto& connection, std::span<const std::byte> bytes) -> size_t {
        if (++calls > 1) return bytes.size();
        connection.pause();
        connection.resume();
        return 1;
    });
    auto& connection = rig.open();
    rig.peer_sends("abc");
    rig.turns();
    CHECK(calls == 2);
    CHECK(connection.unconsumed() == 0);
}

// Handles and states.

KERNEL_CASE("each connection has a state of its own", "[connection]") {
    struct Count {
        int calls = 0;
    };
    StreamRig<TestType, Count> rig;
    rig.group.on_data([](auto& connection, auto) { ++connection.state().calls; });
    auto& first = rig.open();
    const int first_peer = rig.peer;
    auto& second = rig.open();
    for (int i = 0; i < 3; ++i) {
        rig.peer_sends(first_peer, "x");
        rig.turns();
    }
    rig.peer_sends("x");
    rig.turns();
    CHECK(first.state().calls == 3);
    CHECK(second.state().calls == 1);
}

TEST_CASE("what can't be watched is refused, and stays the caller's", "[connection]") {
    StreamRig<ManualPoller> rig;
    CHECK(rig.group.adopt(-1).error() == EBADF);
    rig.open();
    const int fd = rig.group.find(rig.handle)->fd();
    CHECK(rig.group.adopt(fd).error() == EEXIST);
    rig.peer_sends("still there");
    rig.turns();
    CHECK(rig.heard == "still there");
    CHECK(rig.group.size() == 1);
}

KERNEL_CASE("both ends of a pipe can be connections", "[connection]") {
    StreamRig<TestType> rig;
    const FdPair ends = rig.rig.loop.sockets().pipe().value();
    rig.group.adopt(ends.first).value();
    auto& writer = *rig.group.find(rig.group.adopt(ends.second).value());
    CHECK(writer.send("through the pipe"));
    rig.turns();
    CHECK(rig.heard == "through the pipe");
    writer.end();
    while (rig.closed < 2) rig.rig.loop.run_once();
    CHECK(rig.reason == 0);
}

TEST_CASE("a handler that got no memory is told when a connection is adopted", "[connection]") {
    using Counting = CountingMemory<71>;
    StreamRig<ManualPoller, NoState, Plain, Counting> rig;
    const std::array<char, 100> large{'!'};
    const auto set = [&] {
        rig.group.on_end([&rig, large](auto&) { rig.heard += large[0]; });
        const FdPair ends = rig.rig.loop.sockets().pair(SocketKind::stream).value();
        rig.rig.own(ends.second);
        auto adopted = rig.group.adopt(ends.first);
        if (!adopted) rig.rig.own(ends.first);
        return adopted;
    };
    Counting::fail_after(1);
    CHECK(set().error() == ENOMEM);
    Counting::never_fail();
    CHECK(set().error() == ENOMEM);  // it isn't forgotten
}

TEST_CASE("each allocation that fails ends a connection or refuses it, and leaks nothing",
          "[connection]") {
    using Counting = CountingMemory<67>;
    {
        StreamRig<ManualPoller, NoState, Plain, Counting> rig(
            {.idle_timeout = Duration::seconds(9)});
        const int failures = with_each_allocation_failing<Counting>([&](int) {
            const FdPair ends = rig.rig.loop.sockets().pair(SocketKind::stream).value();
            rig.rig.own(ends.second);
            const auto adopted = rig.group.adopt(ends.first);
            if (!adopted) {
                CHECK(adopted.error() == ENOMEM);
                return rig.rig.loop.sockets().close(ends.first);
            }
            const int before = rig.closed;
            rig.peer_sends(ends.second, "abc");
            rig.turns();
            if (auto* const connection = rig.group.find(*adopted)) {
                connection->send(pattern(1'000'000));
                rig.turns();
            }
            if (auto* const connection = rig.group.find(*adopted)) connection->abort();
            rig.turns();
            CHECK(rig.closed == before + 1);
            CHECK((rig.reason == ENOMEM || rig.reason == ECONNABORTED));
        });
        CHECK(failures >= 3);
        CHECK(rig.group.empty());
    }
    CHECK(Counting::held() == 0);
}
