// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/timer.hpp>

#include <chrono>
#include <memory>
#include <optional>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

using Timer = ManualRig::Loop::Timer;

Duration ms(int64_t n) { return Duration::milliseconds(n); }

}  // namespace

TEST_CASE("a Timer ends with its owner, can be re-armed, and can be moved") {
    ManualRig rig;
    int fired = 0;
    {
        auto timer = rig.loop.timer();
        CHECK_FALSE(timer.armed());
        CHECK_FALSE(timer.rearm(ms(1)));
        CHECK(timer.after(1ms, [&] { fired += 100; }));
        CHECK(timer.armed());
    }
    auto timer = rig.loop.timer();
    CHECK(timer.after(1ms, [&] { fired += 100; }));
    CHECK(timer.every(1ms, [&] { ++fired; }));
    auto moved = std::move(timer);
    CHECK(moved.rearm(ms(20)));
    rig.loop.after(22ms, [&] { moved.cancel(); });
    rig.loop.run();
    CHECK(fired == 2);
    CHECK_FALSE(moved.armed());
}

TEST_CASE("arming a Timer that belongs to no loop asserts") {
    ManualRig::Loop::Timer timer;
    CHECK_FALSE(timer.cancel());
    const auto death = dies([&] { timer.after(1ms, [] {}); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("EventLoop::timer()"));
}

TEST_CASE("a handler may destroy the Timer that owns it") {
    ManualRig rig;
    auto timer = std::make_unique<ManualRig::Loop::Timer>(rig.loop.timer());
    auto alive = std::make_shared<int>(1);
    std::weak_ptr<int> captured = alive;
    bool still = false;
    timer->after(1ms, [&, alive = std::move(alive)] {
        timer.reset();
        still = !captured.expired();
    });
    rig.loop.run();
    CHECK(still);
    CHECK(captured.expired());
}

TEST_CASE("what a Timer was armed for may own it when it is armed for something else") {
    ManualRig rig;
    std::optional<Timer> timer = rig.loop.timer();
    const auto arm_with_owner = [&] {
        timer.emplace(rig.loop);
        CHECK(timer->after(1ms, [end = AtEnd([&] { timer.reset(); })] {}));
    };
    int fired = 0;
    arm_with_owner();
    CHECK(timer->after(1ms, [&] { ++fired; }));
    CHECK_FALSE(timer);
    arm_with_owner();
    CHECK(timer->at(rig.loop.now(), [&] { ++fired; }));
    CHECK_FALSE(timer);
    arm_with_owner();
    CHECK(timer->every(1ms, [&] { ++fired; }));
    CHECK_FALSE(timer);
    CHECK(rig.loop.run() == 0);
    CHECK(fired == 0);
}

TEST_CASE("what a Timer was armed for may own it when it is assigned") {
    ManualRig rig;
    std::optional<Timer> timer = rig.loop.timer();
    CHECK(timer->after(1ms, [end = AtEnd([&] { timer.reset(); })] {}));
    int fired = 0;
    Timer other = rig.loop.timer();
    CHECK(other.after(1ms, [&] { ++fired; }));
    *timer = std::move(other);
    CHECK_FALSE(timer);
    CHECK(rig.loop.run() == 0);
    CHECK(fired == 0);
}

TEST_CASE("what a Timer was armed for may end it once more when it ends") {
    ManualRig rig;
    Timer timer = rig.loop.timer();
    CHECK(timer.after(1ms, [end = AtEnd([&] { timer = Timer(); })] {}));
    timer = Timer();
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("a Timer that gets no memory keeps what it was armed for") {
    using Counting = CountingMemory<65>;
    struct Large {
        char bytes[100];
    };
    Rig<ManualPoller, Counting> rig;
    int first = 0;
    int second = 0;
    auto timer = rig.loop.timer();
    REQUIRE(timer.every(1ms, [&] { ++first; }));
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        const bool armed = timer.after(5ms, [&, large = Large()] { second += 1 + large.bytes[0]; });
        CHECK(armed == (Counting::refused() == before));
        CHECK(timer.armed());
        if (!armed) CHECK(rig.loop.run_once() == 1);
    });
    CHECK(failures > 0);
    CHECK(first == failures);
    rig.loop.run();
    CHECK(first == failures);
    CHECK(second == 1);
}
