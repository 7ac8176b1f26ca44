// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/world.hpp>

#include <chrono>

#include "support/catch.hpp"
#include "swarm/echo_world.hpp"

using namespace rondo;
using namespace std::chrono_literals;
using rondo::sim::Faults;
using rondo::sim::World;
using rondo::sim::WorldOptions;
using rondo::test::EchoPlan;
using rondo::test::EchoWorld;

namespace {

constexpr sim::Delay across_the_sea{1ms, 5ms, 200ms};

// All that a network does, none of it often enough to stop everybody.
constexpr Faults bad_days{.short_write = 0.1,
                          .short_read = 0.1,
                          .spurious = 0.05,
                          .interrupted = 0.05,
                          .reset = 0.002,
                          .half_close = 0.002,
                          .connect_refused = 0.05,
                          .connect_lost = 0.05,
                          .accept_no_fds = 0.05,
                          .accept_aborted = 0.05};

}  // namespace

TEST_CASE("in a perfect world every byte comes back") {
    EchoWorld echo({}, {});
    CHECK(echo.world.settle(1h));
    CHECK(echo.violations().empty());
    CHECK(echo.finished == echo.plan.clients);
}

TEST_CASE("an echo takes as long as its network says") {
    EchoWorld echo({.latency = {5ms, 5ms, 5ms}}, {.hosts = 1, .clients = 1, .bytes = 1});
    const Instant start = echo.world.now();
    CHECK(echo.world.settle(1h));
    CHECK(echo.finished == 1);
    // There and back to connect, to echo, and to end.
    CHECK(echo.ended == start + Duration(30ms));
}

TEST_CASE("a link carries no more than its bandwidth") {
    EchoWorld echo({.bytes_per_second = 10'000}, {.hosts = 1, .clients = 1, .bytes = 20'000});
    const Instant start = echo.world.now();
    CHECK(echo.world.settle(1h));
    CHECK(echo.finished == 1);
    CHECK(echo.world.now() - start >= Duration(2s));
    CHECK(echo.world.now() - start < Duration(3s));
}

TEST_CASE("whatever goes wrong, what comes is what was sent, in order, and each stream ends once") {
    size_t struck[std::size(sim::all_faults)] = {};
    size_t finished = 0;
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        INFO("seed " << seed);
        EchoWorld echo({.seed = seed, .latency = across_the_sea, .faults = bad_days},
                       {.hosts = 3, .options = {.idle_timeout = 60s}});
        CHECK(echo.world.settle(10min));
        CHECK(echo.violations().empty());
        finished += echo.finished;
        for (size_t i = 0; i < std::size(struck); ++i) {
            struck[i] += echo.world.struck(sim::all_faults[i].chance);
        }
    }
    CHECK(finished > 200);
    for (size_t i = 0; i < std::size(struck); ++i) {
        INFO(sim::all_faults[i].name);
        if (bad_days.*sim::all_faults[i].chance > 0) CHECK(struck[i] > 0);
    }
}

TEST_CASE("the same seed is the same history, and another one isn't") {
    const auto history = [](uint64_t seed) {
        EchoWorld echo({.seed = seed, .latency = across_the_sea, .faults = bad_days},
                       {.options = {.idle_timeout = 60s}});
        echo.world.run_for(10min);
        return echo.world.trace().hash();
    };
    CHECK(history(7) == history(7));
    CHECK(history(7) != history(8));
}

TEST_CASE("what is sent over a link that is cut comes when it has healed, in order") {
    EchoWorld echo({.latency = across_the_sea}, {.hosts = 2, .clients = 4});
    auto& server = echo.world.host("server");
    auto& far = echo.world.host("host0");
    echo.world.after(20ms, [&] { echo.world.cut(server, far); });
    echo.world.after(1h, [&] { echo.world.heal(far, server); });
    echo.world.run_for(59min);
    CHECK(echo.finished == 2);
    CHECK(echo.world.settle(1h));
    CHECK(echo.finished == 4);
    CHECK(echo.violations().empty());
}

TEST_CASE("a thousand connections are idle for an hour, and over when their timeouts are") {
    EchoWorld echo({.latency = across_the_sea}, {.hosts = 4,
                                                 .clients = 1000,
                                                 .bytes = 1,
                                                 .silent = 1000,
                                                 .options = {.idle_timeout = 59min}});
    echo.world.run_for(58min);
    CHECK(echo.opened == 1000);
    CHECK(echo.finished == 0);
    const size_t turns = echo.world.turns();
    CHECK(turns < 20'000);
    echo.world.run_for(2min);
    CHECK(echo.finished == 1000);
    CHECK(echo.idle >= 1000);
    CHECK(echo.world.turns() < turns + 10'000);
    CHECK(echo.violations().empty());
}
