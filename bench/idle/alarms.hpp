// SPDX-License-Identifier: BSL-1.0
#pragma once
// Idle timers: each loop has as many as there are alarms, with a handler that holds a pointer to
// its alarm. The first is due at once, which shows that they work; all others in an hour. run()
// returns after that one. What the user has to keep for each timer is kept, in one array that is
// made before where the library allows it.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "bench/scaling/loops.hpp"

namespace bench {

/// What a timer is for.
struct Alarm {
    int seconds;
    bool rang;

    void ring() { rang = true; }
};

/// A heap of deadlines with the handlers in it. It can't cancel or move a timer.
class RawAlarms {
public:
    explicit RawAlarms(std::span<Alarm> alarms) {
        heap_.reserve(alarms.size());
        for (Alarm& each : alarms) {
            const auto ring = [](void* alarm) { static_cast<Alarm*>(alarm)->ring(); };
            heap_.push_back({now_ns() + each.seconds * 1e9, ring, &each});
            std::push_heap(heap_.begin(), heap_.end(), later);
        }
    }

    void run() {
        while (heap_.front().deadline <= now_ns()) {
            std::pop_heap(heap_.begin(), heap_.end(), later);
            const Entry due = heap_.back();
            heap_.pop_back();
            due.call(due.context);
        }
    }

private:
    struct Entry {
        double deadline;
        void (*call)(void*);
        void* context;
    };
    static bool later(const Entry& a, const Entry& b) { return a.deadline > b.deadline; }

    std::vector<Entry> heap_;
};

/// The ids are kept: without them the timers couldn't be cancelled, which those of the libraries
/// can.
class RondoAlarms {
public:
    explicit RondoAlarms(std::span<Alarm> alarms) {
        ids_.reserve(alarms.size());
        for (Alarm& each : alarms) {
            ids_.push_back(loop_.after(rondo::Duration::seconds(each.seconds),
                                       [alarm = &each] { alarm->ring(); }));
        }
    }

    void run() { loop_.run_once(); }

private:
    RondoLoop loop_;
    std::vector<rondo::TimerId> ids_;
};

#if RONDO_BENCH_HAS_LIBEV
class LibevAlarms {
public:
    explicit LibevAlarms(std::span<Alarm> alarms)
        : loop_(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV)), timers_(alarms.size()) {
        if (loop_ == nullptr) fail("ev_loop_new");
        for (size_t i = 0; i < timers_.size(); ++i) {
            ev_timer* const timer = &timers_[i];
            ev_timer_init(timer, on_time, alarms[i].seconds, 0);
            timer->data = &alarms[i];
            ev_timer_start(loop_, timer);
        }
    }
    LibevAlarms(const LibevAlarms&) = delete;
    LibevAlarms& operator=(const LibevAlarms&) = delete;
    ~LibevAlarms() { ev_loop_destroy(loop_); }

    void run() { ev_run(loop_, EVRUN_ONCE); }

private:
    static void on_time(struct ev_loop*, ev_timer* timer, int) {
        static_cast<Alarm*>(timer->data)->ring();
    }

    struct ev_loop* loop_;
    std::vector<ev_timer> timers_;
};
#endif

#if RONDO_BENCH_HAS_LIBEVENT
class LibeventAlarms {
public:
    explicit LibeventAlarms(std::span<Alarm> alarms) : base_(event_base_new()) {
        if (base_ == nullptr) fail("event_base_new");
        timers_.reserve(alarms.size());
        for (Alarm& each : alarms) {
            const timeval delay{each.seconds, 0};
            timers_.push_back(evtimer_new(base_, on_time, &each));
            if (timers_.back() == nullptr) fail("evtimer_new");
            must(evtimer_add(timers_.back(), &delay), "evtimer_add");
        }
    }
    LibeventAlarms(const LibeventAlarms&) = delete;
    LibeventAlarms& operator=(const LibeventAlarms&) = delete;
    ~LibeventAlarms() {
        for (event* each : timers_) event_free(each);
        event_base_free(base_);
    }

    void run() { must(event_base_loop(base_, EVLOOP_ONCE), "event_base_loop"); }

private:
    static void on_time(evutil_socket_t, short, void* alarm) { static_cast<Alarm*>(alarm)->ring(); }

    event_base* base_;
    std::vector<event*> timers_;
};
#endif

#if RONDO_BENCH_HAS_LIBUV
class LibuvAlarms {
public:
    explicit LibuvAlarms(std::span<Alarm> alarms) : timers_(alarms.size()) {
        must_uv(uv_loop_init(&loop_), "uv_loop_init");
        for (size_t i = 0; i < timers_.size(); ++i) {
            must_uv(uv_timer_init(&loop_, &timers_[i]), "uv_timer_init");
            timers_[i].data = &alarms[i];
            const auto milliseconds = static_cast<uint64_t>(alarms[i].seconds) * 1000;
            must_uv(uv_timer_start(&timers_[i], on_time, milliseconds, 0), "uv_timer_start");
        }
    }
    LibuvAlarms(const LibuvAlarms&) = delete;
    LibuvAlarms& operator=(const LibuvAlarms&) = delete;
    ~LibuvAlarms() {
        for (uv_timer_t& each : timers_) uv_close(reinterpret_cast<uv_handle_t*>(&each), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        uv_loop_close(&loop_);
    }

    // With UV_RUN_ONCE it would run what is due, and then wait for the next.
    void run() { uv_run(&loop_, UV_RUN_NOWAIT); }

private:
    static void on_time(uv_timer_t* timer) { static_cast<Alarm*>(timer->data)->ring(); }

    uv_loop_t loop_;
    std::vector<uv_timer_t> timers_;
};
#endif

#if RONDO_BENCH_HAS_ASIO
/// The executor's own type instead of any_io_executor, as for descriptors.
class AsioAlarms {
public:
    explicit AsioAlarms(std::span<Alarm> alarms) {
        timers_.reserve(alarms.size());
        for (Alarm& each : alarms) {
            timers_.emplace_back(context_, std::chrono::seconds(each.seconds));
            timers_.back().async_wait([alarm = &each](asio::error_code error) {
                if (!error) alarm->ring();
            });
        }
    }

    void run() { context_.run_one(); }

private:
    using Clock = std::chrono::steady_clock;
    using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>,
                                             asio::io_context::executor_type>;

    asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
    std::vector<Timer> timers_;
};
#endif

}  // namespace bench
