// SPDX-License-Identifier: BSL-1.0
// The doors for other threads, post() and Remote, and defer(), the one for the loop's own.

#include <rondo/loop/remote.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

const auto nothing = [] {};

template <class P>
void let_threads_wake(Rig<P>& rig) {
    if constexpr (!P::traits.kernel) rig.world().let_threads_wake(true);
}

}  // namespace

TEST_CASE("deferred tasks run in order, before posted ones, which run in order of arrival",
          "[remote]") {
    ManualRig rig;
    std::string order;
    auto remote = rig.loop.remote();
    const auto say = [&order](char c) { return [&order, c] { order += c; }; };
    REQUIRE(remote.post(say('1')) == PostStatus::queued);
    REQUIRE(rig.loop.post(say('2')));
    REQUIRE(rig.loop.defer(say('a')));
    REQUIRE(remote.post(say('3')) == PostStatus::queued);
    REQUIRE(rig.loop.defer(say('b')));
    CHECK(rig.loop.run_once() == 5);
    CHECK(order == "ab123");
}

TEST_CASE("a post wakes a loop that sleeps, once, and none that is awake", "[remote]") {
    ManualRig rig;
    auto remote = rig.loop.remote();
    const bool through_remote = GENERATE(true, false);
    int ran = 0;
    const auto task = [&] { ++ran; };
    const auto post = [&] {
        REQUIRE((through_remote ? remote.post(task) == PostStatus::queued : rig.loop.post(task)));
    };
    post();
    CHECK(rig.world().counters().wakes == 0);
    CHECK(rig.loop.run_once() == 1);
    rig.world().schedule(1ms, [&] {  // the loop sleeps
        post();
        post();
        CHECK(rig.world().counters().wakes == 1);
    });
    REQUIRE(rig.loop.run_once() == 2);
    const auto hook = rig.loop.after_sleep(post);
    CHECK(rig.loop.poll() == 1);
    CHECK(rig.world().counters().wakes == 1);
    CHECK(ran == 4);
}

KERNEL_CASE("posts from many threads run once each, in the order of their thread",
            "[remote][threads]") {
    constexpr int threads = 4;
    constexpr int each = 2000;
    Rig<TestType> rig;
    let_threads_wake(rig);
    const bool shared = GENERATE(false, true);
    std::array<int, threads> next{};
    bool in_order = true;
    std::vector<std::thread> producers;
    for (size_t t = 0; t < threads; ++t) {
        producers.emplace_back([&, t, remote = rig.loop.remote()]() mutable {
            for (int i = 0; i < each; ++i) {
                const auto task = [&, t, i] {
                    in_order = in_order && next[t] == i;
                    ++next[t];
                };
                if (shared) {
                    while (!rig.loop.post(task)) {
                    }
                } else {
                    while (remote.post(task) != PostStatus::queued) {
                    }
                }
            }
            const auto gone = std::move(remote);  // run() may return when the last one goes
        });
    }
    CHECK(rig.loop.run() == threads * each);
    for (auto& producer : producers) producer.join();
    CHECK(in_order);
    for (const int count : next) CHECK(count == each);
    if constexpr (!TestType::traits.kernel) {
        CHECK(rig.world().counters().wakes <= rig.world().counters().waits);
    }
}

KERNEL_CASE("one post at a time always reaches a loop that falls asleep", "[remote][threads]") {
    Rig<TestType> rig;
    let_threads_wake(rig);
    std::atomic<int> answered{0};
    std::thread producer([&, remote = rig.loop.remote()]() mutable {
        for (int i = 0; i < 300; ++i) {
            static_cast<void>(remote.post([&] { ++answered; }));
            while (answered <= i) std::this_thread::yield();
        }
        const auto gone = std::move(remote);
    });
    CHECK(rig.loop.run() == 300);
    producer.join();
}

KERNEL_CASE("a Remote that outlives the loop is told so, in any thread", "[remote][threads]") {
    for (int i = 0; i < 20; ++i) {
        std::atomic<int> ran{0};
        std::atomic<int> destroyed{0};
        std::atomic<bool> going{false};
        int queued = 0;
        int refused = 0;
        std::thread producer;
        {
            EventLoop<TestType> loop;
            producer = std::thread([&, remote = loop.remote()]() mutable {
                while (true) {
                    const auto status =
                        remote.post([&, end = AtEnd([&] { ++destroyed; })] { ++ran; });
                    going = true;
                    if (status == PostStatus::loop_gone) break;
                    ++queued;
                    if (queued % 16 == 0) std::this_thread::yield();
                }
                ++refused;
            });
            while (!going) std::this_thread::yield();
            loop.poll();
        }
        producer.join();
        CHECK(ran <= queued);
        CHECK(destroyed == queued + refused);
    }
}

TEST_CASE("a copy of a Remote is a door of its own, and a moved one is gone", "[remote]") {
    ManualRig rig;
    int ran = 0;
    std::optional<ManualRig::Loop::Remote> first = rig.loop.remote();
    auto second = *first;
    first.reset();
    CHECK(second.post([&] { ++ran; }) == PostStatus::queued);
    auto third = std::move(second);
    CHECK(second.post([&] { ++ran; }) == PostStatus::loop_gone);
    CHECK(third.post([&] { ++ran; }) == PostStatus::queued);
    CHECK(ManualRig::Loop::Remote().post(nothing) == PostStatus::loop_gone);
    CHECK(rig.loop.poll() == 2);
    CHECK(ran == 2);
}

TEST_CASE("each allocation that fails in defer, post and Remote is answered, and nothing is lost",
          "[remote]") {
    using Failing = CountingMemory<330>;
    const int door = GENERATE(0, 1, 2);
    const int k = GENERATE(1, 2);  // the room for nodes, the block of the large task
    {
        EventLoop<ManualPoller, NoObserver, Failing> loop;
        auto remote = loop.remote();
        const auto post = [&](auto&& task) {
            if (door == 0) return loop.defer(std::forward<decltype(task)>(task));
            if (door == 1) return loop.post(std::forward<decltype(task)>(task));
            const auto status = remote.post(std::forward<decltype(task)>(task));
            CHECK(status != PostStatus::loop_gone);
            return status == PostStatus::queued;
        };
        int ran = 0;
        auto small = [&ran, one = std::make_unique<int>(1)] { ran += *one; };
        auto large = [&ran, one = std::make_unique<int>(10), more = std::array<char, 200>{}] {
            ran += *one + more[0];
        };
        Failing::fail_after(k);
        CHECK(post(std::move(small)) == (k != 1));
        CHECK(post(std::move(large)) == (k != 2));
        Failing::never_fail();
        // A task that was refused is still the caller's.
        CHECK((k == 1 ? post(std::move(small)) : post(std::move(large))));
        CHECK(loop.poll() == 2);
        CHECK(ran == 11);
    }
    CHECK(Failing::held() == 0);
    CHECK(Failing::mismatched() == 0);
}

TEST_CASE("after warm-up small tasks allocate nothing", "[remote]") {
    using Counting = CountingMemory<331>;
    EventLoop<ManualPoller, NoObserver, Counting> loop;
    auto remote = loop.remote();
    std::array<uint64_t, 5> payload{1, 2, 3, 4, 5};
    uint64_t sum = 0;
    const auto task = [payload, &sum] { sum += payload[4]; };
    static_assert(sizeof(task) == 48);
    const auto round = [&] {
        for (int i = 0; i < 100; ++i) {
            REQUIRE(loop.defer(task));
            REQUIRE(loop.post(task));
            REQUIRE(remote.post(task) == PostStatus::queued);
        }
        CHECK(loop.poll() == 300);
    };
    for (int i = 0; i < 20; ++i) round();
    const size_t before = Counting::allocations();
    for (int i = 0; i < 200; ++i) round();
    CHECK(Counting::allocations() == before);
    CHECK(sum == 220 * 300 * 5);
}
