// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timers on libuv. Its calls read no clock, they count milliseconds from the time of the turn.
// uv_timer_start() moves a timer that is active; idle timeouts are what uv_timer_again() is for.

#include <uv.h>

#include <span>

#include "bench/timers/workload.hpp"

namespace bench {

class OnLibuv {
public:
    static constexpr const char* name = "libuv";
    static constexpr unsigned operations = all_operations;
    static constexpr int64_t resolution = millisecond;

    explicit OnLibuv(uint32_t count) : log_(count), timers_(count) {
        check(uv_loop_init(&loop_), "uv_loop_init");
        loop_.data = this;
        for (uint32_t i = 0; i < count; ++i) {
            timers_[i].number = i;
            check(uv_timer_init(&loop_, &timers_[i].timer), "uv_timer_init");
        }
    }
    OnLibuv(const OnLibuv&) = delete;
    OnLibuv& operator=(const OnLibuv&) = delete;
    ~OnLibuv() {
        for (Numbered& timer : timers_) {
            uv_close(reinterpret_cast<uv_handle_t*>(&timer.timer), nullptr);
        }
        uv_run(&loop_, UV_RUN_DEFAULT);
        check(uv_loop_close(&loop_), "uv_loop_close");
    }

    Log& log() { return log_; }

    template <class Body>
    void turn(Body&& body) {
        uv_run(&loop_, UV_RUN_NOWAIT);
        body();
    }
    void settle() {}
    void fire() { uv_run(&loop_, UV_RUN_NOWAIT); }
    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < timers_.size(); ++i) start(i, when[i]);
    }
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) start(i, when[i]);
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) check(uv_timer_stop(&timers_[i].timer), "uv_timer_stop");
    }

    void start_idle(int64_t timeout) {
        const uint64_t ms = milliseconds(timeout);
        for (Numbered& timer : timers_) {
            check(uv_timer_start(&timer.timer, on_fire, ms, ms), "uv_timer_start");
        }
    }
    void touch(std::span<const uint32_t> picks) {
        for (const uint32_t i : picks) check(uv_timer_again(&timers_[i].timer), "uv_timer_again");
    }

private:
    struct Numbered {
        uv_timer_t timer;
        uint32_t number;
    };

    static void check(int result, const char* call) {
        if (result == 0) return;
        errno = -result;
        fail(call);
    }
    static uint64_t milliseconds(int64_t ns) {
        return static_cast<uint64_t>((ns + millisecond - 1) / millisecond);
    }
    // One that repeats has been started again.
    static void on_fire(uv_timer_t* timer) {
        if (uv_timer_get_repeat(timer) != 0) check(uv_timer_stop(timer), "uv_timer_stop");
        static_cast<OnLibuv*>(timer->loop->data)
            ->log_.fired(reinterpret_cast<Numbered*>(timer)->number);
    }
    void start(uint32_t i, int64_t ns) {
        check(uv_timer_start(&timers_[i].timer, on_fire, milliseconds(ns), 0), "uv_timer_start");
    }

    Log log_;
    uv_loop_t loop_{};
    std::vector<Numbered> timers_;
};

}  // namespace bench
