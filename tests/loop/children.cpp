// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/children.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

// Child processes that wait to be told how to end: by a byte of the same value, or by a signal.
class Gated {
public:
    Gated() { REQUIRE(::pipe(gate_) == 0); }
    Gated(const Gated&) = delete;
    Gated& operator=(const Gated&) = delete;
    ~Gated() {
        ::close(gate_[1]);
        ::close(gate_[0]);
        for (const int pid : pids_) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
    }

    int child(int code) {
        const int pid = ::fork();
        if (pid == 0) {
            char byte = 0;
            ::close(gate_[1]);
            static_cast<void>(!::read(gate_[0], &byte, 1));
            ::_exit(code);
        }
        REQUIRE(pid > 0);
        pids_.push_back(pid);
        return pid;
    }
    /// Lets one child exit.
    void let_go() { REQUIRE(::write(gate_[1], "x", 1) == 1); }
    /// The loop has reaped it: its number isn't ours any more.
    void forget(int pid) { std::erase(pids_, pid); }

private:
    int gate_[2] = {-1, -1};
    std::vector<int> pids_;
};

}  // namespace

KERNEL_CASE("a child's handler is called once with its exit status", "[children]") {
    if constexpr (TestType::traits.kernel) {
        Gated family;
        Rig<TestType> rig;
        const int pid = family.child(7);
        std::vector<int> heard;
        const auto watch = *rig.loop.on_child(pid, [&](ChildStatus status) {
            family.forget(pid);
            CHECK(status.pid == pid);
            CHECK_FALSE(status.signaled);
            heard.push_back(status.code);
        });
        CHECK(rig.loop.poll() == 0);
        family.let_go();
        rig.loop.run();
        CHECK(heard == std::vector{7});
        CHECK_FALSE(watch);
        CHECK(::waitpid(pid, nullptr, WNOHANG) == -1);  // reaped
    }
}

KERNEL_CASE("a child that a signal has ended tells which", "[children]") {
    if constexpr (TestType::traits.kernel) {
        Gated family;
        Rig<TestType> rig;
        const int pid = family.child(0);
        std::optional<ChildStatus> heard;
        const auto watch = *rig.loop.on_child(pid, [&](ChildStatus status) {
            family.forget(pid);
            heard = status;
        });
        REQUIRE(::kill(pid, SIGKILL) == 0);
        rig.loop.run();
        REQUIRE(heard);
        CHECK(heard->signaled);
        CHECK(heard->code == SIGKILL);
    }
}

KERNEL_CASE("several children each reach their own handler", "[children]") {
    if constexpr (TestType::traits.kernel) {
        Gated family;
        Rig<TestType> rig;
        std::map<int, int> heard;
        std::vector<typename Rig<TestType>::Loop::Watch> watches;
        for (int code = 1; code <= 5; ++code) {
            const int pid = family.child(code);
            watches.push_back(*rig.loop.on_child(pid, [&, pid, code](ChildStatus status) {
                family.forget(pid);
                CHECK(status.pid == pid);
                CHECK(status.code == code);
                ++heard[code];
            }));
        }
        for (int i = 0; i < 5; ++i) family.let_go();
        rig.loop.run();
        CHECK(heard == std::map<int, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}});
    }
}

KERNEL_CASE("a child that somebody else has reaped still ends its watch", "[children]") {
    if constexpr (TestType::traits.kernel) {
        Gated family;
        Rig<TestType> rig;
        const int pid = family.child(3);
        std::optional<ChildStatus> heard;
        const auto watch = *rig.loop.on_child(pid, [&](ChildStatus status) { heard = status; });
        family.let_go();
        REQUIRE(::waitpid(pid, nullptr, 0) == pid);
        family.forget(pid);
        rig.loop.run();
        REQUIRE(heard);
        CHECK(heard->pid == pid);
        CHECK(heard->code == -1);
        CHECK_FALSE(watch);
    }
}

KERNEL_CASE("a watch that ends before the child leaves the child to others", "[children]") {
    if constexpr (TestType::traits.kernel) {
        Gated family;
        Rig<TestType> rig;
        const int pid = family.child(3);
        bool called = false;
        {
            const auto watch = *rig.loop.on_child(pid, [&] { called = true; });
        }
        family.let_go();
        int status = 0;
        REQUIRE(::waitpid(pid, &status, 0) == pid);
        family.forget(pid);
        CHECK(WEXITSTATUS(status) == 3);
        CHECK(rig.loop.run() == 0);
        CHECK_FALSE(called);
    }
}

KERNEL_CASE("what is no child is refused", "[children]") {
    if constexpr (TestType::traits.kernel) {
        Rig<TestType> rig;
        CHECK(rig.loop.on_child(-1, [] {}).error() == EINVAL);
        CHECK(rig.loop.on_child(::getpid(), [] {}).error() == ECHILD);
        CHECK(rig.loop.run() == 0);
    }
}

TEST_CASE("a child watch keeps run() going unless it is in the background", "[children]") {
    ManualRig rig;
    int called = 0;
    auto watch = *rig.loop.on_child(5, [&] { ++called; });
    rig.world().schedule(Duration(1000), [&] { rig.world().end_child(5, 0); });
    watch.set_background(true);
    CHECK(rig.loop.run() == 0);
    watch.set_background(false);
    rig.loop.run();
    CHECK(called == 1);
    CHECK_FALSE(watch);
    CHECK(rig.world().open_descriptors() == 0);
}

TEST_CASE("a readable child descriptor whose child still runs calls nobody", "[children]") {
    ManualRig rig;
    int called = 0;
    const auto watch = *rig.loop.on_child(5, [&] { ++called; });
    rig.world().set_ready(rig.world().child_fds[5], Readiness::readable);
    rig.loop.poll();
    CHECK(called == 0);
    CHECK(watch);
    rig.world().end_child(5, 0);
    rig.loop.poll();
    CHECK(called == 1);
}

TEST_CASE("a child's handler may end its own watch, watch another, and throw", "[children]") {
    ManualRig rig;
    std::optional<ManualRig::Loop::Watch> watch;
    std::optional<ManualRig::Loop::Watch> other;
    std::string heard;
    watch = *rig.loop.on_child(5, [&, end = AtEnd([&] { heard += " gone"; })] {
        CHECK_FALSE(*watch);
        watch.reset();
        other = *rig.loop.on_child(6, [&] { heard += " other"; });
        heard += "called";
        static_cast<void>(end);
        throw Thrown();
    });
    rig.world().end_child(5, 1);
    rig.world().end_child(6, 1);
    CHECK_THROWS_AS(rig.loop.run(), Thrown);
    CHECK(heard == "called gone");
    rig.loop.run();
    CHECK(heard == "called gone other");
    CHECK(rig.world().open_descriptors() == 0);
}

TEST_CASE("the handler of one child may end the watch of another of the batch", "[children]") {
    ManualRig rig;
    std::optional<ManualRig::Loop::Watch> watches[2];
    int called = 0;
    for (int i = 0; i < 2; ++i) {
        watches[i] = *rig.loop.on_child(5 + i, [&] {
            ++called;
            for (auto& each : watches) each.reset();
        });
        rig.world().end_child(5 + i, 0);
    }
    rig.loop.run();
    CHECK(called == 1);
    CHECK(rig.world().open_descriptors() == 0);
}

TEST_CASE("each allocation that fails in on_child leaves nothing behind", "[children]") {
    using Counting = CountingMemory<65>;
    struct Large {
        char bytes[100];
    };
    Rig<ManualPoller, Counting> rig;
    int called = 0;
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        auto watch =
            rig.loop.on_child(5, [&called, large = Large()] { called += 1 + large.bytes[0]; });
        if (Counting::refused() != before) {
            REQUIRE(watch.error() == ENOMEM);
            CHECK(rig.world().open_descriptors() == 0);
            CHECK(rig.loop.run() == 0);
        } else {
            REQUIRE(watch);
            rig.world().end_child(5, 0);
            rig.loop.run();
        }
    });
    CHECK(failures >= 4);
    CHECK(called == 1);
    CHECK(rig.world().open_descriptors() == 0);
}
