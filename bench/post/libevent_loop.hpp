// SPDX-License-Identifier: BSL-1.0
#pragma once
// libevent carries no closures: they are in the mutex queue. The loop is woken by an event on an
// eventfd, edge-triggered, which nobody has to read. event_active() from another thread would do
// too, but needs a lock around everything that the base does (evthread_use_pthreads, in a library
// of its own), and wakes the base by an eventfd as well, which 2.1 then reads.

#include <event2/event.h>

#include "bench/post/mutex_queue.hpp"
#include "bench/post/raw_loop.hpp"
#include "bench/system.hpp"

namespace bench {

class LibeventLoop {
public:
    struct Door {
        LibeventLoop* to;
        template <class F>
        void post(const F& closure) {
            if (to->queue_.push(closure)) to->waker_.wake();
        }
    };

    LibeventLoop() {
        if (base_ == nullptr) fail("event_base_new");
        const auto called = [](evutil_socket_t, short, void* loop) {
            static_cast<LibeventLoop*>(loop)->queue_.run();
        };
        event_ = event_new(base_, waker_.fd(), EV_READ | EV_PERSIST | EV_ET, called, this);
        if (event_ == nullptr) fail("event_new");
        must(event_add(event_, nullptr), "event_add");
    }
    LibeventLoop(const LibeventLoop&) = delete;
    LibeventLoop& operator=(const LibeventLoop&) = delete;
    ~LibeventLoop() {
        event_free(event_);
        event_base_free(base_);
    }

    Door door() { return {this}; }
    void run() { must(event_base_dispatch(base_), "event_base_dispatch"); }
    void stop() { must(event_base_loopbreak(base_), "event_base_loopbreak"); }
    uint64_t wakes() const { return waker_.wakes(); }

private:
    Waker waker_;
    event_base* const base_ = event_base_new();
    event* event_ = nullptr;
    MutexQueue queue_;
};

}  // namespace bench
