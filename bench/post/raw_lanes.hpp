// SPDX-License-Identifier: BSL-1.0
#pragma once
// The loop that a careful hand writes: a mutex queue for each producer, so that producers never
// wait for each other, and one eventfd. An awake loop isn't woken: it says when it may sleep.

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <span>

#include "bench/post/mutex_queue.hpp"
#include "bench/post/producers.hpp"
#include "bench/post/raw_loop.hpp"
#include "bench/system.hpp"

namespace bench {

class RawLanesLoop {
public:
    /// Each copy that posts has a queue of its own.
    struct Door {
        RawLanesLoop* to;
        MutexQueue* queue = nullptr;
        template <class F>
        void post(const F& closure) {
            if (queue == nullptr) queue = &to->queues_.at(to->opened_.fetch_add(1));
            if (queue->push(closure) && to->may_sleep_.load() && to->may_sleep_.exchange(false))
                to->waker_.wake();
        }
    };

    RawLanesLoop() {
        epoll_event event{};
        event.events = EPOLLIN | static_cast<uint32_t>(EPOLLET);
        must(::epoll_ctl(set_, EPOLL_CTL_ADD, waker_.fd(), &event), "epoll_ctl");
    }
    RawLanesLoop(const RawLanesLoop&) = delete;
    RawLanesLoop& operator=(const RawLanesLoop&) = delete;
    ~RawLanesLoop() { ::close(set_); }

    Door door() { return {this}; }
    void run() {
        for (stopped_ = false; !stopped_;) {
            if (!run_queues()) sleep();
        }
    }
    void stop() { stopped_ = true; }
    uint64_t wakes() const { return waker_.wakes(); }

private:
    bool run_queues() {
        bool any = false;
        for (MutexQueue& queue : queues()) any |= queue.run();
        return any;
    }
    // Either a closure is found here, or who posts it takes the mutex later and so sees the flag.
    // Who opens a queue later sees it too, as both atomics are in one order for all threads.
    void sleep() {
        may_sleep_.store(true);
        epoll_event event{};
        if (std::ranges::all_of(queues(), &MutexQueue::empty))
            must(::epoll_wait(set_, &event, 1, -1), "epoll_wait");
        may_sleep_.store(false);
    }
    std::span<MutexQueue> queues() { return std::span(queues_).first(opened_.load()); }

    const int set_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    Waker waker_;
    bool stopped_ = false;
    std::array<MutexQueue, most_producers> queues_;
    std::atomic<size_t> opened_{0};
    alignas(64) std::atomic<bool> may_sleep_{false};
};

}  // namespace bench
