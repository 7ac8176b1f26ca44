// SPDX-License-Identifier: BSL-1.0
#include <rondo/loop/observer.hpp>

#include <string>
#include <type_traits>

#include "loop/rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

struct Diary {
    std::string text;
    void will_wait(Instant deadline) noexcept {
        text += deadline == Instant::min()   ? "ask "
                : deadline == Instant::max() ? "wait "
                                             : "until ";
    }
    void has_waited(size_t events) noexcept { text += std::to_string(events) + " "; }
    void has_turned(size_t handlers) noexcept { text += "ran" + std::to_string(handlers) + "; "; }
};

struct Large {
    alignas(void*) char bytes[sizeof(void*)];
    static void will_wait(Instant) noexcept {}
    static void has_waited(size_t) noexcept {}
    static void has_turned(size_t) noexcept {}
};

}  // namespace

TEST_CASE("an observer is told of each wait before and after, and of the turn", "[observer]") {
    ManualWorld world;
    EventLoop<ManualPoller, Diary> loop{ManualPoller(world)};
    std::string& told = loop.observer().text;
    const int fd = world.open_scripted();
    REQUIRE(loop.add(fd, Interest::read, [&] { told += "io "; }));
    world.set_ready(fd, Readiness::readable);
    loop.poll();
    CHECK(told == "ask 1 io ran1; ");
    told.clear();
    world.set_ready(fd, Readiness::none);
    world.schedule(Duration(5), [&] { world.set_ready(fd, Readiness::readable); });
    loop.run_once();
    CHECK(told == "wait 1 io ran1; ");
    told.clear();
    world.set_ready(fd, Readiness::none);
    loop.after(Duration(9), [&] { told += "timer "; });
    loop.run_once();
    CHECK(told == "ask 0 until 0 timer ran1; ");
    told.clear();
    loop.defer([&] { told += "task "; });
    loop.run_once(Phases::tasks);
    CHECK(told == "task ran1; ");
}

TEST_CASE("NoObserver adds no byte to a loop", "[observer]") {
    STATIC_REQUIRE(std::is_empty_v<NoObserver>);
    STATIC_REQUIRE(LoopObserver<NoObserver>);
    STATIC_REQUIRE(sizeof(EventLoop<ManualPoller, Large>) ==
                   sizeof(EventLoop<ManualPoller>) + sizeof(Large));
}
