// SPDX-License-Identifier: BSL-1.0
#include <rondo/net/listener.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

// A listener that keeps what it accepts, and clients for it.
template <class P>
struct Site {
    using Loop = EventLoop<P>;

    explicit Site(ListenerLimits limits = {})
        : listener(
              rig.loop, [this](int fd, const Endpoint&) { accepted.push_back(rig.own(fd)); },
              limits) {}

    Endpoint open() {
        listener.listen(Endpoint::ipv4_loopback(0)).value();
        return listener.local().value();
    }
    int connect(const Endpoint& to) {
        return rig.own(rig.loop.sockets().connect_to(to, {}).value());
    }
    // Turns until `count` connections were accepted.
    void await(size_t count) {
        while (accepted.size() < count) rig.loop.run_once();
    }

    Rig<P> rig;
    std::vector<int> accepted;
    Listener<Loop> listener;
};

}  // namespace

KERNEL_CASE("a listener hands over connections with the peer's address", "[listener]") {
    Rig<TestType> rig;
    int fd = -1;
    Endpoint seen;
    Listener listener(rig.loop, [&](int accepted, const Endpoint& peer) {
        fd = rig.own(accepted);
        seen = peer;
    });
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    const Endpoint at = listener.local().value();
    CHECK(at.port() != 0);
    const int client = rig.own(rig.loop.sockets().connect_to(at, {}).value());
    while (fd < 0) rig.loop.run_once();
    CHECK(seen == rig.loop.sockets().local(client).value());
    CHECK(listener.counters().accepted == 1);
}

KERNEL_CASE("one listener listens on several endpoints", "[listener]") {
    Site<TestType> site;
    const Endpoint first = site.open();
    REQUIRE(site.listener.listen(Endpoint::ipv4_loopback(0)));
    const Endpoint second = site.listener.local(1).value();
    CHECK_FALSE(first == second);
    site.connect(first);
    site.connect(second);
    site.await(2);
    CHECK(site.listener.counters().accepted == 2);
}

KERNEL_CASE("an adopted socket is accepted on, and closed with the listener", "[listener]") {
    Site<TestType> site;
    auto& sockets = site.rig.loop.sockets();
    const int fd = sockets.listen_on(Endpoint::ipv4_loopback(0), {}).value();
    REQUIRE(site.listener.adopt(fd));
    CHECK(site.listener.adopt(fd).error() == EEXIST);
    site.connect(site.listener.local().value());
    site.await(1);
    site.listener.close();
    CHECK(sockets.listens(fd).error() == EBADF);
}

KERNEL_CASE("what doesn't listen is not adopted, and stays open", "[listener]") {
    Site<TestType> site;
    auto& sockets = site.rig.loop.sockets();
    const int stream = site.rig.own(sockets.open(Family::ipv4, SocketKind::stream).value());
    const int datagram = site.rig.own(sockets.open(Family::ipv4, SocketKind::datagram).value());
    CHECK(site.listener.adopt(stream).error() == EINVAL);
    CHECK(site.listener.adopt(datagram).error() == EINVAL);
    CHECK(site.listener.adopt(-1).error() == EBADF);
    CHECK(site.listener.local_count() == 0);
    CHECK_FALSE(sockets.listens(stream).value());
    site.listener.adopt_inherited().value();
    CHECK(site.listener.local_count() == 0);
}

KERNEL_CASE("a port in use is a clear error, and the listener goes on with what it has",
            "[listener]") {
    Site<TestType> site;
    const Endpoint taken = site.open();
    Listener other(site.rig.loop, [](int, const Endpoint&) {});
    const auto refused = other.listen(taken);
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == EADDRINUSE);
    CHECK_THAT(std::string(refused.error().message().view()), ContainsSubstring("in use"));
    site.connect(taken);
    site.await(1);
}

TEST_CASE("a turn accepts no more than the budget, the rest comes in later turns", "[listener]") {
    Site<ManualPoller> site({.accepts_per_turn = 4});
    const Endpoint at = site.open();
    for (int i = 0; i < 10; ++i) site.connect(at);
    site.rig.loop.run_once();
    CHECK(site.accepted.size() == 4);
    site.rig.loop.run_once();
    site.rig.loop.run_once();
    CHECK(site.accepted.size() == 10);
}

TEST_CASE("at the limit of open connections it stops asking until one is closed", "[listener]") {
    Site<ManualPoller> site({.connections_max = 2});
    const Endpoint at = site.open();
    for (int i = 0; i < 3; ++i) site.connect(at);
    site.rig.loop.run_once();
    CHECK(site.accepted.size() == 2);
    CHECK(site.listener.paused());
    CHECK(site.rig.loop.poll() == 0);
    CHECK(site.accepted.size() == 2);
    site.listener.closed();
    CHECK(site.listener.open_connections() == 1);
    site.rig.loop.run_once();
    CHECK(site.accepted.size() == 3);
}

TEST_CASE("out of descriptors it sheds what waits and pauses, ever longer, without spinning",
          "[listener]") {
    Site<ManualPoller> site;
    auto& world = site.rig.world();
    const Endpoint at = site.open();
    site.connect(at);
    site.connect(at);
    world.fail_next_accept(EMFILE);
    site.rig.loop.poll();
    CHECK(site.listener.counters().failures == 1);
    CHECK(site.listener.counters().shed == 2);
    CHECK(site.listener.paused());
    CHECK(site.rig.loop.poll() == 0);

    site.connect(at);
    const Instant paused = world.time();
    site.await(1);
    CHECK(world.time() == paused + Duration(10ms));
    CHECK_FALSE(site.listener.paused());
}

TEST_CASE("out of memory it pauses without shedding, twice as long each time", "[listener]") {
    Site<ManualPoller> site;
    auto& world = site.rig.world();
    const Endpoint at = site.open();
    site.connect(at);
    Instant before = world.time();
    for (const int64_t pause_ms : {10, 20, 40}) {
        world.fail_next_accept(ENOBUFS);
        const size_t pauses = site.listener.counters().failures;
        while (site.listener.counters().failures == pauses) site.rig.loop.run_once();
        before = world.time();
        while (site.listener.paused()) site.rig.loop.run_once();
        CHECK(world.time() == before + Duration::milliseconds(pause_ms));
    }
    CHECK(site.listener.counters().shed == 0);
    site.await(1);
}

TEST_CASE("a connection that was reset before it was accepted is counted and passed over",
          "[listener]") {
    Site<ManualPoller> site;
    const Endpoint at = site.open();
    site.connect(at);
    site.rig.world().fail_next_accept(EPERM);
    site.rig.loop.run_once();
    CHECK(site.listener.counters().failures == 1);
    site.await(1);
}

TEST_CASE("an error that lasts is met once per pause, not once per turn", "[listener]") {
    Site<ManualPoller> site;
    auto& world = site.rig.world();
    const Endpoint at = site.open();
    site.connect(at);
    for (size_t met = 1; met < 4; ++met) {
        world.fail_next_accept(EPERM);
        while (site.listener.counters().failures != met) site.rig.loop.run_once();
        CHECK(site.listener.paused());
        CHECK(site.rig.loop.poll() == 0);
    }
    CHECK(world.time() >= Instant() + Duration(10ms) + Duration(20ms));
    site.await(1);
}

TEST_CASE("a handler may close the listener, and nothing more is accepted", "[listener]") {
    ManualRig rig;
    size_t accepted = 0;
    std::unique_ptr<Listener<ManualRig::Loop>> listener;
    listener = std::make_unique<Listener<ManualRig::Loop>>(rig.loop, [&](int fd, const Endpoint&) {
        rig.own(fd);
        ++accepted;
        listener->close();
    });
    REQUIRE(listener->listen(Endpoint::ipv4_loopback(0)));
    const Endpoint at = listener->local().value();
    for (int i = 0; i < 2; ++i) rig.own(rig.loop.sockets().connect_to(at, {}).value());
    rig.loop.run();
    CHECK(accepted == 1);
    CHECK_FALSE(listener->local_count() != 0);
}

KERNEL_CASE("a handler may close the listener and listen anew: the old number is let alone",
            "[listener]") {
    Rig<TestType> rig;
    std::unique_ptr<Listener<typename Rig<TestType>::Loop>> listener;
    size_t accepted = 0;
    listener = std::make_unique<Listener<typename Rig<TestType>::Loop>>(
        rig.loop, [&](int fd, const Endpoint&) {
            rig.own(fd);
            if (++accepted != 1) return;
            listener->close();
            // The old number goes to somebody else's socket, which has connections of its own.
            const int stranger =
                rig.own(rig.loop.sockets().listen_on(Endpoint::ipv4_loopback(0), {}).value());
            const Endpoint there = rig.loop.sockets().local(stranger).value();
            rig.own(rig.loop.sockets().connect_to(there, {}).value());
            REQUIRE(listener->listen(Endpoint::ipv4_loopback(0)));
        });
    REQUIRE(listener->listen(Endpoint::ipv4_loopback(0)));
    rig.own(rig.loop.sockets().connect_to(listener->local().value(), {}).value());
    for (int i = 0; i < 3; ++i) rig.loop.poll();
    CHECK(accepted == 1);
    CHECK(listener->local_count() == 1);
    rig.own(rig.loop.sockets().connect_to(listener->local().value(), {}).value());
    while (accepted < 2) rig.loop.run_once();
    CHECK(listener->counters().failures == 0);
}

TEST_CASE(
    "a handler may destroy the listener that calls it, and its captures live until it returns",
    "[listener]") {
    ManualRig rig;
    auto alive = std::make_shared<int>(1);
    const std::weak_ptr<int> captured = alive;
    bool still = false;
    std::unique_ptr<Listener<ManualRig::Loop>> listener;
    listener = std::make_unique<Listener<ManualRig::Loop>>(
        rig.loop, [&, alive = std::move(alive)](int fd, const Endpoint&) {
            rig.own(fd);
            listener.reset();
            still = !captured.expired();
        });
    REQUIRE(listener->listen(Endpoint::ipv4_loopback(0)));
    const Endpoint at = listener->local().value();
    for (int i = 0; i < 2; ++i) rig.own(rig.loop.sockets().connect_to(at, {}).value());
    rig.loop.run();
    CHECK(still);
    CHECK(captured.expired());
}

TEST_CASE("a handler that throws keeps the listener, and the others are accepted", "[listener]") {
    ManualRig rig;
    size_t calls = 0;
    Listener listener(rig.loop, [&](int fd, const Endpoint&) {
        rig.own(fd);
        if (++calls == 1) throw Thrown();
        if (calls == 3) rig.loop.stop();
    });
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    for (int i = 0; i < 3; ++i) {
        rig.own(rig.loop.sockets().connect_to(listener.local().value(), {}).value());
    }
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    rig.loop.run();
    CHECK(calls == 3);
}

TEST_CASE("a nested turn in a handler doesn't enter it again", "[listener]") {
    ManualRig rig;
    int depth = 0, deepest = 0;
    size_t calls = 0;
    Listener listener(rig.loop, [&](int fd, const Endpoint&) {
        rig.own(fd);
        deepest = ++depth > deepest ? depth : deepest;
        rig.loop.poll();
        --depth;
        if (++calls == 4) rig.loop.stop();
    });
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    for (size_t i = 0; i < 4; ++i) {
        rig.own(rig.loop.sockets().connect_to(listener.local(i % 2).value(), {}).value());
    }
    rig.loop.run();
    CHECK(calls == 4);
    CHECK(deepest == 1);
}

TEST_CASE("a listener with nothing to call asserts", "[listener]") {
    ManualRig rig;
    const auto death = dies([&] {
        const Listener listener(rig.loop, static_cast<void (*)(int, const Endpoint&)>(nullptr));
    });
    CHECK_THAT(death.message, ContainsSubstring("an empty handler was given"));
}

TEST_CASE("limits under which a listener would spin assert", "[listener]") {
    ManualRig rig;
    const auto made_with = [&](ListenerLimits limits) {
        return dies(
            [&] { const Listener listener(rig.loop, [](int, const Endpoint&) {}, limits); });
    };
    CHECK_THAT(made_with({.accepts_per_turn = 0}).message,
               ContainsSubstring("accepts_per_turn must be at least 1"));
    CHECK_THAT(made_with({.pause_min = Duration()}).message,
               ContainsSubstring("pause_min must be above 0"));
}

TEST_CASE("a listener whose handler got no memory refuses to listen, and all else is the loop's",
          "[listener]") {
    using Counting = CountingMemory<66>;
    Rig<ManualPoller, Counting> rig;
    const std::array<char, 100> large{};
    const auto make_and_listen = [&] {
        Listener listener(rig.loop,
                          [&, large](int fd, const Endpoint&) { rig.own(fd + large[0]); });
        return listener.listen(Endpoint::ipv4_loopback(0));
    };
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        const auto listening = make_and_listen();
        CHECK(static_cast<bool>(listening) == (Counting::refused() == before));
        if (!listening) {
            CHECK(listening.error().message() == "listen 127.0.0.1:0: cannot allocate memory");
        }
    });
    CHECK(failures >= 3);
}
