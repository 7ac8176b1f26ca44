// SPDX-License-Identifier: BSL-1.0
// A loop inside a foreign one (prepare, native_handle, poll), and a loop after fork.

#include <rondo/loop/event_loop.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "loop/rig.hpp"
#include "os/system_support.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

const auto nothing = [] {};

template <class Loop>
concept Embeddable = requires(Loop& loop) { loop.native_handle(); };

static_assert(Embeddable<EventLoop<EpollPoller>>);
static_assert(!Embeddable<EventLoop<PollPoller>>);
static_assert(!Embeddable<EventLoop<SelectPoller>>);
static_assert(!Embeddable<EventLoop<ManualPoller>>);

using EpollRig = Rig<EpollPoller>;

// A plain poll(2) loop, once round; it waits as long as it takes, or up to `patience` milliseconds.
bool wakes(EpollRig& rig, int patience = -1) {
    return system_support::readable(rig.loop.native_handle(), patience);
}

}  // namespace

TEST_CASE("a foreign loop waits for the deadline that prepare() says", "[embedding]") {
    ManualRig rig;
    CHECK(rig.loop.prepare() == Instant::max());
    rig.loop.poll();
    const Instant due = rig.world().time() + Duration(5ms);
    int fired = 0;
    rig.loop.at(due, [&] { ++fired; });
    CHECK(rig.loop.prepare() == due);
    rig.world().advance(5ms);
    CHECK(rig.loop.poll() == 1);
    CHECK(fired == 1);
}

TEST_CASE("prepare() says at once if work is left", "[embedding]") {
    ManualRig rig;
    const int left = GENERATE(0, 1, 2, 3, 4);
    std::optional<ManualRig::Loop::Hook> hook;
    const auto thrower = [] { throw Thrown(); };
    if (left == 0) rig.loop.stop();
    if (left == 1) rig.loop.defer(nothing);
    if (left == 2) rig.loop.post(nothing);
    if (left == 3) hook = rig.loop.before_sleep([&] { rig.loop.defer(nothing); });
    if (left == 4) {
        rig.loop.at(Instant::min(), thrower);
        rig.loop.at(Instant::min(), nothing);
        CHECK_THROWS_AS(rig.loop.poll(), Thrown);
    }
    CHECK(rig.loop.prepare() == Instant::min());
    CHECK(rig.world().counters().wakes == 0);
    CHECK(rig.loop.poll() == (left == 0 ? 0 : 1));
    hook.reset();
    CHECK(rig.loop.prepare() == Instant::max());
}

TEST_CASE("prepare() applies merged changes", "[embedding]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    rig.loop.modify(fd, Interest::write);
    rig.loop.prepare();
    CHECK(rig.world().registered(fd) == Interest::write);
}

TEST_CASE("hooks are paired however prepare() and the turns follow each other", "[embedding]") {
    ManualRig rig;
    std::string order;
    const auto before = rig.loop.before_sleep([&] { order += "b"; });
    const auto after = rig.loop.after_sleep([&] { order += "a"; });
    const std::string calls =
        GENERATE("pl", "ppl", "pldl", "dpl", "sptl", "ptl", "po", "plpl", "ll");
    for (const char call : calls) {
        if (call == 'p') rig.loop.prepare();
        if (call == 'l') rig.loop.poll();
        if (call == 't') rig.loop.poll(Phases::tasks);
        if (call == 'o') rig.loop.run_once();
        if (call == 'd') rig.loop.defer(nothing);
        if (call == 's') rig.loop.stop();
    }
    const bool twice = calls == "pldl" || calls == "plpl" || calls == "ll";
    CHECK(order == (twice ? "baba" : "ba"));
}

TEST_CASE("what is changed while a foreign loop waits wakes it", "[embedding]") {
    ManualRig rig;
    const int fd = rig.scripted();
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    const TimerId id = rig.loop.after(1s, nothing);
    auto remote = rig.loop.remote();
    const auto woken_by = [&](auto change) {
        rig.loop.prepare();
        const auto wakes = rig.world().counters().wakes;
        change();
        const bool woken = rig.world().counters().wakes == wakes + 1;
        rig.loop.poll();
        return woken;
    };
    CHECK(woken_by([&] { rig.loop.modify(fd, Interest::write); }));
    CHECK(woken_by([&] { REQUIRE(rig.loop.replace(fd, Interest::write, nothing)); }));
    CHECK(woken_by([&] { rig.loop.after(1ms, nothing); }));
    CHECK(woken_by([&] { rig.loop.rearm(id, 2ms); }));
    CHECK(woken_by([&] { rig.loop.defer(nothing); }));
    CHECK(woken_by([&] { rig.loop.post(nothing); }));
    CHECK(woken_by([&] { static_cast<void>(remote.post(nothing)); }));
    CHECK(woken_by([&] { rig.loop.stop(); }));
    CHECK_FALSE(woken_by([&] { rig.loop.interest(fd); }));
    const auto wakes = rig.world().counters().wakes;
    rig.loop.modify(fd, Interest::read);  // awake again: no need
    CHECK(rig.world().counters().wakes == wakes);
}

TEST_CASE("inside a poll(2) loop: an interest, a timer and a task change while it sleeps",
          "[embedding][kernel]") {
    EpollRig rig;
    const int fd = rig.ready_pair();
    rig.drain(fd);
    int readable = 0;
    int writable = 0;
    int fired = 0;
    int tasks = 0;
    REQUIRE(rig.loop.add(
        fd, Interest::read, [&] { ++readable; },
        [&] {
            ++writable;
            rig.loop.modify(fd, Interest::read);
        }));
    CHECK(rig.loop.prepare() == Instant::max());
    CHECK_FALSE(wakes(rig, 0));
    rig.loop.modify(fd, Interest::read | Interest::write);
    CHECK(wakes(rig));
    rig.loop.poll();
    CHECK(writable == 1);

    CHECK(rig.loop.prepare() == Instant::max());
    CHECK_FALSE(wakes(rig, 0));
    const Instant due = rig.loop.poller().now();
    rig.loop.at(due, [&] { ++fired; });
    CHECK(wakes(rig));
    CHECK(rig.loop.poll() == 1);
    CHECK(fired == 1);

    CHECK(rig.loop.prepare() == Instant::max());
    CHECK_FALSE(wakes(rig, 0));
    rig.loop.defer([&] { ++tasks; });
    CHECK(wakes(rig));
    CHECK(rig.loop.poll() == 1);
    CHECK(tasks == 1);
    CHECK(readable == 0);
}

TEST_CASE("inside a poll(2) loop: a task from another thread ends its sleep",
          "[embedding][kernel][threads]") {
    EpollRig rig;
    int ran = 0;
    for (int i = 1; i <= 50; ++i) {
        CHECK(rig.loop.prepare() == Instant::max());
        CHECK_FALSE(wakes(rig, 0));
        std::thread thread([&, remote = rig.loop.remote()]() mutable {
            static_cast<void>(remote.post([&] { ++ran; }));
        });
        CHECK(wakes(rig));
        thread.join();
        while (ran != i) rig.loop.poll();
    }
}

TEST_CASE("a loop that was prepared can be run or destroyed", "[embedding][kernel]") {
    EpollRig rig;
    rig.loop.after(1us, nothing);
    rig.loop.prepare();
    CHECK(rig.loop.run() == 1);
    rig.loop.prepare();
}

// After fork.

KERNEL_CASE(
    "in a child, an abandoned loop ends without a system call and leaves the parent's alone",
    "[embedding][fork]") {
    if constexpr (TestType::traits.kernel) {
        using Loop = EventLoop<TestType>;
        struct Everything {
            Loop loop;
            typename Loop::Watch watch;
            typename Loop::Watch signal;
            typename Loop::Timer timer = loop.timer();
            typename Loop::Hook hook = loop.before_sleep(nothing);
            typename Loop::Remote remote = loop.remote();
        };
        const system_support::Disposed guard(SIGUSR1);
        auto all = std::make_unique<Everything>();
        Loop& loop = all->loop;
        const FdPair pipe = loop.sockets().pipe().value();
        int read = 0;
        int signals = 0;
        all->watch = loop.watch(pipe.first, Interest::read, [&] { ++read; }).value();
        all->signal = loop.on_signal(SIGUSR1, [&] { ++signals; }).value();
        all->timer.after(std::chrono::hours(1), nothing);
        REQUIRE(loop.defer(nothing));
        loop.poll();
        CHECK(system_support::holds_in_child([&] {
            loop.abandon();
            // Memory and sanitizers may talk to the kernel; descriptors must not.
            if (!system_support::allow_only({SYS_exit_group, SYS_sigaltstack, SYS_munmap, SYS_mmap,
                                             SYS_brk, SYS_madvise, SYS_futex, SYS_sched_yield})) {
                return false;
            }
            all.reset();
            return true;
        }));
        const std::byte byte{1};
        REQUIRE(loop.sockets().write(pipe.second, {&byte, 1}));
        loop.poll();
        CHECK(read == 1);
        raise(SIGUSR1);
        loop.poll();
        loop.poll();
        CHECK(signals == 1);
        all->watch.reset();
        loop.sockets().close(pipe.first);
        loop.sockets().close(pipe.second);
    }
}

TEST_CASE("abandon() reaches the poller", "[embedding][fork]") {
    ManualRig rig;
    rig.loop.abandon();
    CHECK(rig.world().counters().abandons == 1);
}

TEST_CASE("running an abandoned loop asserts", "[embedding]") {
    ManualRig rig;
    rig.loop.abandon();
    const auto death = dies([&] { rig.loop.poll(); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("abandoned after fork: only destroy it"));
}
