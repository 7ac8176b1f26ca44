// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/hooks.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

TEST_CASE("hooks run in every turn that asks the poller, in the order in which they were made",
          "[hooks]") {
    ManualRig rig;
    std::string order;
    const auto a = rig.loop.after_sleep([&] { order += "a "; });
    const auto b = rig.loop.before_sleep([&] { order += "b "; });
    const auto c = rig.loop.after_sleep([&] { order += "c "; });
    const auto d = rig.loop.before_sleep([&] { order += "d "; });
    rig.world().schedule(Duration(), [&] { order += "wait "; });
    rig.loop.poll();
    CHECK(order == "b d wait a c ");
    rig.loop.poll();
    CHECK(order == "b d wait a c b d a c ");
}

TEST_CASE("a turn that finishes the rest of another runs no hooks: they stay paired", "[hooks]") {
    ManualRig rig;
    int before = 0;
    int after = 0;
    const auto first = rig.loop.before_sleep([&] { ++before; });
    const auto second = rig.loop.after_sleep([&] { ++after; });
    const bool tasks = GENERATE(true, false);
    const auto thrower = [] { throw Thrown(); };
    for (int i = 0; i < 2; ++i) {
        if (tasks) {
            REQUIRE(rig.loop.defer(thrower));
        } else {
            rig.loop.at(Instant::min(), thrower);
        }
    }
    CHECK_THROWS_AS(rig.loop.run_once(), Thrown);
    CHECK_THROWS_AS(rig.loop.run_once(), Thrown);
    CHECK(before == 1);
    CHECK(after == 1);
    rig.loop.run_once();
    CHECK(before == 2);
    CHECK(after == 2);
}

TEST_CASE("a hook made by a hook runs from the next turn on", "[hooks]") {
    ManualRig rig;
    std::vector<ManualRig::Loop::Hook> made;
    int ran = 0;
    const auto hook = rig.loop.before_sleep([&] {
        if (made.empty()) made.push_back(rig.loop.before_sleep([&] { ++ran; }));
    });
    const auto later = rig.loop.before_sleep([] {});
    rig.loop.poll();
    CHECK(ran == 0);
    rig.loop.poll();
    CHECK(ran == 1);
}

TEST_CASE("a hook may end itself, the next one, the one before, and all of them", "[hooks]") {
    ManualRig rig;
    std::string order;
    std::array<ManualRig::Loop::Hook, 4> hooks;
    const std::string ends = GENERATE("1", "2", "0", "0123", "123", "23");
    size_t number = 0;
    for (auto& hook : hooks) {
        const char name = static_cast<char>('0' + number++);
        hook = rig.loop.before_sleep([&, name, end = AtEnd([&order, name] {
                                                   order += static_cast<char>('a' + (name - '0'));
                                               })] {
            order += name;
            if (name != '1') return;
            for (const char one : ends) hooks[static_cast<size_t>(one - '0')].reset();
            order += '.';
        });
        REQUIRE(hook);
    }
    rig.loop.poll();
    if (ends == "1") CHECK(order == "01.b23");
    if (ends == "2") CHECK(order == "01c.3");
    if (ends == "0") CHECK(order == "01a.23");
    if (ends == "0123") CHECK(order == "01acd.b");
    if (ends == "123") CHECK(order == "01cd.b");
    if (ends == "23") CHECK(order == "01cd.");
}

TEST_CASE("a hook that ends while it throws is destroyed once", "[hooks]") {
    ManualRig rig;
    int destroyed = 0;
    ManualRig::Loop::Hook hook;
    hook = rig.loop.after_sleep([&, end = AtEnd([&] { ++destroyed; })] {
        hook.reset();
        CHECK(destroyed == 0);
        throw Thrown();
    });
    CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    CHECK(destroyed == 1);
    rig.loop.poll();
    CHECK(destroyed == 1);
}

TEST_CASE("a turn nested in a hook runs the other hooks and never the running one", "[hooks]") {
    ManualRig rig;
    std::string order;
    const auto first = rig.loop.before_sleep([&] { order += "1 "; });
    const auto second = rig.loop.before_sleep([&] {
        order += "( ";
        rig.loop.poll();
        order += ") ";
    });
    const auto third = rig.loop.before_sleep([&] { order += "3 "; });
    rig.loop.poll();
    CHECK(order == "1 ( 1 3 ) 3 ");
}

TEST_CASE("a hook ended by a turn nested in it is destroyed when it returns", "[hooks]") {
    ManualRig rig;
    std::string order;
    ManualRig::Loop::Hook outer;
    outer = rig.loop.before_sleep([&, end = AtEnd([&] { order += "gone "; })] {
        rig.loop.defer([&] { outer.reset(); });
        rig.loop.poll();
        order += "returns ";
    });
    rig.loop.poll();
    CHECK(order == "returns gone ");
}

TEST_CASE("a hook that ends the one that a nested turn would run next is obeyed", "[hooks]") {
    ManualRig rig;
    std::string order;
    std::optional<ManualRig::Loop::Hook> last;
    const auto first = rig.loop.before_sleep([&] {
        rig.loop.poll();
        order += "1 ";
    });
    const auto second = rig.loop.before_sleep([&] {
        order += "2 ";
        last.reset();
    });
    last = rig.loop.before_sleep([&] { order += "3 "; });
    rig.loop.poll();
    CHECK(order == "2 1 2 ");
}

TEST_CASE("a Hook can be moved, and its end is the end of its task", "[hooks]") {
    ManualRig rig;
    int first = 0;
    int second = 0;
    auto capture = std::make_shared<int>();
    ManualRig::Loop::Hook hook;
    CHECK_FALSE(hook);
    {
        auto made = rig.loop.before_sleep([&, capture] { ++first; });
        hook = std::move(made);
    }
    rig.loop.poll();
    CHECK(first == 1);
    hook = rig.loop.before_sleep([&] { ++second; });
    CHECK(capture.use_count() == 1);
    rig.loop.poll();
    CHECK(first == 1);
    CHECK(second == 1);
    hook.reset();
    CHECK_FALSE(hook);
    rig.loop.poll();
    CHECK(second == 1);
}

TEST_CASE("what a hook captures may own the Hook when it is assigned", "[hooks]") {
    ManualRig rig;
    int ran = 0;
    std::optional<ManualRig::Loop::Hook> hook;
    hook.emplace(rig.loop.before_sleep([end = AtEnd([&] { hook.reset(); })] {}));
    *hook = rig.loop.before_sleep([&] { ++ran; });
    CHECK_FALSE(hook);
    rig.loop.poll();
    CHECK(ran == 0);
}

TEST_CASE("a hook that throws ends its phase, and the next turn begins with before_sleep",
          "[hooks]") {
    ManualRig rig;
    std::string order;
    bool fails = true;
    const auto first = rig.loop.before_sleep([&] { order += '1'; });
    const auto second = rig.loop.before_sleep([&] {
        order += '2';
        if (std::exchange(fails, false)) throw Thrown();
    });
    const auto third = rig.loop.before_sleep([&] { order += '3'; });
    const auto last = rig.loop.after_sleep([&] { order += '.'; });
    CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    rig.loop.poll();
    CHECK(order == "12123.");
}

TEST_CASE("each allocation that fails for a hook gives one that tests false", "[hooks]") {
    using Failing = CountingMemory<320>;
    {
        EventLoop<ManualPoller, NoObserver, Failing> loop;
        const std::array<char, 200> large{};
        int ran = 0;
        const int failures = with_each_allocation_failing<Failing>([&](int) {
            const auto before = Failing::refused();
            const auto hook = loop.before_sleep([large, &ran] { ran += 1 + large[0]; });
            CHECK(static_cast<bool>(hook) == (Failing::refused() == before));
            loop.poll();
        });
        CHECK(failures == 2);
        CHECK(ran == 1);
    }
    CHECK(Failing::held() == 0);
    CHECK(Failing::mismatched() == 0);
}
