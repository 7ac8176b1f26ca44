// SPDX-License-Identifier: BSL-1.0
#pragma once
// rondo carries the closures itself. There are two doors: a Remote for each thread, or post(),
// which all threads share. The second, rondo-post, is like with like beside one mutex queue for all
// producers; the first, rondo-epoll, beside raw-lanes, a queue for each.
//
// Its sleeps and the wake-ups that it writes are counted; next to a system call that is nothing.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/loop/event_loop.hpp>

namespace bench {

class CountingPoller : public rondo::EpollPoller {
public:
    static rondo::Result<CountingPoller> open() {
        auto poller = rondo::EpollPoller::open();
        if (!poller) return poller.error();
        return CountingPoller(std::move(*poller));
    }
    rondo::Result<size_t> wait(std::span<Event> out, rondo::Instant deadline) noexcept {
        if (deadline != rondo::Instant::min()) ++sleeps_;
        return rondo::EpollPoller::wait(out, deadline);
    }
    void wake() noexcept {
        wakes_->fetch_add(1, std::memory_order_relaxed);
        rondo::EpollPoller::wake();
    }
    uint64_t sleeps() const { return sleeps_; }
    uint64_t wakes() const { return wakes_->load(std::memory_order_relaxed); }

private:
    explicit CountingPoller(rondo::EpollPoller poller) : rondo::EpollPoller(std::move(poller)) {}

    uint64_t sleeps_ = 0;
    std::unique_ptr<std::atomic<uint64_t>> wakes_ = std::make_unique<std::atomic<uint64_t>>(0);
};

using RondoEventLoop = rondo::EventLoop<CountingPoller>;

/// For errors that set no errno.
[[noreturn]] inline void refused() {
    std::fprintf(stderr, "rondo refused a post\n");
    std::exit(1);
}

/// Its copy is another producer, with a store of nodes of its own.
class RemoteDoor {
public:
    explicit RemoteDoor(RondoEventLoop& loop) : remote_(loop.remote()) {}
    template <class F>
    void post(const F& closure) {
        if (remote_.post(closure) != rondo::PostStatus::queued) refused();
    }

private:
    RondoEventLoop::Remote remote_;
};

class SharedDoor {
public:
    explicit SharedDoor(RondoEventLoop& loop) : loop_(&loop) {}
    template <class F>
    void post(const F& closure) {
        if (!loop_->post(closure)) refused();
    }

private:
    RondoEventLoop* loop_;
};

template <class DoorType>
class RondoLoop {
public:
    using Door = DoorType;

    Door door() { return Door(loop_); }
    void run() { loop_.run(); }
    void stop() { loop_.stop(); }
    uint64_t wakes() { return loop_.poller().wakes(); }
    uint64_t sleeps() { return loop_.poller().sleeps(); }

private:
    RondoEventLoop loop_;
    // run() would return at once if no producer could wake the loop; post() is no producer.
    RondoEventLoop::Remote keeps_running_ = loop_.remote();
};

}  // namespace bench
