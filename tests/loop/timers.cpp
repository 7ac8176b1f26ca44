// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/timers.hpp>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

Duration ms(int64_t n) { return Duration::milliseconds(n); }

}  // namespace

TEST_CASE("a timer fires once, not before its time") {
    ManualRig rig;
    const Instant start = rig.world().time();
    std::vector<int64_t> fired;
    rig.loop.after(10ms, [&] { fired.push_back((rig.world().time() - start).ns()); });
    rig.loop.run();
    CHECK(fired == std::vector<int64_t>{10'000'000});
}

TEST_CASE("after() reads the clock: a slow turn makes nothing early") {
    ManualRig rig;
    const Instant start = rig.world().time();
    Instant fired;
    rig.loop.after(1ms, [&] {
        static_cast<void>(rig.loop.now());
        rig.world().advance(50ms);
        rig.loop.after(10ms, [&] { fired = rig.world().time(); });
    });
    rig.loop.run();
    CHECK(fired == start + ms(61));
}

TEST_CASE("at() and rearm(Instant) read no clock") {
    ManualRig rig;
    const Instant now = rig.loop.now();
    const auto reads = rig.world().counters().clock_reads;
    const TimerId id = rig.loop.at(now + ms(5), [] {});
    CHECK(rig.loop.rearm(id, now + ms(9)));
    CHECK(rig.loop.rearm(id, now + ms(7)));
    CHECK(rig.world().counters().clock_reads == reads);
}

TEST_CASE("now() is read at most once per turn, on first use") {
    ManualRig rig;
    const int fd = rig.readable();
    int calls = 0;
    Instant first, second;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        const auto reads = rig.world().counters().clock_reads;
        first = rig.loop.now();
        rig.world().advance(5ms);
        second = rig.loop.now();
        CHECK(rig.world().counters().clock_reads == reads + 1);
        if (++calls == 2) rig.loop.remove(fd);
    }));
    const Instant start = rig.loop.poller().now();
    rig.loop.run();
    CHECK(first == start + ms(5));
    CHECK(first == second);
    rig.loop.poll();
    CHECK(rig.loop.now() == first + ms(5));
}

TEST_CASE("now() isn't kept while the loop doesn't run, so deadlines of a setup aren't early") {
    ManualRig rig;
    const Instant before = rig.loop.now();
    rig.world().advance(5ms);
    CHECK(rig.loop.now() == before + ms(5));
    const auto hook = rig.loop.before_sleep([&] { rig.loop.now(); });
    rig.loop.prepare();
    rig.world().advance(5ms);
    CHECK(rig.loop.now() == before + ms(10));
}

TEST_CASE("timers that are due together run by deadline, ties in the order of scheduling") {
    ManualRig rig;
    std::string order;
    const Instant now = rig.loop.now();
    const TimerId a = rig.loop.at(now + ms(2), [&] { order += 'a'; });
    rig.loop.at(now + ms(2), [&] { order += 'b'; });
    rig.loop.at(now + ms(1), [&] { order += 'c'; });
    rig.loop.at(now + ms(2), [&] { order += 'd'; });
    rig.loop.rearm(a, now + ms(2));
    rig.world().advance(3ms);
    rig.loop.run();
    CHECK(order == "cbda");
}

TEST_CASE("a cancelled timer never fires, not even when it is due already") {
    ManualRig rig;
    std::string order;
    const Instant now = rig.loop.now();
    TimerId second;
    rig.loop.at(now + ms(1), [&] {
        order += '1';
        CHECK(rig.loop.cancel(second));
        CHECK_FALSE(rig.loop.cancel(second));
    });
    second = rig.loop.at(now + ms(1), [&] { order += '2'; });
    rig.world().advance(1ms);
    rig.loop.run();
    CHECK(order == "1");
}

TEST_CASE("cancel tells whether it prevented a run") {
    ManualRig rig;
    bool own = true;
    const TimerId id = rig.loop.after(1ms, [&](TimerId self) { own = rig.loop.cancel(self); });
    CHECK_FALSE(rig.loop.cancel(TimerId{}));
    rig.loop.run();
    CHECK_FALSE(own);
    CHECK_FALSE(rig.loop.cancel(id));
}

TEST_CASE("a stale id is harmless when its place is used again") {
    ManualRig rig;
    const TimerId old = rig.loop.after(1ms, [] {});
    CHECK(rig.loop.cancel(old));
    bool fired = false;
    const TimerId young = rig.loop.after(1ms, [&] { fired = true; });
    CHECK(old.slot == young.slot);
    CHECK_FALSE(rig.loop.cancel(old));
    CHECK_FALSE(rig.loop.rearm(old, ms(5)));
    CHECK(rig.loop.remaining(old) == never);
    rig.loop.run();
    CHECK(fired);
}

TEST_CASE("an id is stale at once when its timer is cancelled in its own handler") {
    ManualRig rig;
    int runs = 0;
    rig.loop.every(1ms, [&](Tick tick) {
        ++runs;
        CHECK(rig.loop.cancel(tick.id));
        CHECK_FALSE(rig.loop.cancel(tick.id));
        CHECK_FALSE(rig.loop.rearm(tick.id, ms(1)));
        CHECK(rig.loop.remaining(tick.id) == never);
    });
    rig.loop.run();
    CHECK(runs == 1);
}

TEST_CASE("the destructor of a timer's closure finds its own id stale") {
    ManualRig rig;
    TimerId id;
    bool cancelled = true;
    id = rig.loop.after(1ms, [end = AtEnd([&] { cancelled = rig.loop.cancel(id); })] {});
    CHECK(rig.loop.cancel(id));
    CHECK_FALSE(cancelled);
}

TEST_CASE("a timer with nothing to call asserts") {
    ManualRig rig;
    const auto death = [&](auto nothing) {
        return dies([&] { rig.loop.after(1ms, std::move(nothing)); }).message;
    };
    const auto sentence = ContainsSubstring("an empty timer handler was given");
    CHECK_THAT(death(static_cast<void (*)()>(nullptr)), sentence);
    CHECK_THAT(death(Handler<void()>()), sentence);
    CHECK_THAT(death(std::function<void()>()), sentence);
}

TEST_CASE("a timer made in a timer handler runs next turn at the earliest") {
    ManualRig rig;
    int turns = 0, inner_turn = 0;
    const auto hook = rig.loop.before_sleep([&] { ++turns; });
    rig.loop.at(rig.loop.now(), [&] {
        const int made = turns;
        rig.loop.at(rig.loop.now(), [&, made] { inner_turn = turns - made; });
    });
    rig.loop.run();
    CHECK(inner_turn == 1);
}

TEST_CASE("a timer re-armed to now in its own handler doesn't starve descriptors") {
    ManualRig rig;
    const int fd = rig.readable();
    int timer_runs = 0, io_runs = 0;
    rig.loop.after(Duration(), [&](TimerId id) {
        if (++timer_runs < 100) rig.loop.rearm(id, Instant::min());
    });
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        if (++io_runs == 10) rig.loop.remove(fd);
    }));
    rig.loop.run_once();
    rig.loop.run_once();
    CHECK(timer_runs == 2);
    CHECK(io_runs == 2);
    rig.loop.run();
    CHECK(timer_runs == 100);
}

TEST_CASE("a timer made due in an I/O handler may run in the same turn") {
    ManualRig rig;
    const int fd = rig.readable();
    bool fired = false;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.loop.remove(fd);
        rig.loop.at(Instant::min(), [&] { fired = true; });
    }));
    rig.loop.run_once();
    CHECK(fired);
}

TEST_CASE("a timer moved later in an I/O handler doesn't fire in that turn") {
    ManualRig rig;
    const int fd = rig.readable();
    const Instant start = rig.loop.now();
    Instant fired;
    const TimerId id = rig.loop.at(start, [&] { fired = rig.world().time(); });
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.loop.remove(fd);
        rig.loop.rearm(id, start + ms(30));
    }));
    rig.loop.run();
    CHECK(fired == start + ms(30));
}

TEST_CASE("a fired timer's id is valid until its handler returns, and can be re-armed there") {
    ManualRig rig;
    int runs = 0;
    TimerId id;
    id = rig.loop.after(1ms, [&] {
        if (++runs < 3) CHECK(rig.loop.rearm(id, ms(1)));
    });
    rig.loop.run();
    CHECK(runs == 3);
    CHECK_FALSE(rig.loop.rearm(id, ms(1)));
}

TEST_CASE("a handler that returns a duration is called again that long after it returned") {
    ManualRig rig;
    const Instant start = rig.world().time();
    std::vector<int64_t> at;
    rig.loop.after(10ms, [&]() -> Duration {
        at.push_back((rig.world().time() - start).ns() / 1'000'000);
        rig.world().advance(3ms);
        return at.size() == 3 ? never : Duration(10ms);
    });
    rig.loop.run();
    CHECK(at == std::vector<int64_t>{10, 23, 36});
}

TEST_CASE("a periodic timer keeps its rate and tells what it missed") {
    ManualRig rig;
    const Instant start = rig.world().time();
    std::vector<int64_t> at;
    std::vector<uint64_t> missed;
    rig.loop.every(10ms, [&](Tick tick) {
        at.push_back((rig.world().time() - start).ns() / 1'000'000);
        missed.push_back(tick.missed);
        if (at.size() == 2) rig.world().advance(34ms);
        if (at.size() == 5) rig.loop.cancel(tick.id);
    });
    rig.loop.run();
    CHECK(at == std::vector<int64_t>{10, 20, 54, 60, 70});
    CHECK(missed == std::vector<uint64_t>{0, 0, 2, 0, 0});
}

TEST_CASE("a periodic timer stays armed when its handler throws") {
    ManualRig rig;
    int runs = 0;
    const TimerId id = rig.loop.every(10ms, [&] {
        if (++runs == 1) throw Thrown();
        rig.loop.stop();
    });
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    rig.loop.run();
    CHECK(runs == 2);
    CHECK(rig.loop.cancel(id));
}

TEST_CASE("a period of nothing runs once per turn") {
    ManualRig rig;
    int runs = 0;
    rig.loop.every(Duration(), [&](Tick tick) {
        if (++runs == 3) rig.loop.cancel(tick.id);
    });
    rig.loop.run_once();
    CHECK(runs == 1);
    rig.loop.run();
    CHECK(runs == 3);
}

TEST_CASE("due timers that an exception has left run first in the next turn, which doesn't wait") {
    ManualRig rig;
    std::string order;
    const Instant now = rig.loop.now();
    rig.loop.at(now, [&]() {
        order += '1';
        throw Thrown();
    });
    rig.loop.at(now, [&] { order += '2'; });
    rig.loop.at(now, [&] { order += '3'; });
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(order == "1");
    const auto waits = rig.world().counters().waits;
    CHECK(rig.loop.run_once() == 2);
    CHECK(order == "123");
    CHECK(rig.world().counters().waits == waits);
}

TEST_CASE("stop in a timer handler keeps the other due timers for the next run") {
    ManualRig rig;
    std::string order;
    const Instant now = rig.loop.now();
    rig.loop.at(now, [&] {
        order += '1';
        rig.loop.stop();
    });
    rig.loop.at(now, [&] { order += '2'; });
    rig.loop.run();
    CHECK(order == "1");
    rig.loop.run();
    CHECK(order == "12");
}

TEST_CASE("a nested poll finishes the outer timers once and doesn't enter the running one") {
    ManualRig rig;
    std::string order;
    const Instant now = rig.loop.now();
    rig.loop.at(now, [&] {
        order += '1';
        rig.loop.poll();
        order += 'e';
    });
    rig.loop.at(now, [&] { order += '2'; });
    rig.loop.at(now, [&] { order += '3'; });
    rig.loop.run();
    CHECK(order == "123e");
}

TEST_CASE("a periodic timer isn't entered again by a turn nested in its handler") {
    ManualRig rig;
    int depth = 0, deepest = 0, runs = 0;
    rig.loop.every(1ms, [&](Tick tick) {
        deepest = ++depth > deepest ? depth : deepest;
        rig.world().advance(5ms);
        rig.loop.poll();
        rig.loop.poll();
        if (++runs == 3) rig.loop.cancel(tick.id);
        --depth;
    });
    rig.loop.run();
    CHECK(runs == 3);
    CHECK(deepest == 1);
}

TEST_CASE(
    "a closure is destroyed when its timer ends, its destructor runs last and may use the loop") {
    ManualRig rig;
    std::string order;
    bool late = false;
    {
        auto end = AtEnd([&] {
            order += 'd';
            rig.loop.after(1ms, [&] { late = true; });
        });
        rig.loop.after(1ms, [&, end = std::move(end)](TimerId self) {
            order += 'r';
            rig.loop.cancel(self);
            order += 'x';
        });
    }
    rig.loop.run();
    CHECK(order == "rxd");
    CHECK(late);
}

TEST_CASE("a timer cancelled from a nested turn is destroyed when its handler returns") {
    ManualRig rig;
    std::string order;
    const Instant now = rig.loop.now();
    TimerId outer;
    outer = rig.loop.at(now, [&, end = AtEnd([&] { order += 'd'; })] {
        rig.loop.poll();
        order += 'r';
    });
    rig.loop.at(now, [&] { CHECK_FALSE(rig.loop.cancel(outer)); });
    rig.loop.run();
    CHECK(order == "rd");
}

TEST_CASE("a timer in the background doesn't keep run() going") {
    ManualRig rig;
    int fired = 0;
    const TimerId id = rig.loop.every(1ms, [&] { ++fired; });
    rig.loop.background(id, true);
    CHECK(rig.loop.run() == 0);
    rig.loop.after(5ms, [] {});
    rig.loop.run();
    CHECK(fired >= 4);
    rig.loop.background(id, false);
    rig.loop.after(1ms, [&] { rig.loop.stop(); });
    CHECK(rig.loop.run() > 0);
}

TEST_CASE("what a cancelled timer captures is destroyed, in the background or back from it") {
    ManualRig rig;
    int destroyed = 0;
    for (const int changes : {0, 1, 2}) {
        const TimerId id = rig.loop.after(1ms, [end = AtEnd([&] { ++destroyed; })] {});
        for (int i = 0; i < changes; ++i) rig.loop.background(id, i % 2 == 0);
        CHECK(rig.loop.cancel(id));
        CHECK(destroyed == changes + 1);
    }
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("a timer in the place of one that was in the background isn't") {
    ManualRig rig;
    const TimerId id = rig.loop.after(1ms, [] {});
    rig.loop.background(id, true);
    CHECK(rig.loop.cancel(id));
    CHECK(rig.loop.run() == 0);
    const TimerId next = rig.loop.after(1ms, [] {});
    CHECK(next.slot == id.slot);
    CHECK(rig.loop.run() == 1);
    CHECK(rig.loop.cancel(rig.loop.after(1ms, [] {})));
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("huge delays saturate, and remaining() never overflows") {
    ManualRig rig;
    rig.world().advance(1s);
    const TimerId id = rig.loop.after(never, [] {});
    CHECK(rig.loop.remaining(id) == never);
    const TimerId far = rig.loop.after(std::chrono::hours(24 * 365 * 200), [] {});
    CHECK(rig.loop.remaining(far) == Duration(std::chrono::hours(24 * 365 * 200)));
    const TimerId past = rig.loop.at(Instant::min(), [] {});
    CHECK(rig.loop.remaining(past) == Duration());
    CHECK(rig.loop.run_for(1ms) == 1);
}

TEST_CASE("every k-th allocation of a timer fails without a trace") {
    using Failing = CountingMemory<301>;
    for (int k = 1; k <= 4; ++k) {
        EventLoop<ManualPoller, NoObserver, Failing> loop;
        Failing::fail_after(k);
        const std::array<char, 200> large{};
        int refused = 0;
        for (int i = 0; i < 100; ++i) {
            if (!loop.after(1ms, [large] { static_cast<void>(large); })) ++refused;
        }
        Failing::never_fail();
        CHECK(refused == 1);
        CHECK(loop.run() == 99);
    }
    CHECK(Failing::mismatched() == 0);
}

TEST_CASE("after warm-up timers allocate nothing") {
    using Counting = CountingMemory<302>;
    EventLoop<ManualPoller, NoObserver, Counting> loop;
    int fired = 0;
    const auto round = [&] {
        TimerId ids[50];
        for (TimerId& id : ids) id = loop.after(1ms, [&fired] { ++fired; });
        for (size_t i = 0; i < 50; i += 2) loop.rearm(ids[i], ms(2));
        for (size_t i = 0; i < 50; i += 5) loop.cancel(ids[i]);
        loop.run();
    };
    round();
    const auto before = Counting::allocations();
    for (int i = 0; i < 20; ++i) round();
    CHECK(Counting::allocations() == before);
    CHECK(fired == 21 * 40);
}

TEST_CASE("a periodic timer keeps its phase when it comes due in a turn nested in its handler") {
    ManualRig rig;
    const Instant start = rig.world().time();
    std::vector<int64_t> at;
    std::vector<uint64_t> missed;
    rig.loop.every(10ms, [&](Tick tick) {
        at.push_back((rig.world().time() - start).ns() / 1'000'000);
        missed.push_back(tick.missed);
        if (at.size() == 1) rig.world().advance(37ms), rig.loop.poll();
        if (at.size() == 4) rig.loop.cancel(tick.id);
    });
    rig.loop.run();
    CHECK(at == std::vector<int64_t>{10, 47, 50, 60});
    CHECK(missed == std::vector<uint64_t>{0, 2, 0, 0});
}
