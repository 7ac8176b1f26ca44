// SPDX-License-Identifier: BSL-1.0
// Changes of interest that the poller refuses after modify() has returned.

#include <rondo/loop/descriptors.hpp>

#include <string>
#include <vector>

#include "loop/rig.hpp"

using namespace rondo;
using namespace rondo::test;

TEST_CASE("a merged change that fails is delivered as error readiness, once", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    std::vector<Readiness> heard;
    REQUIRE(rig.loop.add(fd, Interest::read, [&](Readiness ready) { heard.push_back(ready); }));
    rig.loop.modify(fd, Interest::write);
    rig.world().fail_next_modify(ENOMEM);
    CHECK(rig.loop.run_once() == 1);
    CHECK(heard == std::vector{Readiness::error});
    CHECK(rig.world().last_deadline() == Instant::min());
    rig.loop.poll();
    CHECK(heard.size() == 1);
    rig.loop.modify(fd, Interest::read);
    rig.loop.poll();
    CHECK(rig.world().registered(fd) == Interest::read);
}

TEST_CASE("both handlers hear of a change that failed", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    std::string heard;
    const auto hear = [&](char who) {
        return [&heard, who](Readiness ready) {
            if (ready == Readiness::error) heard += who;
        };
    };
    REQUIRE(rig.loop.add(fd, Interest::read, hear('r'), hear('w')));
    rig.loop.modify(fd, Interest::write);
    rig.world().fail_next_modify(ENOMEM);
    CHECK(rig.loop.poll() == 2);
    CHECK(heard == "rw");
}

TEST_CASE("nobody hears of a failed change once the descriptor is removed", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    const int other = rig.scripted();
    std::string heard;
    REQUIRE(rig.loop.add(
        fd, Interest::read,
        [&] {
            heard += 'a';
            rig.loop.remove(fd);
            rig.loop.remove(other);
        },
        [&] { heard += 'b'; }));
    REQUIRE(rig.loop.add(other, Interest::read, [&] { heard += 'c'; }));
    const int closed[] = {fd, other};
    for (const int each : closed) {
        rig.loop.modify(each, Interest::write);
        rig.world().close(each);  // without remove: the change will fail
    }
    rig.loop.run();
    CHECK(heard == "a");
}

TEST_CASE("a stop and an exception keep failed changes for the next turn", "[descriptors]") {
    ManualRig rig;
    std::string heard;
    int left = 3;
    for (const int fd : {rig.scripted(), rig.scripted(), rig.scripted()}) {
        REQUIRE(rig.loop.add(fd, Interest::read, [&, fd] {
            heard += 'x';
            rig.loop.remove(fd);
            if (--left == 2) rig.loop.stop();
            if (left == 1) throw Thrown();
        }));
        rig.loop.modify(fd, Interest::write);
        rig.world().close(fd);
    }
    CHECK(rig.loop.run() == 1);
    const size_t waits = rig.world().counters().waits;
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(rig.loop.poll() == 1);
    CHECK(heard == "xxx");
    CHECK(rig.world().counters().waits == waits + 1);  // the turn that poll() makes after the rest
}

TEST_CASE("a failed change of a running handler is told when it is no longer running",
          "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    std::string heard;
    REQUIRE(rig.loop.add(fd, Interest::read, [&](Readiness ready) {
        if (any(ready, Readiness::error)) {
            heard += 'e';
            rig.loop.remove(fd);
            return;
        }
        heard += 'r';
        rig.loop.modify(fd, Interest::write);
        rig.world().fail_next_modify(EBADF);
        const size_t waits = rig.world().counters().waits;
        rig.loop.poll();
        rig.loop.poll();
        CHECK(rig.world().counters().waits == waits + 2);
        heard += '.';
    }));
    rig.loop.run();
    CHECK(heard == "r.e");
}

TEST_CASE("an edge that is asked for again in vain is told as one error", "[descriptors]") {
    ManualRig rig;
    const int fd = rig.scripted();
    std::vector<Readiness> heard;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [] {}));
    REQUIRE(rig.loop.replace(fd, Interest::read, [&](Readiness ready) { heard.push_back(ready); }));
    rig.world().close(fd);  // without remove: every change fails from now on
    for (int i = 0; i < 5; ++i) rig.loop.poll();
    CHECK(heard == std::vector{Readiness::error});
}
