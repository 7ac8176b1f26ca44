// SPDX-License-Identifier: BSL-1.0
// How a loop begins and how it ends.

#include <rondo/loop/event_loop.hpp>

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <chrono>
#include <memory>
#include <optional>
#include <system_error>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

const auto nothing = [] {};

}  // namespace

// The beginning.

TEST_CASE("a loop that can't open a poller throws what the system said", "[lifetime][kernel]") {
    const auto attempt = [] {
        rlimit none{};
        getrlimit(RLIMIT_NOFILE, &none);
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
        try {
            EventLoop<EpollPoller> loop;
        } catch (const std::system_error& error) {
            if (error.code().value() == EMFILE) abort();
        }
    };
    CHECK(dies(attempt).aborted);
}

TEST_CASE("each allocation that fails in the constructor is an exception and leaves nothing",
          "[lifetime]") {
    using Failing = CountingMemory<310>;
    int thrown = 0;
    const int failures = with_each_allocation_failing<Failing>([&](int) {
        try {
            EventLoop<ManualPoller, NoObserver, Failing> loop;
            CHECK(loop.run() == 0);
        } catch (const std::system_error& error) {
            CHECK(error.code() == std::errc::not_enough_memory);
            ++thrown;
        }
    });
    CHECK(failures >= 2);
    CHECK(thrown == failures);
    CHECK(Failing::held() == 0);
    CHECK(Failing::mismatched() == 0);
}

// The end.

KERNEL_CASE("a destroyed loop runs no handler, destroys captures once, leaves descriptors open",
            "[lifetime]") {
    using Loop = EventLoop<TestType>;
    Rig<TestType> rig;  // for descriptors
    const int fd = rig.readable();
    int ran = 0;
    int destroyed = 0;
    const auto make = [&] { return [&ran, end = AtEnd([&destroyed] { ++destroyed; })] { ++ran; }; };
    std::optional<Loop> loop;
    if constexpr (TestType::traits.kernel) {
        loop.emplace();
    } else {
        loop.emplace(TestType(rig.world()));
    }
    REQUIRE(loop->add(fd, Interest::read, make()));
    REQUIRE(loop->after(Duration(), make()));
    REQUIRE(loop->every(1ms, make()));
    REQUIRE(loop->defer(make()));
    REQUIRE(loop->post(make()));
    auto remote = loop->remote();
    REQUIRE(remote.post(make()) == PostStatus::queued);
    loop.reset();
    CHECK(ran == 0);
    CHECK(destroyed == 6);
    std::byte byte{};
    CHECK(rig.loop.sockets().read(fd, {&byte, 1}).bytes == 1);
    CHECK(remote.post(make()) == PostStatus::loop_gone);
    CHECK(ran == 0);
    CHECK(destroyed == 7);
}

TEST_CASE("destructors of captures may call every function of the loop that is being destroyed",
          "[lifetime]") {
    using Loop = ManualRig::Loop;
    ManualWorld world;
    const int fd = world.open_scripted();
    const int other = world.open_scripted();
    int destroyed = 0;
    int ran = 0;
    {
        TimerId id;
        Loop* self = nullptr;
        const auto use_all = [&] {
            Loop& loop = *self;
            ++destroyed;
            const auto task = [&ran] { ++ran; };
            CHECK_FALSE(loop.add(other, Interest::read, task));
            CHECK_FALSE(loop.watch(other, Interest::read, task));
            loop.modify(fd, Interest::write);
            CHECK_FALSE(loop.replace(fd, Interest::read, task));
            loop.interest(fd);
            loop.background(fd, true);
            loop.remove(fd);
            CHECK_FALSE(loop.after(Duration(1ms), task));
            CHECK_FALSE(loop.every(1ms, task));
            CHECK_FALSE(loop.rearm(id, Duration(1ms)));
            loop.background(id, true);
            CHECK_FALSE(loop.cancel(id));
            loop.remaining(id);
            CHECK_FALSE(loop.defer(task));
            static_cast<void>(loop.post(task));
            auto remote = loop.remote();
            static_cast<void>(remote.post(task));
            CHECK_FALSE(loop.before_sleep(task));
            CHECK_FALSE(loop.on_signal(10, task));
            CHECK_FALSE(loop.on_child(77, task));
            auto timer = loop.timer();
            CHECK_FALSE(timer.after(1ms, task));
            CHECK(loop.poll() == 0);
            CHECK(loop.run() == 0);
            loop.stop();
            loop.now();
        };
        const auto make = [&] { return [end = AtEnd(use_all)] {}; };
        Loop loop{ManualPoller(world)};  // after what its captures use
        self = &loop;
        REQUIRE(loop.add(fd, Interest::read, make(), make()));
        id = loop.after(1ms, make());
        auto timer = loop.timer();
        timer.every(1ms, make());
        auto hook = loop.before_sleep(make());
        auto signal = loop.on_signal(10, make());
        auto child = loop.on_child(77, make());
        auto watch = loop.watch(world.open_scripted(), Interest::read, make());
        REQUIRE((hook && signal && child && watch));
        REQUIRE(loop.defer(make()));
        REQUIRE(loop.post(make()));
        // Owners that live in a capture end while the loop is being destroyed.
        REQUIRE(loop.after(1ms, [hook = std::move(hook), watch = std::move(*watch)] {}));
        REQUIRE(loop.defer([signal = std::move(*signal), child = std::move(*child)] {}));
        REQUIRE(loop.post([timer = std::move(timer)] {}));
    }
    CHECK(destroyed == 10);
    CHECK(ran == 0);
}

TEST_CASE("a Watch, a Timer or a Hook that outlives its loop asserts", "[lifetime]") {
    using Loop = ManualRig::Loop;
    const auto outlived = [](auto make) {
        return dies([&] {
            ManualWorld world;
            auto loop = std::make_unique<Loop>(ManualPoller(world));
            const auto late = make(*loop, world.open_scripted());
            loop.reset();
        });
    };
    const char* const advice =
        "destroy every Watch, Timer and Hook (a Listener holds them) before the loop";
    const auto watch = [](Loop& loop, int fd) {
        return loop.watch(fd, Interest::read, nothing).value();
    };
    CHECK_THAT(outlived(watch).message, ContainsSubstring(advice));
    CHECK_THAT(outlived([](Loop& loop, int) { return loop.timer(); }).message,
               ContainsSubstring(advice));
    CHECK_THAT(outlived([](Loop& loop, int) { return loop.before_sleep(nothing); }).message,
               ContainsSubstring(advice));
    CHECK_FALSE(outlived([](Loop& loop, int) { return loop.remote(); }).aborted);
}

TEST_CASE("a handler that destroys its loop asserts", "[lifetime]") {
    const auto death = dies([] {
        auto loop = std::make_unique<ManualRig::Loop>();
        loop->defer([&] { loop.reset(); });
        loop->run();
    });
    CHECK(death.aborted);
    CHECK_THAT(death.message,
               ContainsSubstring("a handler must not destroy the loop that runs it"));
}
