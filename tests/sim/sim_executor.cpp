// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/sim_executor.hpp>

#include <chrono>
#include <memory>
#include <string>

#include <rondo/net/resolver.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

using namespace rondo;
using namespace std::chrono_literals;

namespace {

using Loop = EventLoop<SimPoller>;
static_assert(WorkExecutor<SimExecutor<Loop>>);

struct Site {
    explicit Site(const sim::WorldOptions& options)
        : world(options), loop(SimPoller(world, world.host("here"))) {}

    sim::World world;
    Loop loop;
    SimExecutor<Loop> executor{loop};
};

}  // namespace

TEST_CASE("a simulated job runs and is told after its time") {
    Site site({.job = {3s, 3s, 3s}});
    const Instant start = site.world.now();
    int told = 0;
    REQUIRE(site.executor.submit([] { return std::make_unique<int>(42); },
                                 [&](Outcome<std::unique_ptr<int>> got) { told = **got; }));
    CHECK(site.loop.run() == 1);
    CHECK(told == 42);
    CHECK(site.world.now() == start + Duration(3s));
}

TEST_CASE("what a simulated job throws is in its outcome") {
    Site site({});
    std::string said;
    REQUIRE(site.executor.submit([]() -> int { throw std::string("no"); },
                                 [&](Outcome<int> got) {
                                     try {
                                         got.value();
                                     } catch (const std::string& why) {
                                         said = why;
                                     }
                                 }));
    site.loop.run();
    CHECK(said == "no");
}

TEST_CASE("a simulated job that is cancelled in time is never run") {
    Site site({.job = {3s, 3s, 3s}});
    const auto alive = std::make_shared<int>(0);
    const auto id = site.executor.submit([alive] { ++*alive; }, [alive] { ++*alive; });
    CHECK(alive.use_count() == 3);
    CHECK(site.executor.cancel(id));
    CHECK_FALSE(site.executor.cancel(id));
    CHECK(alive.use_count() == 1);
    CHECK(site.loop.run() == 0);
}

TEST_CASE("the end of a simulated executor calls nobody") {
    Site site({});
    int told = 0;
    {
        SimExecutor<Loop> short_lived(site.loop);
        REQUIRE(short_lived.submit([&] { ++told; }, [&] { ++told; }));
    }
    CHECK(site.loop.run() == 0);
    CHECK(told == 0);
}

TEST_CASE("a name is that of a host, after the time that it takes, unless nobody knows it") {
    Site site({.job = {1s, 1s, 1s}, .faults = {.name_unknown = 0.5}});
    const Endpoint there = site.world.host("there").address(80);
    Resolver resolver(site.loop, site.executor);
    int found = 0;
    int unknown = 0;
    for (int i = 0; i < 100; ++i) {
        REQUIRE(resolver.resolve("there", 80, [&](ResolveResult answer) {
            if (answer) {
                CHECK((*answer)[0] == there);
                ++found;
            } else {
                CHECK(answer.error() == no_such_name);
                ++unknown;
            }
        }));
    }
    site.loop.run();
    CHECK(found + unknown == 100);
    CHECK(found > 30);
    CHECK(unknown > 30);
    CHECK(site.world.struck(&sim::Faults::name_unknown) == static_cast<size_t>(unknown));
}
