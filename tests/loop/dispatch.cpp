// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/dispatch.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

constexpr Interest read_write = Interest::read | Interest::write;
constexpr Readiness both_ready = Readiness::readable | Readiness::writable;
const auto nothing = [] {};

}  // namespace

// One and two handlers.

KERNEL_CASE("one handler for both directions is called once with all that is ready", "[dispatch]") {
    Rig<TestType> rig;
    std::vector<Readiness> heard;
    const int fd = rig.ready_pair();
    REQUIRE(rig.loop.add(fd, read_write, [&](Readiness ready) { heard.push_back(ready); }));
    CHECK(rig.loop.poll() == 1);
    CHECK(heard == std::vector{both_ready});
}

KERNEL_CASE("two handlers run read, then write; write_first inverts it", "[dispatch]") {
    Rig<TestType> rig;
    std::string heard;
    for (const Interest mode : {Interest::none, Interest::write_first}) {
        const int fd = rig.ready_pair();
        REQUIRE(rig.loop.add(fd, read_write | mode, [&] { heard += 'r'; }, [&] { heard += 'w'; }));
        CHECK(rig.loop.poll() == 2);
        rig.loop.remove(fd);
    }
    CHECK(heard == "rwwr");
}

TEST_CASE("each of two handlers is told its own bits, hang-up, error and read-closed",
          "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(static_cast<Readiness>(0x3f));
    Readiness read = Readiness::none;
    Readiness written = Readiness::none;
    REQUIRE(rig.loop.add(
        fd, read_write | Interest::priority, [&](Readiness ready) { read = ready; },
        [&](Readiness ready) { written = ready; }));
    rig.loop.poll();
    const Readiness shared = Readiness::error | Readiness::hangup | Readiness::read_closed;
    CHECK(read == (Readiness::readable | Readiness::priority | shared));
    CHECK(written == (Readiness::writable | shared));
}

TEST_CASE("of two handlers only the one that is meant is called", "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    std::string heard;
    REQUIRE(rig.loop.add(fd, read_write, [&] { heard += 'r'; }, [&] { heard += 'w'; }));
    for (const Readiness state :
         {Readiness::readable, Readiness::writable, Readiness::read_closed}) {
        rig.world().set_ready(fd, state);
        CHECK(rig.loop.poll() == 1);
    }
    CHECK(heard == "rwr");
}

TEST_CASE("the second handler isn't called once the first has removed the descriptor",
          "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(both_ready);
    int second = 0;
    REQUIRE(rig.loop.add(fd, read_write, [&] { rig.loop.remove(fd); }, [&] { ++second; }));
    CHECK(rig.loop.poll() == 1);
    CHECK(second == 0);
    // Nor that of the registration that the first handler makes in its place.
    REQUIRE(rig.loop.add(
        fd, read_write,
        [&] {
            rig.loop.remove(fd);
            REQUIRE(rig.loop.add(fd, read_write, nothing, [&] { ++second; }));
        },
        [&] { ++second; }));
    CHECK(rig.loop.poll() == 1);
    CHECK(second == 0);
}

TEST_CASE("the second handler isn't called once the first has switched its direction off",
          "[dispatch]") {
    ManualRig rig;
    const Interest mode = GENERATE(Interest::none, Interest::edge);
    const int fd = rig.scripted(both_ready);
    int second = 0;
    REQUIRE(rig.loop.add(
        fd, read_write | mode, [&] { rig.loop.modify(fd, Interest::read); }, [&] { ++second; }));
    CHECK(rig.loop.poll() == 1);
    CHECK(second == 0);
    rig.loop.modify(fd, Interest::write);
    CHECK(rig.loop.poll() == 1);
    CHECK(second == 1);
}

TEST_CASE("the second handler isn't called once the first has replaced it", "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(both_ready);
    std::string heard;
    REQUIRE(rig.loop.add(
        fd, read_write,
        [&] {
            heard += 'r';
            REQUIRE(rig.loop.replace(fd, Interest::write, [&] { heard += 'n'; }));
        },
        [&] { heard += 'w'; }));
    rig.loop.poll();
    CHECK(heard == "r");
    rig.loop.modify(fd, Interest::write);
    rig.loop.poll();
    CHECK(heard == "rn");
}

KERNEL_CASE("a direction switched on without a handler of its own uses the other's", "[dispatch]") {
    Rig<TestType> rig;
    const int fd = rig.ready_pair();
    std::vector<Readiness> heard;
    const auto hear = [&](Readiness ready) { heard.push_back(ready); };
    for (const Interest first : {Interest::read, Interest::write}) {
        REQUIRE(rig.loop.add(fd, first, hear));
        rig.loop.modify(fd, read_write);
        rig.loop.poll();
        rig.loop.remove(fd);
    }
    CHECK(heard == std::vector{both_ready, both_ready});
}

// Hang-up and error.

TEST_CASE("hang-up and error wake every enabled direction", "[dispatch]") {
    ManualRig rig;
    const Readiness state = GENERATE(Readiness::hangup, Readiness::error);
    const int fd = rig.scripted(state);
    std::string heard;
    REQUIRE(rig.loop.add(fd, read_write, [&] { heard += 'r'; }, [&] { heard += 'w'; }));
    rig.loop.poll();
    CHECK(heard == "rw");
    rig.loop.modify(fd, Interest::read);
    rig.loop.poll();
    CHECK(heard == "rwr");
    rig.loop.modify(fd, Interest::write);
    rig.loop.poll();
    CHECK(heard == "rwrw");
}

KERNEL_CASE("with no direction enabled a hang-up wakes nobody and nothing spins", "[dispatch]") {
    Rig<TestType> rig;
    const FdPair ends = rig.pair();
    int called = 0;
    REQUIRE(rig.loop.add(ends.first, read_write, [&] { ++called; }));
    rig.loop.modify(ends.first, Interest::none);
    rig.close(ends.second);
    for (int i = 0; i < 10; ++i) CHECK(rig.loop.poll() == 0);
    // A poller that reported it again and again would end this wait before its deadline.
    bool fired = false;
    rig.loop.after(Duration(1'000'000), [&] { fired = true; });
    for (int turns = 0; !fired && turns < 3; ++turns) rig.loop.run_once();
    CHECK(fired);
    CHECK(called == 0);
    rig.loop.modify(ends.first, Interest::read);
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 1);
}

// Removal and reuse inside a batch.

KERNEL_CASE("a removal takes effect at once, also for later events of the batch", "[dispatch]") {
    Rig<TestType> rig;
    const int fds[] = {rig.readable(), rig.readable(), rig.readable()};
    int called = 0;
    for (const int fd : fds) {
        REQUIRE(rig.loop.add(fd, Interest::read, [&] {
            ++called;
            for (const int each : fds) rig.loop.remove(each);
        }));
    }
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 1);
    CHECK(rig.loop.run() == 0);
}

KERNEL_CASE("a direction switched off takes effect at once, also in the batch", "[dispatch]") {
    Rig<TestType> rig;
    const int fds[] = {rig.readable(), rig.readable()};
    int called = 0;
    for (const int fd : fds) {
        REQUIRE(rig.loop.add(fd, Interest::read, [&] {
            ++called;
            for (const int each : fds) rig.loop.modify(each, Interest::none);
        }));
    }
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.poll() == 0);
    CHECK(called == 1);
}

KERNEL_CASE("a number closed and reused in a batch never reaches the wrong handler", "[dispatch]") {
    Rig<TestType> rig;
    std::vector<int> fds = {rig.readable(), rig.readable()};
    int old = 0;
    int renewed = 0;
    for (const int fd : fds) {
        REQUIRE(rig.loop.add(fd, Interest::read, [&, fd] {
            if (++old > 1) return;
            const int other = fds[0] == fd ? fds[1] : fds[0];
            rig.loop.remove(other);
            rig.close(other);
            const FdPair ends = rig.pipe();  // takes the lowest free number: the one just closed
            REQUIRE(ends.first == other);
            REQUIRE(rig.loop.add(other, Interest::read, [&] { ++renewed; }));
        }));
    }
    CHECK(rig.loop.poll() == 1);
    CHECK(old == 1);
    CHECK(renewed == 0);
    CHECK(rig.loop.rebuilds() == 0);
}

TEST_CASE("a late event of an earlier registration reaches nobody", "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    const Token late(fd, 1);
    rig.loop.remove(fd);
    int called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { ++called; }));
    rig.world().inject_event(late, Readiness::readable);
    rig.loop.poll();
    CHECK(called == 0);
    rig.world().inject_event(Token(fd, 2), Readiness::readable);
    rig.loop.poll();
    CHECK(called == 1);
}

KERNEL_CASE("a handler may close, re-add and replace its own descriptor", "[dispatch]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    std::string heard;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        heard += 'a';
        REQUIRE(rig.loop.replace(fd, Interest::read, [&] {
            heard += 'b';
            rig.loop.remove(fd);
            REQUIRE(rig.loop.add(fd, Interest::read, [&] {
                heard += 'c';
                rig.loop.remove(fd);
                rig.close(fd);
            }));
        }));
    }));
    CHECK(rig.loop.run() == 3);
    CHECK(heard == "abc");
}

TEST_CASE("what a handler adds isn't called in the current batch", "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    const int added = rig.scripted(Readiness::readable);
    int called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.loop.remove(fd);
        REQUIRE(rig.loop.add(added, Interest::read, [&] { ++called; }));
    }));
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 0);
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 1);
}

TEST_CASE("a replaced handler and its successor are mute until the next wait", "[dispatch]") {
    ManualRig rig;
    const Interest mode = GENERATE(Interest::none, Interest::edge, Interest::oneshot);
    const Readiness state = GENERATE(Readiness::readable, Readiness::hangup);
    const int first = rig.scripted(Readiness::readable);
    const int fd = rig.scripted(state);
    std::string heard;
    REQUIRE(rig.loop.add(first, Interest::read, [&] {
        rig.loop.remove(first);
        REQUIRE(rig.loop.replace(fd, Interest::read, [&] {
            heard += 'n';
            rig.loop.remove(fd);
        }));
        heard += '.';
    }));
    REQUIRE(rig.loop.add(fd, Interest::read | mode, [&] { heard += 'o'; }));
    CHECK(rig.loop.poll() == 1);
    CHECK(heard == ".");
    rig.loop.poll();
    CHECK(heard == ".n");
}

TEST_CASE("a new handler hears of an edge that the old one has heard, if it still lasts",
          "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    std::string heard;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&] { heard += 'o'; }));
    rig.loop.poll();
    REQUIRE(rig.loop.replace(fd, Interest::read, [&] { heard += 'n'; }));
    rig.loop.poll();
    rig.loop.poll();
    CHECK(heard == "on");
}

TEST_CASE("a mute direction isn't called because the other one hears of a hang-up", "[dispatch]") {
    ManualRig rig;
    const int first = rig.scripted(Readiness::readable);
    const int fd = rig.scripted(Readiness::hangup);
    std::string heard;
    REQUIRE(rig.loop.add(first, Interest::read, [&] {
        rig.loop.remove(first);
        REQUIRE(rig.loop.replace(fd, Interest::read, [&] { heard += 'n'; }));
    }));
    REQUIRE(rig.loop.add(fd, read_write, nothing, [&] { heard += 'w'; }));
    rig.loop.poll();
    CHECK(heard == "w");
    rig.loop.poll();
    CHECK(heard == "wnw");
}

// Edges.

TEST_CASE("an edge that comes while its direction is off and on again is not lost", "[dispatch]") {
    ManualRig rig;
    const Readiness state = GENERATE(Readiness::readable, Readiness::hangup);
    const int before = rig.scripted(Readiness::readable);
    const int fd = rig.scripted(state);
    const int after = rig.scripted(Readiness::readable);
    int called = 0;
    REQUIRE(rig.loop.add(before, Interest::read | Interest::edge,
                         [&] { rig.loop.modify(fd, Interest::none); }));
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&] { ++called; }));
    REQUIRE(rig.loop.add(after, Interest::read | Interest::edge,
                         [&] { rig.loop.modify(fd, Interest::read); }));
    CHECK(rig.loop.poll() == 2);
    CHECK(called == 0);
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 1);
    CHECK(rig.loop.poll() == 0);
    CHECK(rig.world().counters().modifies == 1);
}

TEST_CASE("an edge for the second handler is not lost when the first throws, stops, or flips it",
          "[dispatch]") {
    ManualRig rig;
    const int fd = rig.scripted(both_ready);
    std::string heard;
    const int what = GENERATE(0, 1, 2);
    REQUIRE(rig.loop.add(
        fd, read_write | Interest::edge,
        [&] {
            heard += 'r';
            if (heard.size() > 1) return;
            if (what == 0) throw Thrown();
            if (what == 1) rig.loop.stop();
            if (what == 2) rig.loop.modify(fd, Interest::read);
        },
        [&] { heard += 'w'; }));
    if (what == 0) {
        CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    } else {
        CHECK(rig.loop.poll() == 1);
        rig.loop.modify(fd, read_write);
    }
    CHECK(heard == "r");
    rig.loop.poll();
    CHECK(heard.back() == 'w');
    CHECK(rig.loop.poll() == 0);
}

KERNEL_CASE("an edge of a handler that runs in an outer turn is not lost", "[dispatch]") {
    if constexpr (TestType::traits.edge) {
        Rig<TestType> rig;
        const FdPair ends = rig.pipe();
        std::string heard;
        REQUIRE(rig.loop.add(ends.first, Interest::read | Interest::edge, [&] {
            heard += '(';
            if (heard.size() == 1) {
                rig.drain(ends.first);
                rig.send(ends.second);
                CHECK(rig.loop.poll() == 0);
            }
            heard += ')';
        }));
        rig.send(ends.second);
        rig.loop.poll();
        CHECK(heard == "()");
        rig.loop.poll();
        CHECK(heard == "()()");
        CHECK(rig.loop.poll() == 0);
    }
}

KERNEL_CASE("what is ready when it is added is reported, also edge-triggered", "[dispatch]") {
    Rig<TestType> rig;
    const Interest mode = TestType::traits.edge ? Interest::edge : Interest::none;
    const int fd = rig.readable();
    int called = 0;
    REQUIRE(rig.loop.add(fd, Interest::read | mode, [&] { ++called; }));
    CHECK(rig.loop.poll() == 1);
    rig.loop.remove(fd);
    REQUIRE(rig.loop.add(fd, Interest::read | mode, [&] { ++called; }));
    CHECK(rig.loop.poll() == 1);
    CHECK(called == 2);
}
