// SPDX-License-Identifier: BSL-1.0
// The posting queue with real threads: nothing lost, nothing run twice, nothing slept through.

#include <stdlib.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "post_queue_support.hpp"
#include "support/catch.hpp"

namespace {

/// A stand-in for the kernel: wake() ends the current or the next wait and coalesces.
class Kernel {
public:
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return pending_; });
        pending_ = false;
    }
    static void wake(void* self) noexcept {
        auto& kernel = *static_cast<Kernel*>(self);
        ++kernel.wakes;
        const std::lock_guard lock(kernel.mutex_);
        kernel.pending_ = true;
        kernel.changed_.notify_one();
    }
    std::atomic<long> wakes = 0;

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool pending_ = false;
};

/// A loop of nothing but tasks: the steps S1 to S4.
struct TaskLoop {
    Kernel kernel;
    Queue* queue = Queue::create(&Kernel::wake, &kernel);
    std::atomic<bool> stopped = false;
    long sleeps = 0;

    TaskLoop() { REQUIRE(queue != nullptr); }
    ~TaskLoop() { queue->close(); }

    bool done() const {
        return stopped.load(std::memory_order_relaxed) ||
               (!queue->has_foreground() && !queue->has_work());
    }
    void stop() {
        stopped.store(true, std::memory_order_relaxed);
        queue->poke();
    }
    void run() {
        while (!done()) {
            if (queue->prepare_sleep()) {
                if (!done()) {
                    ++sleeps;
                    kernel.wait();
                }
                queue->awake();
            }
            run_queued(*queue);
        }
    }
};

constexpr int post_count = 10000;

}  // namespace

TEST_CASE("every task of several threads runs once, in its thread's order, and few wakes",
          "[threads]") {
    {
        TaskLoop loop;
        constexpr size_t thread_count = 3;
        std::array<int, thread_count> next{};
        int misplaced = 0;
        std::vector<std::thread> threads;
        {
            Producer producer = loop.queue->producer();
            for (size_t t = 0; t < thread_count; ++t) {
                threads.emplace_back([&, t, mine = producer]() mutable {
                    Producer own = std::move(mine);
                    for (int i = 0; i < post_count; ++i) {
                        const auto task = [&, t, i] { misplaced += next[t]++ != i; };
                        if (own.post(task) != PostStatus::queued) abort();
                        if (i % 64 == 0) std::this_thread::yield();
                    }
                });
            }
        }
        loop.run();  // until the last producer is gone
        for (auto& thread : threads) thread.join();
        for (const int count : next) CHECK(count == post_count);
        CHECK(misplaced == 0);
        CHECK(loop.kernel.wakes <= loop.sleeps + 1);  // one more: a sleep that S2 called off
    }
    CHECK(Counted::held == 0);
}

TEST_CASE("threads without a producer of their own post through the shared door", "[threads]") {
    {
        TaskLoop loop;
        int count = 0;
        std::vector<std::thread> threads;
        Producer keep = loop.queue->producer();
        for (int t = 0; t < 2; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < post_count; ++i) {
                    const auto task = [&] {
                        if (++count == 2 * post_count) loop.stop();
                    };
                    if (!loop.queue->post_shared(task)) abort();
                }
            });
        }
        loop.run();
        for (auto& thread : threads) thread.join();
        CHECK(count == 2 * post_count);
    }
    CHECK(Counted::held == 0);
}

TEST_CASE("one post at a time always reaches a consumer that falls asleep", "[threads]") {
    TaskLoop loop;
    std::atomic<int> answered = 0;
    std::thread thread([&, producer = loop.queue->producer()]() mutable {
        Producer own = std::move(producer);
        for (int i = 1; i <= post_count; ++i) {
            if (own.post([&] { ++answered; }) != PostStatus::queued) abort();
            while (answered.load() != i) std::this_thread::yield();
        }
    });
    loop.run();
    thread.join();
    CHECK(answered == post_count);
    CHECK(loop.kernel.wakes <= loop.sleeps + 1);
}

TEST_CASE("a stop is never slept through", "[threads]") {
    TaskLoop loop;
    std::atomic<int> round = 0;
    std::thread thread([&, producer = loop.queue->producer()]() mutable {
        for (int i = 1; i <= post_count; ++i) {
            while (round.load() != i) std::this_thread::yield();
            loop.stop();
        }
    });
    for (int i = 1; i <= post_count; ++i) {
        round = i;
        loop.run();
        loop.stopped = false;
        loop.queue->awake();
    }
    thread.join();
    SUCCEED("or this would hang");
}

TEST_CASE("the last producer to go ends a sleep", "[threads]") {
    for (int i = 0; i < 300; ++i) {
        TaskLoop loop;
        std::thread thread(
            [producer = loop.queue->producer()]() mutable { Producer gone = std::move(producer); });
        loop.run();
        thread.join();
        REQUIRE_FALSE(loop.queue->has_foreground());
    }
}

TEST_CASE("a queue that closes under posting threads runs or destroys each closure once",
          "[threads]") {
    for (int round = 0; round < 100; ++round) {
        Tracked::Counts counts;
        std::atomic<int> accepted = 0;
        std::atomic<bool> closed = false;
        std::atomic<bool> woken_late = false;
        struct Poller {
            std::atomic<bool>* closed;
            std::atomic<bool>* woken_late;
            static void wake(void* self) noexcept {
                auto& poller = *static_cast<Poller*>(self);
                if (poller.closed->load()) *poller.woken_late = true;
                std::this_thread::yield();
                if (poller.closed->load()) *poller.woken_late = true;
            }
        } poller{&closed, &woken_late};
        Queue* queue = Queue::create(&Poller::wake, &poller);
        REQUIRE(queue != nullptr);
        std::vector<std::thread> threads;
        for (int t = 0; t < 2; ++t) {
            threads.emplace_back([&, producer = queue->producer()]() mutable {
                while (producer.post(Tracked(counts)) == PostStatus::queued) {
                    ++accepted;
                    while (accepted - counts.runs > 100 && !closed) std::this_thread::yield();
                }
            });
        }
        size_t ran = 0;
        for (int turn = 0; turn < round % 8; ++turn) {
            if (queue->prepare_sleep()) {
                std::this_thread::yield();
                queue->awake();
            }
            ran += run_queued(*queue);
        }
        if (queue->prepare_sleep()) std::this_thread::yield();
        queue->close();
        closed = true;
        for (auto& thread : threads) thread.join();
        REQUIRE(counts.alive == 0);
        REQUIRE(static_cast<size_t>(counts.runs) == ran);
        REQUIRE(accepted >= counts.runs);
        REQUIRE_FALSE(woken_late);
    }
    CHECK(Counted::held == 0);
}

TEST_CASE("closing waits for a wake-up that is under way", "[threads]") {
    struct Slow {
        std::atomic<bool> entered = false;
        std::atomic<bool> closing = false;
        std::atomic<bool> left = false;
        static void wake(void* self) noexcept {
            auto& slow = *static_cast<Slow*>(self);
            slow.entered = true;
            while (!slow.closing) std::this_thread::yield();
            for (int i = 0; i < 20; ++i) std::this_thread::yield();
            slow.left = true;
        }
    } slow;
    Queue* queue = Queue::create(&Slow::wake, &slow);
    REQUIRE(queue != nullptr);
    REQUIRE(queue->prepare_sleep());
    std::thread thread([producer = queue->producer()]() mutable {
        if (producer.post([] {}) != PostStatus::queued) abort();
    });
    while (!slow.entered) std::this_thread::yield();
    slow.closing = true;
    queue->close();
    CHECK(slow.left);
    thread.join();
    CHECK(Counted::held == 0);
}
