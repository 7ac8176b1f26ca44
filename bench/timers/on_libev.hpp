// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timers on libev, the baseline. Its calls read no clock, they count from the time of the turn.
// For idle timeouts it has ev_timer_again(), which starts a repeating timer anew.
//
// OnLibevLazy is the third way of "Be smart about timeouts" in ev(3): an activity is noted, no
// timer touched; when the timer goes off, it is started again for what is left of the timeout.

#include <span>

#include "bench/libev.hpp"
#include "bench/timers/workload.hpp"

namespace bench {

/// What both have in common: a loop, and watchers with a number.
template <class Numbered>
class LibevLoop {
public:
    LibevLoop(const LibevLoop&) = delete;
    LibevLoop& operator=(const LibevLoop&) = delete;
    ~LibevLoop() { ev_loop_destroy(loop_); }

    Log& log() { return log_; }

    template <class Body>
    void turn(Body&& body) {
        ev_run(loop_, EVRUN_NOWAIT);
        body();
    }
    void settle() {}
    void fire() { ev_run(loop_, EVRUN_NOWAIT); }

protected:
    using Callback = void (*)(struct ev_loop* loop, ev_timer* timer, int events);

    LibevLoop(uint32_t count, void* owner, Callback callback)
        : log_(count), loop_(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV)), timers_(count) {
        if (loop_ == nullptr) fail("ev_loop_new");
        ev_set_userdata(loop_, owner);
        for (uint32_t i = 0; i < count; ++i) {
            timers_[i].number = i;
            ev_timer_init(&timers_[i].timer, callback, 0., 0.);
        }
    }

    static double seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

    Log log_;
    struct ev_loop* loop_;
    std::vector<Numbered> timers_;
};

struct LibevTimer {
    ev_timer timer;
    uint32_t number;
};

class OnLibev : public LibevLoop<LibevTimer> {
public:
    static constexpr const char* name = "libev";
    static constexpr unsigned operations = all_operations;
    static constexpr int64_t resolution =
        microsecond;  // its doubles resolve less, but no nanosecond

    explicit OnLibev(uint32_t count) : LibevLoop(count, this, on_fire) {}

    void run() { ev_run(loop_, 0); }

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < timers_.size(); ++i) {
            ev_timer_set(&timers_[i].timer, seconds(when[i]), 0.);
            ev_timer_start(loop_, &timers_[i].timer);
        }
    }
    // Without the last store it would be periodic when it fires.
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) {
            timers_[i].timer.repeat = seconds(when[i]);
            ev_timer_again(loop_, &timers_[i].timer);
            timers_[i].timer.repeat = 0;
        }
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) ev_timer_stop(loop_, &timers_[i].timer);
    }

    void start_idle(int64_t timeout) {
        for (LibevTimer& timer : timers_) {
            timer.timer.repeat = seconds(timeout);
            ev_timer_again(loop_, &timer.timer);
        }
    }
    void touch(std::span<const uint32_t> picks) {
        for (const uint32_t i : picks) ev_timer_again(loop_, &timers_[i].timer);
    }

private:
    static void on_fire(struct ev_loop* loop, ev_timer* timer, int) {
        if (timer->repeat != 0) ev_timer_stop(loop, timer);
        static_cast<OnLibev*>(ev_userdata(loop))
            ->log_.fired(reinterpret_cast<LibevTimer*>(timer)->number);
    }
};

struct LibevLazyTimer {
    ev_timer timer;
    double last_activity;
    uint32_t number;
};

/// Its timers start spread over a timeout, as they are after a long time: so every round has its
/// share of those that go off.
class OnLibevLazy : public LibevLoop<LibevLazyTimer> {
public:
    static constexpr const char* name = "libev-lazy";
    static constexpr unsigned operations = idle_operations;

    explicit OnLibevLazy(uint32_t count) : LibevLoop(count, this, on_timer) {}

    void start_idle(int64_t timeout) {
        timeout_ = seconds(timeout);
        const int64_t step = timeout / static_cast<int64_t>(timers_.size());
        for (LibevLazyTimer& timer : timers_) {
            timer.last_activity = ev_now(loop_);
            ev_timer_set(&timer.timer, seconds((timer.number + 1) * step), 0.);
            ev_timer_start(loop_, &timer.timer);
        }
    }
    void touch(std::span<const uint32_t> picks) {
        const double now = ev_now(loop_);
        for (const uint32_t i : picks) timers_[i].last_activity = now;
    }

private:
    static void on_timer(struct ev_loop* loop, ev_timer* timer, int) {
        auto* const self = static_cast<OnLibevLazy*>(ev_userdata(loop));
        const auto* const lazy = reinterpret_cast<LibevLazyTimer*>(timer);
        const double left = lazy->last_activity - ev_now(loop) + self->timeout_;
        if (left > 0) {
            ev_timer_set(timer, left, 0.);
            ev_timer_start(loop, timer);
        } else {
            self->log_.fired(lazy->number);
        }
    }

    double timeout_ = 0;
};

}  // namespace bench
