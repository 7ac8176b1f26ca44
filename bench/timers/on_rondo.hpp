// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timers on rondo. A timer comes with its handler: add makes both, which the others have made
// before. The Instant forms read no clock, as libev, libuv and libevent's handlers don't; the
// Duration forms, which do, are a contender of their own.
//
// Cancelling and moving to a later deadline put most of their work off. settle() asks for the
// earliest deadline, which a turn that waits would do: with that it is paid for. A turn that
// doesn't wait, as all are here, wouldn't need it.

#include <span>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include "bench/timers/workload.hpp"

namespace bench {

enum class Form { instant, duration };
enum class Turn { whole, timers };

template <Form form, Turn how = Turn::whole>
class OnRondo {
public:
    static constexpr const char* name = how == Turn::timers      ? "rondo-timers"
                                        : form == Form::duration ? "rondo-duration"
                                                                 : "rondo-epoll";
    static constexpr unsigned operations = how == Turn::timers ? op_fire
                                           : form == Form::duration
                                               ? op_add | op_rearm | idle_operations
                                               : all_operations;
    static constexpr int64_t resolution = microsecond;

    explicit OnRondo(uint32_t count) : log_(count), ids_(count) {}

    Log& log() { return log_; }

    /// A turn, with `body` at its end as a handler would be. The time of the turn is asked for
    /// once, as in a handler.
    template <class Body>
    void turn(Body&& body) {
        loop_.poll();
        now_ = loop_.now();
        body();
    }
    /// Does now what has been put off until the next turn.
    void settle() { loop_.prepare(); }
    /// A turn in which timers are due.
    void fire() { loop_.poll(how == Turn::whole ? rondo::Phases::all : rondo::Phases::timers); }
    /// Turns until no timer is left.
    void run() { loop_.run(); }

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < ids_.size(); ++i) start(i, rondo::Duration(when[i]));
    }
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) move(i, rondo::Duration(when[i]));
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) {
            if (!loop_.cancel(ids_[i])) fail("cancel");
        }
    }

    void start_idle(int64_t timeout) {
        timeout_ = rondo::Duration(timeout);
        for (uint32_t i = 0; i < ids_.size(); ++i) start(i, timeout_);
    }
    void touch(std::span<const uint32_t> picks) {
        for (const uint32_t i : picks) move(i, timeout_);
    }

private:
    void start(uint32_t i, rondo::Duration delay) {
        const auto handler = [this, i] { log_.fired(i); };
        if constexpr (form == Form::instant) {
            ids_[i] = loop_.at(now_ + delay, handler);
        } else {
            ids_[i] = loop_.after(delay, handler);
        }
        if (!ids_[i]) fail("at");
    }
    void move(uint32_t i, rondo::Duration delay) {
        bool moved = false;
        if constexpr (form == Form::instant) {
            moved = loop_.rearm(ids_[i], now_ + delay);
        } else {
            moved = loop_.rearm(ids_[i], delay);
        }
        if (!moved) fail("rearm");
    }

    Log log_;
    rondo::EventLoop<rondo::EpollPoller> loop_;
    rondo::Instant now_;
    rondo::Duration timeout_;
    std::vector<rondo::TimerId> ids_;
};

}  // namespace bench
