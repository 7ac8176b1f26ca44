// SPDX-License-Identifier: BSL-1.0
// What keeps run() going, stopping, whose thread a loop is, and what it costs. How it begins and
// ends is in lifetime.cpp, its turn in turn.cpp.

#include <rondo/loop/event_loop.hpp>

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "loop/rig.hpp"
#include "support/archetype.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

const auto nothing = [] {};

// Compiled, never run: the loop asks no more of a poller than the concept says.
[[maybe_unused]] void use_all_with(EventLoop<Archetype>& loop) {
    static_cast<void>(loop.add(1, Interest::read, nothing));
    static_cast<void>(loop.add(1, Interest::read, nothing, nothing));
    static_cast<void>(loop.replace(1, Interest::read, nothing));
    static_cast<void>(loop.watch(1, Interest::read, nothing));
    static_cast<void>(loop.on_signal(1, nothing));
    static_cast<void>(loop.on_child(1, nothing));
    loop.modify(1, loop.interest(1));
    loop.remove(1);
    const TimerId id = loop.after(1ms, nothing);
    loop.rearm(loop.every(1ms, nothing), loop.now() + loop.remaining(id));
    loop.cancel(id);
    auto timer = loop.timer();
    timer.at(loop.deadline(id), nothing);
    auto remote = loop.remote();
    loop.background(remote, loop.defer(nothing) && loop.post(nothing));
    const auto before = loop.before_sleep(nothing);
    const auto after = loop.after_sleep(nothing);
    loop.run();
    loop.run_once();
    loop.run_for(1ms);
    loop.poll();
    loop.stop();
    loop.prepare();
    loop.dump([](std::string_view) {});
    loop.abandon();
}

// In a manual world, a wait for ever really blocks until another thread wakes it.
template <class P>
void let_threads_wake(Rig<P>& rig) {
    if constexpr (!P::traits.kernel) rig.world().let_threads_wake(true);
}

}  // namespace

// What keeps run() going: a case per row of the table in ARCHITECTURE.md.

KERNEL_CASE("run() returns at once when there is nothing", "[event_loop]") {
    Rig<TestType> rig;
    CHECK(rig.loop.run() == 0);
    CHECK(rig.loop.run() == 0);
}

KERNEL_CASE("a watched descriptor keeps run() going, not in the background", "[event_loop]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { rig.loop.remove(fd); }));
    rig.loop.background(fd, true);
    CHECK(rig.loop.run() == 0);
    rig.loop.background(fd, false);
    CHECK(rig.loop.run() == 1);
}

KERNEL_CASE("a timer keeps run() going, not in the background", "[event_loop]") {
    Rig<TestType> rig;
    const TimerId id = rig.loop.after(1us, nothing);
    rig.loop.background(id, true);
    CHECK(rig.loop.run() == 0);
    rig.loop.background(id, false);
    CHECK(rig.loop.run() == 1);
}

TEST_CASE("a child watch keeps run() going, not in the background", "[event_loop]") {
    ManualRig rig;
    auto watch = rig.loop.on_child(77, nothing);
    REQUIRE(watch);
    watch->set_background(true);
    CHECK(rig.loop.run() == 0);
    watch->set_background(false);
    rig.world().schedule(1ms, [&] { rig.world().end_child(77, 0); });
    CHECK(rig.loop.run() >= 1);
    CHECK(rig.loop.run() == 0);
}

KERNEL_CASE("a deferred or posted task keeps run() going", "[event_loop]") {
    Rig<TestType> rig;
    REQUIRE(rig.loop.defer(nothing));
    CHECK(rig.loop.run() == 1);
    REQUIRE(rig.loop.post([&] { rig.loop.post(nothing); }));
    CHECK(rig.loop.run() == 2);
}

KERNEL_CASE("a Remote keeps run() going, not in the background", "[event_loop]") {
    Rig<TestType> rig;
    std::optional<typename Rig<TestType>::Loop::Remote> remote = rig.loop.remote();
    int turns = 0;
    const auto hook = rig.loop.before_sleep([&] {
        ++turns;
        remote.reset();
    });
    rig.loop.background(*remote, true);
    CHECK(rig.loop.run() == 0);
    CHECK(turns == 0);
    rig.loop.background(*remote, false);
    CHECK(rig.loop.run() == 0);
    CHECK(turns == 1);
}

KERNEL_CASE("signal watches and hooks don't keep run() going", "[event_loop]") {
    Rig<TestType> rig;
    const auto watch = rig.loop.on_signal(10, nothing);
    REQUIRE(watch);
    const auto before = rig.loop.before_sleep(nothing);
    const auto after = rig.loop.after_sleep(nothing);
    CHECK(rig.loop.run() == 0);
}

KERNEL_CASE("a loop whose last foreground Remote goes in another thread returns from run()",
            "[event_loop][threads]") {
    for (int i = 0; i < 50; ++i) {
        Rig<TestType> rig;
        let_threads_wake(rig);
        auto resident = rig.loop.remote();
        resident.set_background(true);
        std::atomic<bool> turning{false};
        const auto hook = rig.loop.before_sleep([&] { turning = true; });
        std::thread thread([remote = rig.loop.remote(), &turning]() mutable {
            while (!turning) std::this_thread::yield();
            const auto mine = std::move(remote);
        });
        CHECK(rig.loop.run() == 0);
        thread.join();
    }
}

// Stopping.

KERNEL_CASE("a stop before run() makes the next run() return at once, and only that",
            "[event_loop]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { rig.loop.stop(); }));
    rig.loop.stop();
    CHECK(rig.loop.run() == 0);
    CHECK(rig.loop.run() == 1);
    CHECK(rig.loop.run() == 1);
}

TEST_CASE("run, run_once, run_for and poll each consume one stop", "[event_loop]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { rig.world().advance(1us); }));
    const int which = GENERATE(0, 1, 2, 3);
    const auto go = [&]() -> size_t {
        if (which == 0) return rig.loop.run_once();
        if (which == 1) return rig.loop.run_for(1us);
        if (which == 2) return rig.loop.poll();
        rig.loop.modify(fd, Interest::none);
        REQUIRE(rig.loop.defer([&] { rig.loop.stop(); }));
        return rig.loop.run();
    };
    rig.loop.stop();
    rig.loop.stop();
    CHECK(go() == 0);
    CHECK(go() >= 1);
}

TEST_CASE("a stop by the last handler of run_once or poll isn't left for the next",
          "[event_loop]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { rig.loop.stop(); }));
    CHECK(rig.loop.run_once() == 1);
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.loop.run_for(1s) == 1);
    CHECK(rig.loop.run() == 1);
}

TEST_CASE("a stop in a handler finishes that handler and keeps timers and tasks", "[event_loop]") {
    ManualRig rig;
    std::string order;
    const int fd = rig.scripted(Readiness::readable);
    REQUIRE(rig.loop.add(fd, Interest::read, [&] {
        rig.loop.stop();
        order += "i";
        rig.loop.remove(fd);
    }));
    rig.loop.at(Instant::min(), [&] { order += "t"; });
    REQUIRE(rig.loop.defer([&] { order += "d"; }));
    CHECK(rig.loop.run() == 1);
    CHECK(order == "i");
    CHECK(rig.loop.run() == 2);
    CHECK(order == "itd");
}

TEST_CASE("after a stop in a hook the loop doesn't block and runs no handler", "[event_loop]") {
    ManualRig rig;
    const int fd = rig.scripted();
    int io = 0;
    REQUIRE(rig.loop.add(fd, Interest::read, [&] { ++io; }));
    const bool before = GENERATE(true, false);
    if (!before) rig.world().set_ready(fd, Readiness::readable);
    const auto stop = [&] { rig.loop.stop(); };
    const auto hook = before ? rig.loop.before_sleep(stop) : rig.loop.after_sleep(stop);
    CHECK(rig.loop.run() == 0);
    CHECK(rig.world().would_block_forever() == 0);
    CHECK(io == 0);
}

TEST_CASE("a stop wakes a loop that sleeps, once, and none that is awake", "[event_loop]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.stop();
    CHECK(rig.world().counters().wakes == 0);
    CHECK(rig.loop.run() == 0);
    rig.world().schedule(1ms, [&] {  // the loop sleeps
        rig.loop.stop();
        CHECK(rig.world().counters().wakes == 1);
        rig.loop.stop();
    });
    CHECK(rig.loop.run() == 0);
    CHECK(rig.world().counters().wakes == 1);
    CHECK(rig.world().would_block_forever() == 0);
}

KERNEL_CASE("a stop from another thread ends run(), asleep or not", "[event_loop][threads]") {
    Rig<TestType> rig;
    let_threads_wake(rig);
    const FdPair ends = rig.pipe();
    REQUIRE(rig.loop.add(ends.first, Interest::read, nothing));
    std::atomic<int> turns{0};
    const auto hook = rig.loop.before_sleep([&] { ++turns; });
    for (int i = 0; i < 50; ++i) {
        const int seen = turns;
        std::thread thread([&] {
            while (turns == seen) std::this_thread::yield();
            rig.loop.stop();
        });
        CHECK(rig.loop.run() == 0);
        thread.join();
    }
}

// run_for.

TEST_CASE("run_for ends after its duration, or when nothing is left, or by a stop",
          "[event_loop]") {
    ManualRig rig;
    const Instant start = rig.world().time();
    CHECK(rig.loop.run_for(1s) == 0);
    CHECK(rig.world().time() == start);
    int ticks = 0;
    const TimerId id = rig.loop.every(10ms, [&] { ++ticks; });
    CHECK(rig.loop.run_for(35ms) == 3);
    CHECK(rig.world().time() == start + Duration(35ms));
    CHECK(rig.loop.run_for(5ms) == 1);
    rig.loop.after(1ms, [&] { rig.loop.stop(); });
    CHECK(rig.loop.run_for(never) == 1);
    CHECK(rig.world().time() == start + Duration(41ms));
    CHECK(rig.loop.run_for(Duration()) == 0);
    CHECK(rig.world().time() == start + Duration(41ms));
    rig.loop.cancel(id);
}

KERNEL_CASE("run_for is never early", "[event_loop]") {
    Rig<TestType> rig;
    const FdPair ends = rig.pipe();
    REQUIRE(rig.loop.add(ends.first, Interest::read, nothing));
    const Instant start = rig.loop.poller().now();
    CHECK(rig.loop.run_for(2ms) == 0);
    CHECK(rig.loop.poller().now() >= start + Duration(2ms));
}

// Threads.

TEST_CASE("a call by a thread that doesn't run the loop asserts while it runs",
          "[event_loop][threads]") {
    using Loop = ManualRig::Loop;
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    auto watch = rig.loop.watch(rig.scripted(), Interest::read, nothing);
    REQUIRE(watch);
    auto timer = rig.loop.timer();
    auto hook = rig.loop.before_sleep(nothing);
    const TimerId id = rig.loop.after(1s, nothing);
    const std::vector<std::pair<const char*, std::function<void(Loop&)>>> calls{
        {"add", [&](Loop& loop) { static_cast<void>(loop.add(9999, Interest::read, nothing)); }},
        {"modify", [&](Loop& loop) { loop.modify(fd, Interest::write); }},
        {"replace",
         [&](Loop& loop) { static_cast<void>(loop.replace(fd, Interest::read, nothing)); }},
        {"remove", [&](Loop& loop) { loop.remove(fd); }},
        {"interest", [&](Loop& loop) { loop.interest(fd); }},
        {"background", [&](Loop& loop) { loop.background(fd, true); }},
        {"after", [&](Loop& loop) { loop.after(1ms, nothing); }},
        {"cancel", [&](Loop& loop) { loop.cancel(id); }},
        {"rearm", [&](Loop& loop) { loop.rearm(id, 1ms); }},
        {"remaining", [&](Loop& loop) { loop.remaining(id); }},
        {"timer", [&](Loop& loop) { static_cast<void>(loop.timer()); }},
        {"defer", [&](Loop& loop) { loop.defer(nothing); }},
        {"before_sleep", [&](Loop& loop) { static_cast<void>(loop.before_sleep(nothing)); }},
        {"on_signal", [&](Loop& loop) { static_cast<void>(loop.on_signal(10, nothing)); }},
        {"now", [&](Loop& loop) { loop.now(); }},
        {"run", [&](Loop& loop) { loop.run(); }},
        {"run_once", [&](Loop& loop) { loop.run_once(); }},
        {"run_for", [&](Loop& loop) { loop.run_for(1ms); }},
        {"poll", [&](Loop& loop) { loop.poll(); }},
        {"prepare", [&](Loop& loop) { loop.prepare(); }},
        {"end of a watch", [&](Loop&) { watch->reset(); }},
        {"end of a timer", [&](Loop&) { timer.after(1ms, nothing); }},
        {"end of a hook", [&](Loop&) { hook.reset(); }},
    };
    for (const auto& [name, call] : calls) {
        INFO(name);
        const auto death = dies([&, &foreign = call] {
            rig.loop.defer([&] { std::thread([&] { foreign(rig.loop); }).join(); });
            rig.loop.run();
        });
        CHECK(death.aborted);
        CHECK_THAT(death.message, ContainsSubstring("a loop belongs to the thread that runs it"));
    }
}

TEST_CASE("a loop may be set up by one thread and run by another", "[event_loop][threads]") {
    ManualRig rig;
    int ran = 0;
    REQUIRE(rig.loop.defer([&] { ++ran; }));
    std::thread([&] { rig.loop.run(); }).join();
    REQUIRE(rig.loop.defer([&] { ++ran; }));
    rig.loop.run();
    CHECK(ran == 2);
}

// Memory.

TEST_CASE("an idle watched descriptor takes at most 96 bytes", "[event_loop][kernel]") {
    constexpr int count = 10'000;
    using Counting = CountingMemory<311>;
    rlimit files{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
    if (files.rlim_max < count + 100) SKIP("limit " << files.rlim_max);
    const rlimit before_files = files;
    files.rlim_cur = files.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
    std::vector<int> fds;
    for (int i = 0; i < count; ++i) fds.push_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    {
        EventLoop<EpollPoller, NoObserver, Counting> loop;
        const size_t before = Counting::bytes();
        int added = 0;
        for (const int fd : fds) {
            added += loop.add(fd, Interest::read, [&loop] { loop.stop(); }) ? 1 : 0;
        }
        CHECK(added == count);
        const size_t each = (Counting::bytes() - before + count - 1) / count;
        INFO(each << " bytes each");
        CHECK(each <= 96);
        CHECK(each > 0);
    }
    for (const int fd : fds) close(fd);
    setrlimit(RLIMIT_NOFILE, &before_files);
}
