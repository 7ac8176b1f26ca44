// SPDX-License-Identifier: BSL-1.0
#pragma once
// asio carries the closures itself: asio::post(). Or they are in the mutex queue, and only who
// finds it empty posts. The concurrency hint 1 says that one thread runs the context; others may
// post.
//
// A context without an object for I/O waits for a condition variable. This one watches a descriptor
// that is never ready, so that it sleeps in epoll_wait, as every loop with sockets does.

#include <sys/eventfd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>

#include "bench/post/mutex_queue.hpp"
#include "bench/system.hpp"

namespace bench {

class AsioLoop {
public:
    struct Door {
        asio::io_context* context;
        template <class F>
        void post(const F& closure) {
            asio::post(*context, closure);
        }
    };

    AsioLoop() {
        watched_.async_wait(asio::posix::stream_descriptor::wait_read, [](asio::error_code) {});
    }
    AsioLoop(const AsioLoop&) = delete;
    AsioLoop& operator=(const AsioLoop&) = delete;

    Door door() { return {&context_}; }
    void run() {
        context_.restart();
        context_.run();
    }
    void stop() { context_.stop(); }

private:
    asio::io_context context_{1};
    asio::posix::stream_descriptor watched_{
        context_, must(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")};
};

class AsioQueueLoop {
public:
    struct Door {
        AsioQueueLoop* to;
        template <class F>
        void post(const F& closure) {
            if (to->queue_.push(closure))
                to->loop_.door().post([queue = &to->queue_] { queue->run(); });
        }
    };

    Door door() { return {this}; }
    void run() { loop_.run(); }
    void stop() { loop_.stop(); }

private:
    MutexQueue queue_;
    AsioLoop loop_;
};

}  // namespace bench
