// SPDX-License-Identifier: BSL-1.0
#pragma once
// libev carries no closures: ev_async_send wakes the loop, and calls for one watcher may be merged
// into one callback, so the closures are in a queue behind a mutex, as in ev(3), "ev_async".

#include "bench/libev.hpp"
#include "bench/post/mutex_queue.hpp"
#include "bench/system.hpp"

namespace bench {

class LibevLoop {
public:
    struct Door {
        LibevLoop* to;
        template <class F>
        void post(const F& closure) {
            if (to->queue_.push(closure)) ev_async_send(to->loop_, &to->async_);
        }
    };

    LibevLoop() {
        if (loop_ == nullptr) fail("ev_loop_new");
        const auto called = [](struct ev_loop*, ev_async* async, int) {
            static_cast<LibevLoop*>(async->data)->queue_.run();
        };
        ev_async_init(&async_, called);
        async_.data = this;
        ev_async_start(loop_, &async_);
    }
    LibevLoop(const LibevLoop&) = delete;
    LibevLoop& operator=(const LibevLoop&) = delete;
    ~LibevLoop() {
        ev_async_stop(loop_, &async_);
        ev_loop_destroy(loop_);
    }

    Door door() { return {this}; }
    void run() { ev_run(loop_, 0); }
    void stop() { ev_break(loop_, EVBREAK_ONE); }

private:
    struct ev_loop* const loop_ = ev_loop_new(unsigned{EVBACKEND_EPOLL} | EVFLAG_NOENV);
    ev_async async_{};
    MutexQueue queue_;
};

}  // namespace bench
