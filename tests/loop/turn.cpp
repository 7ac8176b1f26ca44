// SPDX-License-Identifier: BSL-1.0
// The turn itself: its order, what belongs to which turn, nested turns, exceptions, and waiting.

#include <rondo/loop/turn.hpp>

#include <chrono>
#include <optional>
#include <string>

#include "loop/rig.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

const auto nothing = [] {};

Duration ms(int64_t n) { return Duration::milliseconds(n); }

}  // namespace

// The order.

TEST_CASE("one turn runs all kinds of handlers in the order of the diagram", "[turn]") {
    ManualRig rig;
    std::string order;
    const auto say = [&order](const char* what) {
        return [&order, what] { order.append(what).append(" "); };
    };
    REQUIRE(rig.loop.post(say("posted")));
    REQUIRE(rig.loop.defer(say("deferred")));
    rig.loop.at(rig.loop.now(), say("timer"));
    const auto signal = rig.loop.on_signal(10, say("signal"));
    REQUIRE(signal);
    const auto child = rig.loop.on_child(77, say("child"));
    REQUIRE(child);
    const int fd = rig.ready_pair();
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::write, say("read"), say("write")));
    const auto after = rig.loop.after_sleep(say("after"));
    const auto before = rig.loop.before_sleep([&] {
        order += "before ";
        rig.loop.modify(fd, Interest::read);
        rig.loop.modify(fd, Interest::read | Interest::write | Interest::priority);
    });
    rig.world().raise_signal(10);
    rig.world().end_child(77, 0);
    rig.world().schedule(Duration(), [&] {
        order +=
            rig.world().registered(fd) == (Interest::read | Interest::write | Interest::priority)
                ? "applied wait "
                : "wait ";
    });
    CHECK(rig.loop.run_once() == 8);  // with the loop's own handler for signals
    CHECK(order == "before applied wait after child read write signal timer deferred posted ");
}

KERNEL_CASE("descriptors come before timers and timers before tasks", "[turn]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    std::string order;
    REQUIRE(rig.loop.post([&] { order += "posted"; }));
    REQUIRE(rig.loop.defer([&] { order += "deferred "; }));
    rig.loop.at(Instant::min(), [&] { order += "timer "; });
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { order += "io "; }));
    CHECK(rig.loop.run_once() == 4);
    CHECK(order == "io timer deferred posted");
}

TEST_CASE("what before-sleep hooks change counts for this wait", "[turn]") {
    ManualRig rig;
    const Instant start = rig.world().time();
    rig.loop.after(100ms, nothing);
    std::optional<TimerId> sooner;
    const auto hook = rig.loop.before_sleep([&] {
        if (!sooner) sooner = rig.loop.after(5ms, nothing);
    });
    rig.loop.run_once();
    CHECK(rig.world().last_deadline() == start + ms(5));
    CHECK(rig.world().time() == start + ms(5));
}

// What belongs to which turn.

TEST_CASE("a task posted or deferred by a task runs next turn, and I/O is polled in between",
          "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    const bool deferred = GENERATE(false, true);
    std::string order;
    const auto late = [&] { order += "late "; };
    REQUIRE(rig.loop.defer([&] {
        order += "task ";
        REQUIRE((deferred ? rig.loop.defer(late) : rig.loop.post(late)));
    }));
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { order += "io "; }));
    CHECK(rig.loop.run_once() == 2);
    CHECK(order == "io task ");
    CHECK(rig.loop.run_once() == 2);
    CHECK(order == "io task io late ");
}

TEST_CASE("a task that posts itself again doesn't starve descriptors and timers", "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    struct Again {
        ManualRig::Loop& loop;
        void operator()() const { loop.post(*this); }
    };
    int io = 0;
    int ticks = 0;
    REQUIRE(rig.loop.post(Again{rig.loop}));
    rig.loop.every(Duration(), [&] { ++ticks; });
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.world().advance(1us);
        if (++io == 10) rig.loop.stop();
    }));
    rig.loop.run();
    CHECK(io == 10);
    CHECK(ticks == 9);
}

TEST_CASE("a task deferred by a hook, a descriptor or a timer runs in the same turn", "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    int ran = 0;
    const auto task = [&] { ++ran; };
    const auto hook = rig.loop.after_sleep([&] { rig.loop.defer(task); });
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { rig.loop.defer(task); }));
    rig.loop.at(Instant::min(), [&] { rig.loop.defer(task); });
    rig.loop.run_once();
    CHECK(ran == 3);
}

// Exceptions and stops: nothing is lost, and the rest comes first.

TEST_CASE("tasks that an exception has left run first in the next turn, which doesn't wait",
          "[turn]") {
    ManualRig rig;
    std::string order;
    REQUIRE(rig.loop.defer([&] {
        order += "1";
        REQUIRE(rig.loop.defer([&] { order += "4"; }));
        throw Thrown();
    }));
    REQUIRE(rig.loop.defer([&] { order += "2"; }));
    REQUIRE(rig.loop.post([&] { order += "3"; }));
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(order == "1");
    const int fd = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { order += "io"; }));
    rig.loop.at(Instant::min(), [&] { order += "t"; });
    const auto waits = rig.world().counters().waits;
    CHECK(rig.loop.run_once() == 2);
    CHECK(rig.world().counters().waits == waits);
    CHECK(order == "123");
    rig.loop.run_once();
    CHECK(order == "123iot4");
}

TEST_CASE("a stop in a task keeps the other tasks for the next run", "[turn]") {
    ManualRig rig;
    std::string order;
    REQUIRE(rig.loop.defer([&] {
        order += "1";
        rig.loop.stop();
        order += "s";
    }));
    REQUIRE(rig.loop.defer([&] { order += "2"; }));
    CHECK(rig.loop.run() == 1);
    CHECK(order == "1s");
    CHECK(rig.loop.run() == 1);
    CHECK(order == "1s2");
}

KERNEL_CASE("an exception in an I/O handler leaves timers and tasks for the next run", "[turn]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    std::string order;
    REQUIRE(rig.loop.add(fd, Interest::read, [&]() {
        rig.loop.remove(fd);
        throw Thrown();
    }));
    rig.loop.at(Instant::min(), [&] { order += "t"; });
    REQUIRE(rig.loop.post([&] { order += "p"; }));
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(order.empty());
    CHECK(rig.loop.run() == 2);
    CHECK(order == "tp");
}

KERNEL_CASE("an exception in a hook leaves run(), which can be called again", "[turn]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    const bool before = GENERATE(false, true);
    int io = 0;
    bool once = true;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        ++io;
        rig.loop.stop();
    }));
    const auto thrower = [&] {
        if (std::exchange(once, false)) throw Thrown();
    };
    const auto hook = before ? rig.loop.before_sleep(thrower) : rig.loop.after_sleep(thrower);
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(io == 0);
    CHECK(rig.loop.run() == 1);
    CHECK(io == 1);
}

TEST_CASE("events that an after-sleep hook has left by throwing come first, without a wait",
          "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted();
    bool once = true;
    int io = 0;
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&] { ++io; }));
    rig.world().set_ready(fd, Readiness::readable);
    const auto hook = rig.loop.after_sleep([&] {
        if (std::exchange(once, false)) throw Thrown();
    });
    CHECK_THROWS_AS(rig.loop.run_once(), Thrown);
    const auto waits = rig.world().counters().waits;
    CHECK(rig.loop.run_once() == 1);
    CHECK(rig.world().counters().waits == waits);
    CHECK(io == 1);
}

// Nested turns.

TEST_CASE("poll() may be nested in every kind of handler, and finishes the outer rest once",
          "[turn]") {
    ManualRig rig;
    std::string order;
    int depth = 0;
    const std::string kind = GENERATE("before", "after", "io", "timer", "deferred", "posted");
    const auto act = [&](const char* name) {
        return [&, name] {
            order.append(name).append(" ");
            if (kind != name || depth != 0) return;
            ++depth;
            rig.loop.poll();
            --depth;
            order += ") ";
        };
    };
    const auto before = rig.loop.before_sleep(act("before"));
    const auto after = rig.loop.after_sleep(act("after"));
    const int fd = rig.scripted(Readiness::readable);
    const int quiet = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::oneshot, act("io")));
    REQUIRE(rig.loop.add(quiet, Interest::read | Interest::oneshot, act("io2")));
    rig.loop.at(Instant::min(), act("timer"));
    rig.loop.at(Instant::min(), act("timer2"));
    REQUIRE(rig.loop.defer(act("deferred")));
    REQUIRE(rig.loop.post(act("posted")));
    REQUIRE(rig.loop.post(act("posted2")));
    rig.loop.run_once();
    const std::string all = "io io2 timer timer2 deferred posted posted2 ";
    if (kind == "before") CHECK(order == "before after " + all + ") after ");
    if (kind == "after") CHECK(order == "before after " + all + "before ) ");
    const std::string head = "before after ";
    const std::string inner = "before after ) ";
    if (kind == "io") {
        CHECK(order == head + "io io2 timer timer2 deferred posted posted2 " + inner);
    }
    if (kind == "timer") CHECK(order == head + all + inner);
    if (kind == "deferred") CHECK(order == head + all + inner);
    if (kind == "posted") CHECK(order == head + all + inner);
}

TEST_CASE("a nested poll in a task runs the outer tasks before it asks for I/O", "[turn]") {
    ManualRig rig;
    std::string order;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read | Interest::oneshot, [&] { order += "io "; }));
    REQUIRE(rig.loop.defer([&] {
        order += "( ";
        REQUIRE(rig.loop.defer([&] { order += "late "; }));
        rig.loop.at(Instant::min(), [&] { order += "timer "; });
        rig.world().set_ready(fd, Readiness::readable);
        rig.loop.poll();
        order += ") ";
    }));
    REQUIRE(rig.loop.defer([&] { order += "rest "; }));
    rig.loop.run_once();
    CHECK(order == "( rest io timer late ) ");
}

TEST_CASE("a stop in a poll() that a before-sleep hook has called keeps the rest of its batch",
          "[turn]") {
    ManualRig rig;
    std::string order;
    for (const char* const name : {"1", "2", "3"}) {
        const int fd = rig.scripted();
        REQUIRE(rig.loop.add(fd, Interest::read | Interest::edge, [&, name] {
            order += name;
            rig.loop.stop();
        }));
        rig.world().set_ready(fd, Readiness::readable);
    }
    auto hook = rig.loop.before_sleep([&] { rig.loop.poll(); });
    CHECK(rig.loop.run() == 0);
    CHECK(order == "1");
    hook.reset();
    rig.loop.run();
    rig.loop.run();
    CHECK(order == "123");
}

TEST_CASE("a nested poll neither blocks nor consumes a stop", "[turn]") {
    ManualRig rig;
    const Instant start = rig.world().time();
    int late = 0;
    rig.loop.after(10ms, [&] { ++late; });
    REQUIRE(rig.loop.defer([&] {
        CHECK(rig.loop.poll() == 0);
        CHECK(rig.world().time() == start);
        rig.loop.stop();
        rig.world().advance(20ms);
        const auto waits = rig.world().counters().waits;
        CHECK(rig.loop.poll() == 0);
        CHECK(rig.world().counters().waits == waits);
    }));
    CHECK(rig.loop.run() == 1);
    CHECK(late == 0);
    CHECK(rig.loop.run() == 1);
}

TEST_CASE("run, run_once, run_for and prepare in a handler assert, poll doesn't", "[turn]") {
    ManualRig rig;
    const auto inside = [&](auto call) {
        return dies([&] {
            rig.loop.defer([&] { call(rig.loop); });
            rig.loop.run();
        });
    };
    const char* const advice = "only poll() may be nested";
    CHECK_THAT(inside([](auto& loop) { loop.run(); }).message, ContainsSubstring(advice));
    CHECK_THAT(inside([](auto& loop) { loop.run_once(); }).message, ContainsSubstring(advice));
    CHECK_THAT(inside([](auto& loop) { loop.run_for(1ms); }).message, ContainsSubstring(advice));
    CHECK_THAT(inside([](auto& loop) { loop.prepare(); }).message,
               ContainsSubstring("for a foreign loop, not for a handler"));
    CHECK_FALSE(inside([](auto& loop) { loop.poll(); }).aborted);
}

// Waiting.

TEST_CASE("a busy loop with a deadline asks without blocking first", "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    int left = 100;
    rig.loop.background(rig.loop.after(1s, nothing), true);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        if (--left == 0) rig.loop.remove(fd);
        if (left < 99) CHECK(rig.world().last_deadline() == Instant::min());
    }));
    rig.loop.run();
    CHECK(left == 0);
    CHECK(rig.world().counters().waits == 100);
}

TEST_CASE("a quiet loop with a deadline makes one wait per wake", "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted();
    int wakes = 0;
    rig.loop.background(rig.loop.after(std::chrono::hours(1), nothing), true);
    const auto ready = [&] { rig.world().set_ready(fd, Readiness::readable); };
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        if (++wakes == 1000) return rig.loop.stop();
        rig.world().set_ready(fd, Readiness::none);
        rig.world().schedule(1ms, ready);
    }));
    ready();
    rig.loop.run();
    CHECK(rig.world().counters().waits >= 1000);
    CHECK(rig.world().counters().waits <= 1000 + 1000 / 16);
}

TEST_CASE("without a deadline there is exactly one wait per wake, and no look at the clock",
          "[turn]") {
    ManualRig rig;
    if (GENERATE(false, true)) rig.loop.at(Instant::max(), nothing);
    const size_t reads = rig.world().counters().clock_reads;
    const int fd = rig.scripted();
    int wakes = 0;
    const auto ready = [&] { rig.world().set_ready(fd, Readiness::readable); };
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        CHECK(rig.world().last_deadline() == Instant::max());
        if (++wakes == 1000) return rig.loop.stop();
        rig.world().set_ready(fd, Readiness::none);
        rig.world().schedule(1ms, ready);
    }));
    ready();
    rig.loop.run();
    CHECK(rig.world().counters().waits == 1000);
    CHECK(rig.world().counters().clock_reads == reads);
}

TEST_CASE("a turn with a task left asks once, without blocking", "[turn]") {
    ManualRig rig;
    rig.loop.after(1s, nothing);
    int runs = 0;
    struct Again {
        ManualRig::Loop& loop;
        int& runs;
        void operator()() const {
            if (++runs < 100) loop.defer(*this);
        }
    };
    rig.loop.defer(Again{rig.loop, runs});
    for (int i = 0; i < 100; ++i) rig.loop.run_once();
    CHECK(runs == 100);
    CHECK(rig.world().counters().waits == 100);
}

TEST_CASE("an interrupted wait is a turn without events, and the deadline is computed anew",
          "[turn]") {
    ManualRig rig;
    const Instant start = rig.world().time();
    Instant fired;
    int turns = 0;
    rig.loop.after(10ms, [&] { fired = rig.world().time(); });
    const TimerId other = rig.loop.after(5ms, [] { FAIL("it was cancelled"); });
    const auto hook = rig.loop.after_sleep([&] {
        if (++turns > 1) return;
        CHECK(rig.world().time() == start);
        CHECK(rig.world().last_deadline() == start + ms(5));
        rig.loop.cancel(other);
    });
    rig.world().interrupt_next_wait();
    CHECK(rig.loop.run_once() == 0);
    CHECK(rig.loop.run() == 1);
    CHECK(fired == start + ms(10));
    CHECK(rig.world().last_deadline() == start + ms(10));
}

TEST_CASE("a wait that fails otherwise asserts", "[turn]") {
    ManualRig rig;
    rig.world().fail_next_wait(EBADF);
    rig.loop.after(1ms, nothing);
    const auto death = dies([&] { rig.loop.run(); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("the poller's wait failed"));
}

TEST_CASE("run_once waits only if something could wake it", "[turn]") {
    ManualRig rig;
    CHECK(rig.loop.run_once() == 0);
    CHECK(rig.world().last_deadline() == Instant::min());
    const TimerId timer = rig.loop.after(10ms, nothing);
    rig.loop.background(timer, true);
    CHECK(rig.loop.run_once() == 0);
    CHECK(rig.world().last_deadline() == Instant::min());
    rig.loop.background(timer, false);
    CHECK(rig.loop.run_once() == 1);
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    CHECK(rig.world().would_block_forever() == 0);
    CHECK(rig.loop.run_once() == 0);
    CHECK(rig.world().would_block_forever() == 1);
}

TEST_CASE("poll never waits", "[turn]") {
    ManualRig rig;
    const Instant start = rig.world().time();
    rig.loop.after(10ms, nothing);
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    for (int i = 0; i < 3; ++i) {
        CHECK(rig.loop.poll() == 0);
        CHECK(rig.world().last_deadline() == Instant::min());
    }
    CHECK(rig.world().time() == start);
    rig.world().set_ready(fd, Readiness::readable);
    CHECK(rig.loop.poll() == 1);
}

TEST_CASE("timers with huge deadlines let the loop wait for ever, not spin", "[turn]") {
    ManualRig rig;
    const int fd = rig.scripted();
    rig.loop.after(never, nothing);
    rig.loop.after(std::chrono::hours(24 * 365 * 250), nothing);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { rig.loop.stop(); }));
    rig.world().schedule(1s, [&] { rig.world().set_ready(fd, Readiness::readable); });
    CHECK(rig.loop.run() == 1);
    CHECK(rig.world().counters().waits == 1);
    CHECK(rig.world().last_deadline() > rig.world().time() + std::chrono::hours(24 * 365 * 200));
}
