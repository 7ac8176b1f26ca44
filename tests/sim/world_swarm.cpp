// SPDX-License-Identifier: BSL-1.0
// A few seeds of the swarm, for every way of building the tests; tests/swarm/swarm.cpp runs many.
#include "support/catch.hpp"
#include "swarm/echo_world.hpp"
#include "swarm/level_poller.hpp"

using namespace rondo;

namespace {

template <class World>
void run_small_swarm() {
    size_t idle = 0, completed = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        INFO("seed " << seed);
        World echo(test::swarm_options(seed));
        const bool linked = test::make_trouble(echo.world, echo.plan.hosts) == 0;
        REQUIRE(echo.world.settle(Duration::seconds(1000)));
        const bool complete = linked && test::calm(echo.world);
        REQUIRE(echo.violations(complete) == "");
        completed += complete ? 1 : 0;
        idle += echo.idle;
    }
    REQUIRE(idle > 100);
    REQUIRE(completed > 5);
}

}  // namespace

TEST_CASE("no seed of a small swarm breaks a rule") { run_small_swarm<test::EchoWorld>(); }

TEST_CASE("no seed of a small swarm breaks a rule where there are no edges") {
    run_small_swarm<test::BasicEchoWorld<test::LevelPoller>>();
}
