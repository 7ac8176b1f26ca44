// SPDX-License-Identifier: BSL-1.0
#pragma once
// The loop that one writes by hand: the mutex queue, and an eventfd that epoll_wait waits for. It
// is the short form: who finds the queue empty writes the eventfd, even if the loop is awake and
// running what it took before. raw-lanes (raw_lanes.hpp) doesn't.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "bench/post/mutex_queue.hpp"
#include "bench/system.hpp"

namespace bench {

enum class Trigger { level, edge };

/// Writes an eventfd and counts how often.
class Waker {
public:
    Waker() = default;
    Waker(const Waker&) = delete;
    Waker& operator=(const Waker&) = delete;
    ~Waker() { ::close(fd_); }

    int fd() const { return fd_; }
    uint64_t wakes() const { return wakes_.load(std::memory_order_relaxed); }
    void wake() {
        const uint64_t one = 1;
        wakes_.fetch_add(1, std::memory_order_relaxed);
        if (::write(fd_, &one, sizeof one) != sizeof one) fail("write");
    }
    void drain() {
        uint64_t count = 0;
        if (::read(fd_, &count, sizeof count) != sizeof count) fail("read");
    }

private:
    const int fd_ = must(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
    std::atomic<uint64_t> wakes_{0};
};

/// Level-triggered, it reads the eventfd after every wake-up. Edge-triggered, nobody has to read:
/// every write wakes, whatever the count is (eventfd_write() in the kernel's fs/eventfd.c).
template <Trigger trigger>
class RawLoop {
public:
    struct Door {
        RawLoop* to;
        template <class F>
        void post(const F& closure) {
            if (to->queue_.push(closure)) to->waker_.wake();
        }
    };

    RawLoop() {
        epoll_event event{};
        event.events = EPOLLIN;
        if (trigger == Trigger::edge) event.events |= static_cast<uint32_t>(EPOLLET);
        must(::epoll_ctl(set_, EPOLL_CTL_ADD, waker_.fd(), &event), "epoll_ctl");
    }
    RawLoop(const RawLoop&) = delete;
    RawLoop& operator=(const RawLoop&) = delete;
    ~RawLoop() { ::close(set_); }

    Door door() { return {this}; }
    void run() {
        for (stopped_ = false; !stopped_;) {
            epoll_event event{};
            if (must(::epoll_wait(set_, &event, 1, -1), "epoll_wait") == 0) continue;
            if (trigger == Trigger::level) waker_.drain();
            queue_.run();
        }
    }
    void stop() { stopped_ = true; }
    uint64_t wakes() const { return waker_.wakes(); }

private:
    const int set_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    Waker waker_;
    bool stopped_ = false;
    MutexQueue queue_;
};

}  // namespace bench
