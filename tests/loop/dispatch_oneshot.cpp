// SPDX-License-Identifier: BSL-1.0
// One-shot interest on its way to the handlers: one report disarms it, and that report isn't lost.

#include <rondo/loop/dispatch.hpp>

#include <string>
#include <vector>

#include "loop/rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

constexpr Interest read_write = Interest::read | Interest::write;
constexpr Readiness both_ready = Readiness::readable | Readiness::writable;
const auto nothing = [] {};

}  // namespace

KERNEL_CASE("a one-shot is disarmed in both directions and stays registered", "[dispatch]") {
    Rig<TestType> rig;
    const FdPair ends = rig.pair();
    rig.send(ends.second);
    auto capture = std::make_shared<int>();
    std::vector<Readiness> heard;
    REQUIRE(rig.loop.add(ends.first, Interest::read | Interest::oneshot,
                         [&heard, capture](Readiness ready) { heard.push_back(ready); }));
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.interest(ends.first) == Interest::oneshot);
    rig.send(ends.second);
    CHECK(rig.loop.poll() == 0);
    CHECK(capture.use_count() == 2);
    CHECK(rig.loop.add(ends.first, Interest::read, nothing).error() == EEXIST);
    rig.loop.modify(ends.first, read_write);
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.poll() == 0);
    CHECK(heard == std::vector{Readiness::readable, both_ready});
}

KERNEL_CASE("a one-shot may be re-armed by its own handler", "[dispatch]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    int called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::oneshot, [&] {
        if (++called < 3) rig.loop.modify(fd, Interest::read);
    }));
    for (int i = 0; i < 5; ++i) rig.loop.poll();
    CHECK(called == 3);
}

KERNEL_CASE("both handlers of a one-shot hear of the one report", "[dispatch]") {
    Rig<TestType> rig;
    const int fd = rig.ready_pair();
    std::string heard;
    REQUIRE(rig.loop.add(
        fd, read_write | Interest::oneshot, [&] { heard += 'r'; }, [&] { heard += 'w'; }));
    CHECK(rig.loop.poll() == 2);
    CHECK(heard == "rw");
    CHECK(rig.loop.poll() == 0);
}

TEST_CASE("a one-shot that one of two handlers has not heard is asked for again", "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(both_ready);
    std::string heard;
    REQUIRE(rig.loop.add(
        fd, read_write | Interest::oneshot,
        [&] {
            heard += 'r';
            throw Thrown();
        },
        [&] { heard += 'w'; }));
    CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    CHECK(rig.loop.poll() == 1);
    CHECK(heard == "rw");
    CHECK(rig.loop.poll() == 0);
}

TEST_CASE("a one-shot reported while its handler runs in an outer turn is asked for again",
          "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    int called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::oneshot, [&] {
        if (++called > 1) return;
        rig.loop.modify(fd, Interest::read);
        CHECK(rig.loop.poll() == 0);
    }));
    rig.loop.poll();
    CHECK(called == 1);
    rig.loop.poll();
    CHECK(called == 2);
    CHECK(rig.loop.poll() == 0);
}

TEST_CASE("the second handler of a one-shot isn't called once the first wants no more",
          "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(both_ready);
    std::string heard;
    int way = 0;
    REQUIRE(rig.loop.add(
        fd, read_write | Interest::oneshot,
        [&] {
            heard += 'r';
            if (way == 1) rig.loop.modify(fd, Interest::read);
            rig.loop.modify(fd, Interest::none);
        },
        [&] { heard += 'w'; }));
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.poll() == 0);
    way = 1;
    rig.loop.modify(fd, read_write);
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.poll() == 0);
    CHECK(heard == "rr");
    CHECK(rig.loop.interest(fd) == Interest::oneshot);
}

TEST_CASE("a one-shot switched off by a handler of another one loses nothing", "[dispatch]") {
    ManualRig rig;
    const int first = rig.scripted(both_ready);
    const int other = rig.scripted(both_ready);
    std::string heard;
    REQUIRE(rig.loop.add(
        first, read_write | Interest::oneshot,
        [&] {
            heard += 'r';
            rig.loop.modify(other, Interest::none);
        },
        [&] { heard += 'w'; }));
    REQUIRE(rig.loop.add(other, read_write | Interest::oneshot, [&] { heard += 'o'; }));
    CHECK(rig.loop.poll() == 2);
    CHECK(heard == "rw");
    rig.loop.modify(other, Interest::write);
    CHECK(rig.loop.poll() == 1);
    CHECK(heard == "rwo");
}
