// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/phases.hpp>

#include <string>

#include "loop/rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

// A loop with something to do in every phase.
struct Busy : ManualRig {
    Busy()
        : before(loop.before_sleep([this] { order += "b"; })),
          after(loop.after_sleep([this] { order += "a"; })) {
        REQUIRE(loop.add(scripted(Readiness::readable), Interest::read | Interest::oneshot,
                         [this] { order += "i"; }));
        loop.at(Instant::min(), [this] { order += "t"; });
        REQUIRE(loop.defer([this] { order += "d"; }));
        REQUIRE(loop.post([this] { order += "p"; }));
    }
    std::string order;
    Loop::Hook before;
    Loop::Hook after;
};

}  // namespace

TEST_CASE("a turn runs only the phases that it is asked for", "[phases]") {
    const bool once = GENERATE(true, false);
    const auto ran = [&](Phases phases) {
        Busy rig;
        once ? rig.loop.run_once(phases) : rig.loop.poll(phases);
        return rig.order;
    };
    CHECK(ran(Phases::all) == "baitdp");
    CHECK(ran(Phases::io) == "i");
    CHECK(ran(Phases::timers) == "t");
    CHECK(ran(Phases::tasks) == "dp");
    CHECK(ran(Phases::io | Phases::timers) == "it");
    CHECK(ran(Phases::io | Phases::tasks) == "idp");
    CHECK(ran(Phases::timers | Phases::tasks) == "tdp");
    CHECK(ran(Phases::io | Phases::hooks) == "bai");
}

TEST_CASE("hooks belong to the wait: without I/O there are none", "[phases]") {
    Busy rig;
    CHECK(rig.loop.poll(Phases::hooks) == 0);
    CHECK(rig.loop.poll(Phases::hooks | Phases::tasks) == 2);
    CHECK(rig.order == "dp");
}

TEST_CASE("only a turn with I/O waits or asks the poller", "[phases]") {
    ManualRig rig;
    const Instant start = rig.world().time();
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, [] {}));
    rig.loop.after(Duration(1000), [] {});
    CHECK(rig.loop.run_once(Phases::timers) == 0);
    CHECK(rig.loop.run_once(Phases::tasks) == 0);
    CHECK(rig.loop.run_once(Phases::hooks) == 0);
    CHECK(rig.world().counters().waits == 0);
    CHECK(rig.world().time() == start);
    CHECK(rig.loop.run_once(Phases::io | Phases::timers) == 1);
    CHECK(rig.world().time() == start + Duration(1000));
}

TEST_CASE("what is left of one phase doesn't keep the others from their work", "[phases]") {
    ManualRig rig;
    std::string order;
    for (int i = 0; i < 2; ++i) {
        rig.loop.at(Instant::min(), [&] {
            order += "t";
            throw Thrown();
        });
    }
    REQUIRE(rig.loop.add(rig.scripted(Readiness::readable), Interest::read | Interest::oneshot,
                         [&] { order += "i"; }));
    CHECK_THROWS_AS(rig.loop.poll(Phases::timers), Thrown);
    CHECK(rig.loop.poll(Phases::io) == 1);
    CHECK(order == "ti");
    CHECK_THROWS_AS(rig.loop.poll(Phases::timers), Thrown);
    CHECK(order == "tit");
}
