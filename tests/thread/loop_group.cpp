// SPDX-License-Identifier: BSL-1.0
#include <rondo/thread/loop_group.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <set>
#include <thread>
#include <vector>

#include <rondo/rondo.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace rondo;

namespace {

using Loop = EventLoop<DefaultPoller>;

// Tells which thread made it, and that the same one destroyed it.
struct Resident {
    Resident(Loop& on, size_t at, std::atomic<int>& count) : loop(on), index(at), alive(count) {
        ++alive;
    }
    Resident(const Resident&) = delete;
    ~Resident() {
        if (std::this_thread::get_id() == home) --alive;
    }

    Loop& loop;
    size_t index;
    std::thread::id home = std::this_thread::get_id();
    std::atomic<int>& alive;
};

using Group = LoopGroup<Loop, Resident>;

auto residents(std::atomic<int>& alive) {
    return [&alive](Loop& loop, size_t index) -> Result<Group::UserPtr> {
        return std::make_unique<Resident>(loop, index, alive);
    };
}

}  // namespace

TEST_CASE("each thread of a group makes, keeps and destroys its own object", "[threads]") {
    std::atomic<int> alive = 0;
    Group group;
    REQUIRE(group.start(residents(alive), {.threads = 3}));
    CHECK(group.size() == 3);
    CHECK(alive == 3);
    std::set<std::thread::id> homes;
    for (size_t i = 0; i < 3; ++i) {
        std::promise<std::thread::id> seen;
        REQUIRE(group.post(i, [&](Resident& resident) {
            seen.set_value(resident.index == i ? resident.home : std::thread::id());
        }) == PostStatus::queued);
        homes.insert(seen.get_future().get());
    }
    CHECK(homes.size() == 3);
    CHECK(homes.count({}) == 0);
    group.stop();
    group.join();
    CHECK(alive == 0);
    CHECK(group.post(0, [](Resident&) {}) == PostStatus::loop_gone);
}

TEST_CASE("the end of a group stops it, and one that was joined starts again", "[threads]") {
    std::atomic<int> alive = 0;
    {
        Group group;
        REQUIRE(group.start(residents(alive), {.threads = 2, .pin = true}));
        group.stop();
        group.join();
        CHECK(alive == 0);
        REQUIRE(group.start(residents(alive)));
        CHECK(alive > 0);
    }
    CHECK(alive == 0);
}

TEST_CASE("a factory that fails is told by start, and the others are stopped", "[threads]") {
    std::atomic<int> alive = 0;
    Group group;
    const auto make = residents(alive);
    const auto started = group.start(
        [&](Loop& loop, size_t index) -> Result<Group::UserPtr> {
            if (index == 1) return Error(EADDRINUSE, "listen");
            return make(loop, index);
        },
        {.threads = 3});
    REQUIRE_FALSE(started);
    CHECK(started.error() == EADDRINUSE);
    CHECK(alive == 0);
    CHECK(group.size() == 0);
}

TEST_CASE("the threads of a group block all signals, and the starter's mask stays", "[threads]") {
    std::atomic<int> alive = 0;
    Group group;
    REQUIRE(group.start(residents(alive), {.threads = 1}));
    std::promise<bool> blocked;
    group.post(0, [&](Resident&) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        blocked.set_value(sigismember(&mask, SIGTERM) == 1);
    });
    CHECK(blocked.get_future().get());
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGTERM) == 0);
}

TEST_CASE("a given descriptor arrives, and one that doesn't is closed", "[threads]") {
    std::atomic<int> alive = 0;
    Group group;
    REQUIRE(group.start(residents(alive), {.threads = 1}));
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    std::promise<int> arrived;
    REQUIRE(group.give(0, ends[1], [&](Resident&, int fd) { arrived.set_value(fd); }) ==
            PostStatus::queued);
    CHECK(arrived.get_future().get() == ends[1]);

    // Posted by a task, it would run in the next turn, which the stop prevents.
    std::atomic<bool> ran = false;
    std::promise<void> posted;
    group.post(0, [&](Resident& resident) {
        group.give(0, ends[1], [&](Resident&, int) { ran = true; });
        resident.loop.stop();
        posted.set_value();
    });
    posted.get_future().wait();
    group.stop();
    group.join();
    CHECK_FALSE(ran);
    char byte;
    CHECK(read(ends[0], &byte, 1) == 0);
    close(ends[0]);
}

TEST_CASE("a released loop goes on for as long as it has something to wait for", "[threads]") {
    std::atomic<int> alive = 0;
    std::atomic<bool> heard = false;
    Group group;
    REQUIRE(group.start(residents(alive), {.threads = 2}));
    const FdPair ends = PosixSockets::pipe().value();
    std::promise<void> ready;
    REQUIRE(group.post(1, [&](Resident& resident) {
        resident.loop
            .add(ends.first, Interest::read,
                 [&heard, &loop = resident.loop](int fd, Readiness) {
                     heard = true;
                     loop.remove(fd);
                 })
            .value();
        ready.set_value();
    }) == PostStatus::queued);
    ready.get_future().wait();
    group.release();
    const std::byte byte{};
    REQUIRE(PosixSockets::write(ends.second, {&byte, 1}));
    group.join();
    CHECK(heard);
    CHECK(alive == 0);
    PosixSockets::close(ends.first);
    PosixSockets::close(ends.second);
}

TEST_CASE("tasks may be posted while the group is stopped, by several threads", "[threads]") {
    std::atomic<int> alive = 0;
    for (int round = 0; round < 20; ++round) {
        Group group;
        REQUIRE(group.start(residents(alive), {.threads = 2}));
        std::atomic<size_t> ran = 0;
        std::atomic<size_t> queued = 0;
        std::vector<std::thread> posters;
        for (size_t i = 0; i < 2; ++i) {
            posters.emplace_back([&, i] {
                while (group.post(i, [&ran](Resident&) { ++ran; }) == PostStatus::queued) ++queued;
                group.stop();
            });
        }
        while (queued == 0) std::this_thread::yield();
        group.stop();
        for (auto& poster : posters) poster.join();
        group.join();
        CHECK(ran <= queued);
    }
    CHECK(alive == 0);
}

TEST_CASE("a group says what is wrong") {
    const auto early = dies([] { static_cast<void>(Group().next()); });
    CHECK_THAT(early.message, ContainsSubstring("start() the group first"));
    const auto nobody = dies([] { static_cast<void>(Group().load(0)); });
    CHECK_THAT(nobody.message, ContainsSubstring("no thread with this index"));
    const auto nothing = dies([] {
        Group group;
        static_cast<void>(
            group.start([](Loop&, size_t) -> Result<Group::UserPtr> { return Group::UserPtr(); }));
    });
    CHECK_THAT(nothing.message, ContainsSubstring("answer with an Error instead"));
    const auto least = dies([] { static_cast<void>(Group().least_loaded()); });
    CHECK_THAT(least.message, ContainsSubstring("least_loaded: there are no threads"));
    const auto in_a_group = [](auto&& wrong) {
        return dies([&] {
            std::atomic<int> alive = 0;
            Group group;
            group.start(residents(alive), {.threads = 1}).value();
            wrong(group);
        });
    };
    const auto task =
        in_a_group([](Group& group) { group.post(0, std::function<void(Resident&)>()); });
    CHECK_THAT(task.message, ContainsSubstring("post: an empty task was given"));
    const auto take =
        in_a_group([](Group& group) { group.give(0, -1, std::function<void(Resident&, int)>()); });
    CHECK_THAT(take.message, ContainsSubstring("give: an empty callable was given"));
    const auto over = in_a_group([](Group& group) { group.finished(0); });
    CHECK_THAT(over.message, ContainsSubstring("more often than descriptors were given"));
}

TEST_CASE("threads are taken in turn, or by what they have to do", "[threads]") {
    std::atomic<int> alive = 0;
    Group group;
    REQUIRE(group.start(residents(alive), {.threads = 3}));
    for (const size_t turn : {0U, 1U, 2U, 0U, 1U}) CHECK(group.next() == turn);
    std::promise<void> arrived;
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK(group.least_loaded() == 0);
    REQUIRE(group.give(0, ends[0], [&](Resident&, int) { arrived.set_value(); }) ==
            PostStatus::queued);
    arrived.get_future().wait();
    CHECK(group.load(0) == 1);
    CHECK(group.least_loaded() == 1);
    group.finished(0);
    CHECK(group.least_loaded() == 0);
    close(ends[0]);

    group.stop();
    group.join();
    CHECK(group.give(0, ends[1], [](Resident&, int) {}) == PostStatus::loop_gone);
    CHECK(group.load(0) == 0);
    CHECK(fcntl(ends[1], F_GETFD) == -1);
}
