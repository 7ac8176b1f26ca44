// SPDX-License-Identifier: BSL-1.0
// The posting queue step by step on one thread, where every interleaving of the sleeping protocol
// can be written down. With threads: post_queue_threads.cpp.

#include <rondo/core/post_queue.hpp>

#include <limits.h>
#include <stdint.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "post_queue_support.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"

namespace {

void count_wake(void* wakes) noexcept { ++*static_cast<int*>(wakes); }

/// A queue whose wake-ups are counted; closed at the end, and then nothing may be left.
struct Fixture {
    int wakes = 0;
    Queue* queue = Queue::create(&count_wake, &wakes);
    std::vector<int> log;

    Fixture() { REQUIRE(queue != nullptr); }
    ~Fixture() {
        close();
        CHECK(Counted::held == 0);
        Counted::left = INT_MAX;
    }
    void close() {
        if (queue != nullptr) std::exchange(queue, nullptr)->close();
    }
    auto note(int number) {
        return [this, number] { log.push_back(number); };
    }
};

static_assert(std::is_nothrow_move_constructible_v<Producer>);
static_assert(rondo::detail::TaskNode::fits<std::array<char, 48>>);
static_assert(!rondo::detail::TaskNode::fits<std::array<char, 49>>);

}  // namespace

TEST_CASE_METHOD(Fixture, "tasks of one producer run in the order of its posts") {
    Producer producer = queue->producer();
    for (int i = 0; i < 1000; ++i) REQUIRE(producer.post(note(i)) == PostStatus::queued);
    CHECK(run_queued(*queue) == 1000);
    CHECK(std::is_sorted(log.begin(), log.end()));
    CHECK(std::set(log.begin(), log.end()).size() == 1000);
}

TEST_CASE_METHOD(Fixture, "deferred tasks run in order and before posted ones") {
    Producer producer = queue->producer();
    CHECK(producer.post(note(3)) == PostStatus::queued);
    CHECK(queue->defer(note(1)));
    CHECK(queue->post_shared(note(4)));
    CHECK(queue->defer(note(2)));
    CHECK(queue->has_work());
    CHECK(run_queued(*queue) == 4);
    CHECK(log == std::vector{1, 2, 3, 4});
    CHECK_FALSE(queue->has_work());
}

TEST_CASE_METHOD(Fixture, "a task posted or deferred by a task waits for the next take") {
    Producer producer = queue->producer();
    CHECK(queue->defer([&] {
        log.push_back(1);
        CHECK(queue->defer(note(3)));
        CHECK(producer.post(note(4)) == PostStatus::queued);
    }));
    CHECK(queue->defer(note(2)));
    CHECK(run_queued(*queue) == 2);
    CHECK(log == std::vector{1, 2});
    CHECK(queue->has_work());
    CHECK(run_queued(*queue) == 2);
    CHECK(log == std::vector{1, 2, 3, 4});
}

TEST_CASE_METHOD(Fixture, "a nested run finishes the batch, and each task runs once") {
    CHECK(queue->defer([&] {
        log.push_back(1);
        CHECK(queue->defer(note(3)));
        CHECK(run_queued(*queue) == 2);
    }));
    CHECK(queue->defer(note(2)));
    CHECK(run_queued(*queue) == 1);
    CHECK(log == std::vector{1, 2, 3});
}

TEST_CASE_METHOD(Fixture, "a task that throws is destroyed, and the rest of the batch stays") {
    Tracked::Counts counts;
    CHECK(queue->defer([task = Tracked(counts)] {
        task();
        throw std::runtime_error("thrown by a task");
    }));
    CHECK(queue->defer(note(1)));
    queue->take();
    CHECK_THROWS_AS(queue->run_one(), std::runtime_error);
    CHECK(counts.runs == 1);
    CHECK(counts.alive == 0);
    CHECK(queue->has_work());
    CHECK_FALSE(queue->prepare_sleep());

    CHECK(queue->defer(note(2)));
    CHECK(run_queued(*queue) == 2);
    CHECK(log == std::vector{1, 2});
}

TEST_CASE_METHOD(Fixture, "nothing is woken while the consumer is awake") {
    Producer producer = queue->producer();
    CHECK(producer.post(note(1)) == PostStatus::queued);
    CHECK(queue->post_shared(note(2)));
    CHECK_FALSE(producer.poke());
    CHECK(wakes == 0);
}

TEST_CASE_METHOD(Fixture, "the first post to a sleeping consumer wakes it, the others don't") {
    const bool alone = GENERATE(false, true);
    Producer first = queue->producer();
    Producer second = first;
    for (int sleep = 1; sleep <= 3; ++sleep) {
        REQUIRE(queue->prepare_sleep(alone));
        CHECK(first.post(note(1)) == PostStatus::queued);
        CHECK(wakes == sleep);
        CHECK(second.post(note(2)) == PostStatus::queued);
        CHECK(queue->post_shared(note(3)));
        CHECK_FALSE(queue->poke());
        CHECK(wakes == sleep);
        queue->awake(alone);
        CHECK(first.post(note(4)) == PostStatus::queued);
        CHECK(wakes == sleep);
        CHECK(run_queued(*queue) == 4);
    }
}

TEST_CASE_METHOD(Fixture, "a poke wakes a sleeping consumer once") {
    const bool alone = GENERATE(false, true);
    Producer producer = queue->producer();
    REQUIRE(queue->prepare_sleep(alone));
    CHECK(producer.poke());
    CHECK_FALSE(producer.poke());
    CHECK_FALSE(queue->poke());
    CHECK(producer.post(note(1)) == PostStatus::queued);
    CHECK(wakes == 1);
}

TEST_CASE_METHOD(Fixture, "a consumer that woke by itself is not woken again") {
    const bool alone = GENERATE(false, true);
    Producer producer = queue->producer();
    REQUIRE(queue->prepare_sleep(alone));
    queue->awake(alone);
    queue->awake(alone);
    CHECK(producer.post(note(1)) == PostStatus::queued);
    CHECK_FALSE(producer.poke());
    CHECK(wakes == 0);
}

TEST_CASE_METHOD(Fixture, "a consumer with work doesn't fall asleep") {
    const bool alone = GENERATE(false, true);
    SECTION("posted") { CHECK(queue->post_shared(note(1))); }
    SECTION("deferred") { CHECK(queue->defer(note(1))); }
    SECTION("left in the batch") {
        CHECK(queue->defer(note(1)));
        queue->take();
    }
    SECTION("posted while it slept") {
        REQUIRE(queue->prepare_sleep(alone));
        CHECK(queue->post_shared(note(1)));
    }
    SECTION("deferred while it slept") {
        REQUIRE(queue->prepare_sleep(alone));
        CHECK(queue->defer(note(1)));
    }
    CHECK_FALSE(queue->prepare_sleep(alone));
    CHECK_FALSE(queue->poke());
    CHECK(run_queued(*queue) == 1);
    CHECK(queue->prepare_sleep(alone));
}

TEST_CASE_METHOD(Fixture, "falling asleep twice is one sleep") {
    const bool alone = GENERATE(false, true);
    REQUIRE(queue->prepare_sleep(alone));
    REQUIRE(queue->prepare_sleep(alone));
    CHECK(queue->poke());
    CHECK_FALSE(queue->poke());
    CHECK(wakes == 1);
}

TEST_CASE_METHOD(Fixture, "a queue that was alone closes after a wake") {
    REQUIRE(queue->prepare_sleep(true));
    CHECK(queue->poke());
    queue->awake(true);
    close();
    CHECK(wakes == 1);
}

TEST_CASE_METHOD(Fixture, "a consumer that was alone wakes beside another thread", "[threads]") {
    REQUIRE(queue->prepare_sleep(true));
    bool woke = false;
    std::thread([&] { woke = queue->poke(); }).join();
    queue->awake();
    CHECK(woke);
    CHECK(wakes == 1);
    close();
}

TEST_CASE_METHOD(Fixture, "closing destroys what waits and runs nothing") {
    Tracked::Counts counts;
    Producer producer = queue->producer();
    for (int i = 0; i < 3; ++i) CHECK(queue->defer(Tracked(counts)));
    queue->take();
    CHECK(queue->run_one());
    CHECK(queue->defer(Tracked(counts)));
    CHECK(queue->post_shared(Tracked(counts)));
    CHECK(producer.post(Tracked(counts)) == PostStatus::queued);
    CHECK(counts.alive == 5);
    close();
    CHECK(counts.alive == 0);
    CHECK(counts.runs == 1);
}

TEST_CASE_METHOD(Fixture, "a producer that outlives the queue is told that the loop is gone") {
    Tracked::Counts counts;
    Producer producer = queue->producer();
    CHECK(producer.post(note(1)) == PostStatus::queued);
    close();
    Producer copy = producer;
    CHECK(producer.post(Tracked(counts)) == PostStatus::loop_gone);
    CHECK(copy.post(Tracked(counts)) == PostStatus::loop_gone);
    CHECK(counts.alive == 0);
    CHECK(counts.runs == 0);
    CHECK_FALSE(producer.poke());
    producer.set_background(true);
    CHECK(wakes == 0);
    CHECK(log.empty());
    CHECK(Counted::held > 0);  // until the last producer is gone
}

#ifndef RONDO_NO_ASSERT
TEST_CASE_METHOD(Fixture, "a task with nothing to call asserts") {
    Producer producer = queue->producer();
    const auto death = [&](auto call) { return dies([&] { static_cast<void>(call()); }).message; };
    void (*const nothing)() = nullptr;
    const auto sentence = ContainsSubstring("an empty task was given");
    CHECK_THAT(death([&] { return queue->defer(nothing); }), sentence);
    CHECK_THAT(death([&] { return queue->post_shared(std::function<void()>()); }), sentence);
    CHECK_THAT(death([&] { return producer.post(rondo::Handler<void()>()); }), sentence);
}
#endif

TEST_CASE_METHOD(Fixture, "a closure that is refused may own the producer that posts it") {
    auto last = queue->producer();
    close();
    std::optional<Producer> producer;
    const auto refuse_one = [&] {
        producer.emplace(last);
        auto end = std::shared_ptr<void>(nullptr, [&](void*) { producer.reset(); });
        CHECK(producer->post([end = std::move(end)] {}) == PostStatus::loop_gone);
        CHECK_FALSE(producer);
    };
    refuse_one();
    const int held = Counted::held;
    for (int i = 0; i < 300; ++i) refuse_one();  // more than a slab has nodes
    CHECK(Counted::held == held);
}

TEST_CASE_METHOD(Fixture, "destructors of closures may use the queue, also while it closes") {
    struct Poster {
        Queue* queue;
        Producer producer;
        std::vector<int>* log;
        Poster(Queue& q, std::vector<int>& l) : queue(&q), producer(q.producer()), log(&l) {}
        Poster(Poster&&) = default;
        ~Poster() {
            if (log == nullptr) return;
            log->push_back(static_cast<int>(producer.post([] {})));
            log->push_back(queue->defer([] {}));
        }
        void operator()() const {}
    };
    auto poster = [this] { return [p = std::make_unique<Poster>(*queue, log)] { (*p)(); }; };
    CHECK(queue->defer(poster()));
    CHECK(run_queued(*queue) == 1);
    CHECK(log == std::vector{static_cast<int>(PostStatus::queued), 1});
    CHECK(run_queued(*queue) == 2);

    log.clear();
    CHECK(queue->post_shared(poster()));
    close();
    CHECK(log == std::vector{static_cast<int>(PostStatus::loop_gone), 0});
}

TEST_CASE_METHOD(Fixture,
                 "a wake-up of a thread that fork left behind doesn't hold up the farewell") {
    struct Child {
        Fixture* fixture;
        static void wake(void* self) noexcept {
            // As in a child forked by another thread just now: this wake will never be finished.
            Queue* queue = std::exchange(static_cast<Child*>(self)->fixture->queue, nullptr);
            queue->abandon();
            queue->close();
        }
    } child{this};
    close();
    queue = Queue::create(&Child::wake, &child);
    REQUIRE(queue != nullptr);
    Producer producer = queue->producer();
    REQUIRE(queue->prepare_sleep());
    CHECK(producer.post(note(1)) == PostStatus::queued);
    CHECK(producer.post(note(2)) == PostStatus::loop_gone);
    CHECK(log.empty());
}

TEST_CASE_METHOD(Fixture, "a large or over-aligned closure costs one allocation") {
    Producer producer = queue->producer();
    CHECK(producer.post([] {}) == PostStatus::queued);
    const int before = Counted::allocations;

    std::array<char, 49> large{};
    large[48] = 7;
    CHECK(producer.post([this, large] { log.push_back(large[48]); }) == PostStatus::queued);
    CHECK(Counted::allocations == before + 1);

    struct alignas(64) Aligned {
        Fixture* fixture;
        void operator()() const {
            fixture->log.push_back(reinterpret_cast<uintptr_t>(this) % 64 == 0 ? 8 : -1);
        }
    };
    CHECK(producer.post(Aligned{this}) == PostStatus::queued);
    CHECK(Counted::allocations == before + 2);

    const int held = Counted::held;
    CHECK(run_queued(*queue) == 3);
    CHECK(log == std::vector{7, 8});
    CHECK(Counted::held == held - 2);
}

TEST_CASE_METHOD(Fixture, "after warm-up small closures don't allocate") {
    Producer producer = queue->producer();
    const auto round = [&] {
        for (int i = 0; i < 700; ++i) {
            static_cast<void>(producer.post([] {}));
            static_cast<void>(queue->defer([] {}));
            static_cast<void>(queue->post_shared([] {}));
        }
        REQUIRE(run_queued(*queue) == 2100);
    };
    for (int i = 0; i < 20; ++i) round();
    const int before = Counted::allocations;
    for (int i = 0; i < 50; ++i) round();
    CHECK(Counted::allocations == before);
}

TEST_CASE_METHOD(Fixture, "a producer doesn't hoard what the others have freed") {
    // A steady one runs through its nodes while a bursty one needs many at once, over and over.
    Producer steady = queue->producer();
    Producer bursty = queue->producer();
    for (int round = 0; round < 300; ++round) {
        for (int i = 0; i < 512; ++i) static_cast<void>(bursty.post([] {}));
        REQUIRE(run_queued(*queue) == 512);
        size_t ran = 0;
        for (int i = 0; i < 2000; ++i) {
            static_cast<void>(steady.post([] {}));
            ran += run_queued(*queue);
        }
        REQUIRE(ran == 2000);
    }
    // The queue; two bundles in flight, one per producer, two of the consumer.
    CHECK(Counted::held <= 1 + 2 + 2 + 2);
}

TEST_CASE_METHOD(Fixture, "short-lived producers give their nodes back") {
    for (int i = 0; i < 1000; ++i) {
        Producer producer = queue->producer();
        REQUIRE(producer.post([] {}) == PostStatus::queued);
        REQUIRE(run_queued(*queue) == 1);
    }
    CHECK(Counted::held <= 1 + 1 + 3);
}

TEST_CASE_METHOD(Fixture, "when an allocation fails, the closure stays and nothing is lost") {
    Tracked::Counts counts;
    struct Large : Tracked {
        using Tracked::Tracked;
        char more[64] = {};
    };
    {
        int accepted = 0;
        int unexpected = 0;
        Producer producer = queue->producer();
        for (int k = 0; k < 8; ++k) {
            Counted::left = k;
            for (int i = 0; i < 600; ++i) {
                Large large(counts);
                Tracked small(counts);
                const PostStatus status =
                    i % 2 == 0 ? producer.post(std::move(large)) : producer.post(std::move(small));
                unexpected += status == PostStatus::loop_gone;
                accepted += status == PostStatus::queued;
                accepted += queue->defer(std::move(small));
                accepted += queue->post_shared(std::move(small));
                unexpected += counts.alive != accepted + 2;
            }
            CHECK(Counted::left == 0);
            Counted::left = INT_MAX;
            CHECK(producer.post([] {}) == PostStatus::queued);
        }
        CHECK(accepted > 8);
        CHECK(unexpected == 0);
        run_queued(*queue);
        CHECK(counts.runs == accepted);
        CHECK(counts.alive == 0);
    }
    Counted::left = 0;
    CHECK(Queue::create(&count_wake, &wakes) == nullptr);
    Counted::left = INT_MAX;
}

TEST_CASE_METHOD(Fixture, "a closure whose constructor throws leaves no trace") {
    struct Thrower {
        std::array<char, 8> small{};
        Thrower() = default;
        Thrower(const Thrower&) { throw std::runtime_error("thrown by a copy"); }
        void operator()() const {}
    };
    struct Large : Thrower {
        char more[64] = {};
    };
    Producer producer = queue->producer();
    const Thrower thrower;
    const Large large;
    for (int i = 0; i < 1000; ++i) {
        REQUIRE_THROWS(producer.post(thrower));
        REQUIRE_THROWS(producer.post(large));
        REQUIRE_THROWS(queue->defer(thrower));
        REQUIRE_THROWS(queue->post_shared(thrower));
    }
    CHECK_FALSE(queue->has_work());
    CHECK(Counted::held <= 1 + 3);
}

TEST_CASE_METHOD(Fixture, "producers in the foreground are counted, and the last one pokes") {
    CHECK_FALSE(queue->has_foreground());
    Producer producer = queue->producer();
    CHECK(queue->has_foreground());
    {
        Producer copy = producer;
        REQUIRE(queue->prepare_sleep());
        producer.set_background(true);
        producer.set_background(true);
        CHECK(queue->has_foreground());
        CHECK(wakes == 0);
    }
    CHECK_FALSE(queue->has_foreground());
    CHECK(wakes == 1);

    Producer quiet = producer;
    CHECK(quiet.background());
    CHECK_FALSE(queue->has_foreground());
    quiet.set_background(false);
    CHECK(queue->has_foreground());
    quiet = Producer();
    CHECK_FALSE(queue->has_foreground());
}

TEST_CASE_METHOD(Fixture, "a moved producer goes on, and the one it was moved from is empty") {
    Producer first = queue->producer();
    CHECK(first.post(note(1)) == PostStatus::queued);
    Producer second = std::move(first);
    CHECK(first.post(note(0)) == PostStatus::loop_gone);
    CHECK_FALSE(first.poke());
    CHECK(second.post(note(2)) == PostStatus::queued);
    first = std::move(second);
    CHECK(second.post(note(0)) == PostStatus::loop_gone);
    CHECK(first.post(note(3)) == PostStatus::queued);
    CHECK(run_queued(*queue) == 3);
    CHECK(log == std::vector{1, 2, 3});
    first = Producer();
    CHECK_FALSE(queue->has_foreground());
}
