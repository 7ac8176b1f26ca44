// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/watch.hpp>

#include <memory>
#include <optional>
#include <utility>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Watch = ManualRig::Loop::Watch;
const auto nothing = [] {};

}  // namespace

KERNEL_CASE("a watch ends its registration when it is destroyed", "[watch]") {
    Rig<TestType> rig;
    const int fd = rig.readable();
    int called = 0;
    {
        auto watch = rig.loop.watch(fd, Interest::read, [&] { ++called; });
        REQUIRE(watch);
        CHECK(*watch);
        CHECK(watch->fd() == fd);
        CHECK(rig.loop.poll() == 1);
    }
    CHECK(rig.loop.interest(fd) == Interest::none);
    CHECK(rig.loop.run() == 0);
    CHECK(called == 1);
    CHECK(rig.loop.add(fd, Interest::read, nothing));
}

TEST_CASE("a watch answers what add would have answered", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    CHECK(rig.loop.watch(-1, Interest::read, nothing).error() == EBADF);
    REQUIRE(rig.loop.add(fd, Interest::read, nothing));
    CHECK(rig.loop.watch(fd, Interest::read, nothing).error() == EEXIST);
    CHECK(rig.loop.interest(fd) == Interest::read);
}

TEST_CASE("a default-constructed watch watches nothing", "[watch]") {
    Watch watch;
    CHECK_FALSE(watch);
    CHECK(watch.fd() == -1);
    watch.set_background(true);
    watch.reset();
    watch.release();
}

TEST_CASE("a watch that is moved keeps its one registration", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    const int other = rig.scripted();
    std::optional<Watch> first(*rig.loop.watch(fd, Interest::read, nothing));
    Watch second(std::move(*first));
    CHECK_FALSE(*first);
    first.reset();
    CHECK(second);
    CHECK(rig.loop.interest(fd) == Interest::read);
    Watch third = *rig.loop.watch(other, Interest::read, nothing);
    third = std::move(second);
    CHECK(rig.loop.interest(other) == Interest::none);
    CHECK(rig.loop.interest(fd) == Interest::read);
    Watch& itself = third;
    third = std::move(itself);
    CHECK(third);
    third.reset();
    CHECK_FALSE(third);
    CHECK(rig.loop.interest(fd) == Interest::none);
}

TEST_CASE("a watch of an earlier registration doesn't end a later one", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    std::optional<Watch> early(*rig.loop.watch(fd, Interest::read, nothing));
    rig.loop.remove(fd);
    CHECK_FALSE(*early);
    REQUIRE(rig.loop.add(fd, Interest::write, nothing));
    CHECK_FALSE(*early);
    early->set_background(true);
    early.reset();
    CHECK(rig.loop.interest(fd) == Interest::write);
    // It is still in the foreground.
    rig.world().schedule(Duration(1000), [&] { rig.loop.remove(fd); });
    rig.loop.run();
    CHECK(rig.loop.interest(fd) == Interest::none);
}

TEST_CASE("a stale watch can't change the interest of a later registration", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    auto early = *rig.loop.watch(fd, Interest::read, nothing);
    rig.loop.remove(fd);
    REQUIRE(rig.loop.add(fd, Interest::write, nothing));
    const auto death = dies([&] { early.modify(Interest::read); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("this watch has no descriptor registered"));
}

TEST_CASE("a watch changes its interest", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    auto watch = *rig.loop.watch(fd, Interest::read, nothing);
    watch.modify(Interest::write);
    CHECK(rig.loop.interest(fd) == Interest::write);
}

TEST_CASE("a released watch leaves the registration to its descriptor", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    {
        auto watch = *rig.loop.watch(fd, Interest::read, nothing);
        watch.release();
        CHECK_FALSE(watch);
    }
    CHECK(rig.loop.interest(fd) == Interest::read);
    rig.loop.remove(fd);
}

TEST_CASE("only a descriptor's watch can be released", "[watch]") {
    ManualRig rig;
    auto watch = *rig.loop.on_signal(10, nothing);
    const auto death = dies([&] { watch.release(); });
    CHECK(death.aborted);
    CHECK_THAT(death.message,
               ContainsSubstring("a signal or child watch ends only with its Watch"));
}

TEST_CASE("a watch in the background doesn't keep run() going", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted(Readiness::readable);
    int called = 0;
    std::optional<Watch> watch;
    watch = *rig.loop.watch(fd, Interest::read, [&] {
        if (++called == 2) watch->set_background(true);
    });
    CHECK(rig.loop.run() == 2);
    CHECK(rig.loop.run() == 0);
    watch->set_background(false);
    called = 1;
    CHECK(rig.loop.run() == 1);
}

TEST_CASE("a handler may end its own watch and that of the next event", "[watch]") {
    ManualRig rig;
    std::optional<Watch> watches[2];
    int called = 0;
    for (auto& watch : watches) {
        watch = *rig.loop.watch(rig.scripted(Readiness::readable), Interest::read, [&] {
            ++called;
            for (auto& each : watches) each.reset();
            ++called;
        });
    }
    CHECK(rig.loop.run() == 1);
    CHECK(called == 2);
}

TEST_CASE("what a watch's handler captures may own the watch when it is assigned", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    const int other = rig.scripted();
    std::optional<Watch> watch;
    watch.emplace(*rig.loop.watch(fd, Interest::read, [end = AtEnd([&] { watch.reset(); })] {}));
    *watch = *rig.loop.watch(other, Interest::read, nothing);
    CHECK_FALSE(watch);
    CHECK(rig.loop.interest(fd) == Interest::none);
    CHECK(rig.loop.interest(other) == Interest::none);
}

TEST_CASE("a watch that outlives its loop asserts", "[watch]") {
    const auto death = dies([] {
        auto rig = std::make_unique<ManualRig>();
        auto watch = *rig->loop.watch(rig->scripted(), Interest::read, nothing);
        rig.reset();
    });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("destroy every Watch, Timer and Hook"));
}

TEST_CASE("a watch may be owned by a handler of the loop that is destroyed", "[watch]") {
    ManualRig rig;
    const int fd = rig.scripted();
    const int other = rig.scripted();
    auto watch = *rig.loop.watch(other, Interest::read, nothing);
    REQUIRE(
        rig.loop.add(fd, Interest::read, [owned = std::move(watch)] { static_cast<void>(owned); }));
}

TEST_CASE("a watch that gets no memory leaves nothing behind", "[watch]") {
    using Counting = CountingMemory<63>;
    Rig<ManualPoller, Counting> rig;
    const int fd = rig.scripted();
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        const size_t before = Counting::refused();
        const auto watch = rig.loop.watch(fd, Interest::read, nothing);
        CHECK(static_cast<bool>(watch) == (Counting::refused() == before));
        if (!watch) CHECK(watch.error() == ENOMEM);
        if (!watch) CHECK(rig.loop.interest(fd) == Interest::none);
    });
    CHECK(failures >= 3);
    CHECK(rig.loop.run() == 0);
}
