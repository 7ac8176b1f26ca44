// SPDX-License-Identifier: BSL-1.0
#pragma once
// Scenes in which socket calls fail: each in turn with each of its errors, and many by seeds.
// Whatever fails, no descriptor is left and the loop neither spins nor gets stuck.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "loop/rig.hpp"
#include "os/socket_support.hpp"
#include "support/faulty_sockets.hpp"

namespace rondo::test {

/// A loop that tells when it is stuck.
template <class P>
struct Faulted {
    using Loop = EventLoop<FaultyPoller<P>>;

    /// Turns until it is done.
    void run_until(auto done) {
        typename Loop::Timer guard = loop.timer();
        bool stuck = false;
        REQUIRE(guard.after(Duration::seconds(30), [&stuck] { stuck = true; }));
        for (size_t turns = 0; !done(); ++turns) {
            loop.run_once();
            REQUIRE_FALSE(stuck);
            REQUIRE(turns < 5000);  // a tenth is enough for what is done here
        }
    }

    Loop loop;
    FaultPlan& plan = loop.sockets().plan;
};

/// Runs a scenario, which leaves no descriptor behind.
template <class Scenario>
void scene(auto body) {
    const sockets_test::NoLeak leak;
    {
        Scenario scenario;
        body(scenario);
    }
    leak.check();
}

/// For each call that `body` makes without faults, and each error that it may have: body(plan) with
/// a plan of just that. It returns the plan as it was at the end.
inline void each_call_fails(auto body) {
    const size_t calls = body(FaultPlan()).calls();
    size_t failures = 0, before = 0;
    for (size_t which = 0; which == 0 || failures != before; ++which) {
        before = failures;
        for (size_t nth = 0; nth < calls; ++nth) {
            INFO("call " << nth << " of " << calls << ", error " << which);
            failures += body(FaultPlan::only(nth, which)).failed();
        }
    }
    REQUIRE(failures >= 2 * calls);  // most have several
}

/// For seeds, each with few and with many faults.
inline void many_calls_fail(auto body) {
    size_t failures = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        INFO("seed " << seed);
        failures += body(FaultPlan::some(seed, seed % 2 != 0 ? 0.02 : 0.2)).failed();
    }
    REQUIRE(failures > 200);
}

}  // namespace rondo::test
