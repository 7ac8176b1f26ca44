// SPDX-License-Identifier: BSL-1.0
#pragma once
// libuv carries no closures: uv_async_send wakes the loop, and calls for one handle may be merged
// into one callback, so the closures are in the mutex queue.

#include <uv.h>

#include <cerrno>

#include "bench/post/mutex_queue.hpp"
#include "bench/system.hpp"

namespace bench {

class LibuvLoop {
public:
    struct Door {
        LibuvLoop* to;
        template <class F>
        void post(const F& closure) {
            if (to->queue_.push(closure)) check(uv_async_send(&to->async_), "uv_async_send");
        }
    };

    LibuvLoop() {
        check(uv_loop_init(&loop_), "uv_loop_init");
        async_.data = this;
        const auto called = [](uv_async_t* async) {
            static_cast<LibuvLoop*>(async->data)->queue_.run();
        };
        check(uv_async_init(&loop_, &async_, called), "uv_async_init");
    }
    LibuvLoop(const LibuvLoop&) = delete;
    LibuvLoop& operator=(const LibuvLoop&) = delete;
    ~LibuvLoop() {
        uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        uv_loop_close(&loop_);
    }

    Door door() { return {this}; }
    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
    void stop() { uv_stop(&loop_); }

private:
    // libuv answers what errno would be, negated.
    static void check(int result, const char* call) {
        if (result == 0) return;
        errno = -result;
        fail(call);
    }

    uv_loop_t loop_{};
    uv_async_t async_{};
    MutexQueue queue_;
};

}  // namespace bench
