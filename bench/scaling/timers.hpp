// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timers by the thousand and by the million: all are added, with deadlines in a shuffled order, and
// then all fire in one turn. rondo beside libev and libevent, whose timers are told apart to the
// microsecond, and therefore up to a million of them; bench/timers has all libraries.
//
// The deadlines are in the past, so that nobody waits. No one reads a clock per timer: libev never
// does, libevent doesn't within a handler, and beside them stands rondo's Instant form. A first
// pass comes before the clock starts: memory has grown by then. Its deadlines are all equal, which
// is cheap.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "bench/harness.hpp"
#include "bench/scaling/loops.hpp"

#if RONDO_BENCH_HAS_LIBEVENT
#include <event2/event_struct.h>
#endif

namespace bench {

/// For each timer of a pass its deadline, in nanoseconds from a base. They are a step apart, which
/// libev's doubles resolve also for ten million: 100 ns.
class Deadlines {
public:
    explicit Deadlines(uint32_t count) : ranks_(count) {
        std::iota(ranks_.begin(), ranks_.end(), 0U);
        std::shuffle(ranks_.begin(), ranks_.end(), std::mt19937(count));
    }

    uint32_t count() const { return static_cast<uint32_t>(ranks_.size()); }

    /// Calls f(timer, ns) for each timer. Every pass begins elsewhere in the ranks, so that the
    /// branches of a small heap aren't learnt by heart.
    template <class F>
    void for_each(uint32_t pass, F&& f) const {
        const int64_t step = 1'000'000'000 / count();
        uint32_t at = static_cast<uint32_t>(uint64_t{pass} * 7919 % count());
        for (uint32_t i = 0; i < count(); ++i) {
            f(i, -1'000'000'000'000 + ranks_[at] * step);
            if (++at == count()) at = 0;
        }
    }

private:
    std::vector<uint32_t> ranks_;
};

/// Made of the timers' numbers in the order of firing.
struct FiringOrder {
    uint64_t checksum = 0;
    void fired(uint32_t timer) { checksum = checksum * 31 + timer + 1; }
};

class RondoTimers {
public:
    explicit RondoTimers(uint32_t) {}

    template <class Body>
    void turn(Body&& body) {
        body();
    }
    void add(uint32_t timer, int64_t ns) {
        loop_.at(base_ + rondo::Duration(ns), [this, timer] { order_.fired(timer); });
    }
    void fire() { loop_.poll(); }
    FiringOrder& order() { return order_; }

private:
    RondoLoop loop_;
    rondo::Instant base_ = loop_.now();
    FiringOrder order_;
};

#if RONDO_BENCH_HAS_LIBEV
class LibevTimers {
public:
    explicit LibevTimers(uint32_t count)
        : loop_(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV)), timers_(count) {
        if (loop_ == nullptr) fail("ev_loop_new");
        ev_set_userdata(loop_, &order_);
    }
    LibevTimers(const LibevTimers&) = delete;
    LibevTimers& operator=(const LibevTimers&) = delete;
    ~LibevTimers() { ev_loop_destroy(loop_); }

    template <class Body>
    void turn(Body&& body) {
        body();
    }
    void add(uint32_t number, int64_t ns) {
        ev_timer* const timer = &timers_[number];
        ev_timer_init(timer, on_fire, static_cast<double>(ns) * 1e-9, 0);
        timer->data = timers_.data();
        ev_timer_start(loop_, timer);
    }
    void fire() { ev_run(loop_, EVRUN_NOWAIT); }
    FiringOrder& order() { return order_; }

private:
    static void on_fire(struct ev_loop* loop, ev_timer* timer, int) {
        const auto number = timer - static_cast<const ev_timer*>(timer->data);
        static_cast<FiringOrder*>(ev_userdata(loop))->fired(static_cast<uint32_t>(number));
    }

    struct ev_loop* loop_;
    std::vector<ev_timer> timers_;
    FiringOrder order_;
};
#endif

#if RONDO_BENCH_HAS_LIBEVENT
/// Timers are added in a handler, during which libevent keeps the time. Timeouts are relative to
/// it, and those below zero are in the past. event_assign() puts the events beside each other.
class LibeventTimers {
public:
    static constexpr uint32_t most = 1'000'000;

    explicit LibeventTimers(uint32_t count) : base_(event_base_new()), timers_(count) {
        if (base_ == nullptr) fail("event_base_new");
        turn_ = event_new(base_, -1, 0, on_turn, this);
        if (turn_ == nullptr) fail("event_new");
        for (uint32_t i = 0; i < count; ++i) {
            timers_[i].order = &order_;
            timers_[i].number = i;
            must(evtimer_assign(&timers_[i].timer, base_, on_fire, &timers_[i]), "evtimer_assign");
        }
    }
    LibeventTimers(const LibeventTimers&) = delete;
    LibeventTimers& operator=(const LibeventTimers&) = delete;
    ~LibeventTimers() {
        event_free(turn_);
        event_base_free(base_);
    }

    template <class Body>
    void turn(Body&& body) {
        body_ = std::ref(body);
        event_active(turn_, EV_TIMEOUT, 0);
        fire();
    }
    void add(uint32_t number, int64_t ns) {
        const std::chrono::microseconds whole(ns / 1000);
        const auto seconds = std::chrono::floor<std::chrono::seconds>(whole);
        const timeval delay{seconds.count(), (whole - seconds).count()};
        must(event_add(&timers_[number].timer, &delay), "event_add");
    }
    void fire() { must(event_base_loop(base_, EVLOOP_ONCE | EVLOOP_NONBLOCK), "event_base_loop"); }
    FiringOrder& order() { return order_; }

private:
    struct Numbered {
        event timer;
        FiringOrder* order;
        uint32_t number;
    };

    static void on_turn(evutil_socket_t, short, void* self) {
        static_cast<LibeventTimers*>(self)->body_();
    }
    static void on_fire(evutil_socket_t, short, void* argument) {
        const auto* const timer = static_cast<Numbered*>(argument);
        timer->order->fired(timer->number);
    }

    event_base* base_;
    event* turn_ = nullptr;
    std::function<void()> body_;
    std::vector<Numbered> timers_;
    FiringOrder order_;
};
#endif

/// Made anew in every round: of ten million timers one side's alone take more than a gigabyte.
template <class Timers>
Sample add_and_fire(const Deadlines& deadlines, uint32_t passes) {
    Timers timers(deadlines.count());
    timers.turn([&] {
        for (uint32_t i = 0; i < deadlines.count(); ++i) timers.add(i, -1'000'000'000'000);
    });
    timers.fire();
    timers.order() = {};
    const double start = now_ns();
    for (uint32_t pass = 0; pass < passes; ++pass) {
        timers.turn([&] {
            deadlines.for_each(pass, [&](uint32_t timer, int64_t ns) { timers.add(timer, ns); });
        });
        timers.fire();
    }
    const double end = now_ns();
    return {(end - start) / (double{1} * passes * deadlines.count()), timers.order().checksum};
}

inline std::vector<Contender> timer_contenders(const Deadlines& deadlines, uint32_t passes) {
    std::vector<Contender> all;
#if RONDO_BENCH_HAS_LIBEV
    all.push_back(
        {"libev", [=, &deadlines] { return add_and_fire<LibevTimers>(deadlines, passes); }});
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    if (deadlines.count() <= LibeventTimers::most) {
        all.push_back({"libevent", [=, &deadlines] {
                           return add_and_fire<LibeventTimers>(deadlines, passes);
                       }});
    }
#endif
    all.push_back(
        {"rondo-epoll", [=, &deadlines] { return add_and_fire<RondoTimers>(deadlines, passes); }});
    return all;
}

}  // namespace bench
