// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timers on libevent. It keeps the time of the turn while it runs handlers, and reads the clock in
// every call outside of them: so everything is done in a handler, which is the usual place too.
// event_assign() puts the events beside each other, which event_new() wouldn't.
//
// OnLibeventCommon tells it that the timeouts are all the same (event_base_init_common_timeout), so
// that they are a list; that can only be done for idle timeouts.

#include <event2/event.h>
#include <event2/event_struct.h>

#include <span>
#include <type_traits>

#include "bench/timers/workload.hpp"

namespace bench {

template <bool common>
class OnLibeventAs {
public:
    static constexpr const char* name = common ? "libevent-common" : "libevent";
    static constexpr unsigned operations = common ? idle_operations : all_operations;
    static constexpr int64_t resolution = microsecond;

    explicit OnLibeventAs(uint32_t count) : log_(count), base_(make_base()), timers_(count) {
        driver_ = event_new(base_, -1, 0, on_turn, this);
        if (driver_ == nullptr) fail("event_new");
        for (uint32_t i = 0; i < count; ++i) {
            timers_[i].log = &log_;
            timers_[i].number = i;
            must(evtimer_assign(&timers_[i].timer, base_, on_fire, &timers_[i]), "evtimer_assign");
        }
    }
    OnLibeventAs(const OnLibeventAs&) = delete;
    OnLibeventAs& operator=(const OnLibeventAs&) = delete;
    ~OnLibeventAs() {
        for (Numbered& timer : timers_) event_del(&timer.timer);
        event_free(driver_);
        event_base_free(base_);
    }

    Log& log() { return log_; }

    template <class Body>
    void turn(Body&& body) {
        call_ = [](void* context) { (*static_cast<std::remove_reference_t<Body>*>(context))(); };
        context_ = &body;
        event_active(driver_, EV_TIMEOUT, 0);
        fire();
    }
    void settle() {}
    void fire() { must(event_base_loop(base_, EVLOOP_ONCE | EVLOOP_NONBLOCK), "event_base_loop"); }
    void run() { must(event_base_dispatch(base_), "event_base_dispatch"); }

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < timers_.size(); ++i) start(i, when[i]);
    }
    // Adding what is pending moves it.
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) start(i, when[i]);
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) must(event_del(&timers_[i].timer), "event_del");
    }

    void start_idle(int64_t timeout) {
        timeout_ = timeval_of(timeout);
        if constexpr (common) {
            const timeval* const known = event_base_init_common_timeout(base_, &timeout_);
            if (known == nullptr) fail("event_base_init_common_timeout");
            timeout_ = *known;
        }
        for (Numbered& timer : timers_) must(event_add(&timer.timer, &timeout_), "event_add");
    }
    void touch(std::span<const uint32_t> picks) {
        for (const uint32_t i : picks) must(event_add(&timers_[i].timer, &timeout_), "event_add");
    }

private:
    struct Numbered {
        event timer;
        Log* log;
        uint32_t number;
    };

    // Like the others it is used by one thread and needs no locks.
    static event_base* make_base() {
        event_config* const config = event_config_new();
        if (config == nullptr) fail("event_config_new");
        must(event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK), "event_config_set_flag");
        event_base* const base = event_base_new_with_config(config);
        event_config_free(config);
        if (base == nullptr) fail("event_base_new_with_config");
        return base;
    }
    static timeval timeval_of(int64_t ns) {
        return {static_cast<time_t>(ns / second),
                static_cast<suseconds_t>(ns % second / microsecond)};
    }
    static void on_turn(evutil_socket_t, short, void* argument) {
        const auto* const self = static_cast<OnLibeventAs*>(argument);
        self->call_(self->context_);
    }
    static void on_fire(evutil_socket_t, short, void* argument) {
        const auto* const timer = static_cast<Numbered*>(argument);
        timer->log->fired(timer->number);
    }
    void start(uint32_t i, int64_t ns) {
        const timeval delay = timeval_of(ns);
        must(event_add(&timers_[i].timer, &delay), "event_add");
    }

    Log log_;
    event_base* base_;
    event* driver_ = nullptr;
    std::vector<Numbered> timers_;
    void (*call_)(void* context) = nullptr;
    void* context_ = nullptr;
    timeval timeout_{};
};

using OnLibevent = OnLibeventAs<false>;
using OnLibeventCommon = OnLibeventAs<true>;

}  // namespace bench
