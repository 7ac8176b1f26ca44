// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on libev: watchers in arrays of ours, plain callbacks. Its manual's ways: the interest
// in writing is a watcher of its own, started and stopped, and libev merges the changes before it
// waits; an idle timer is moved by ev_timer_again() ("Be smart about timeouts", 2), or the event
// only notes the time and the timer looks at it when it fires (3).

#include <cstring>

#include "bench/libev.hpp"
#include "bench/pipes/ring.hpp"

namespace bench {

enum class Rearm { at_once, lazily };

template <Variant variant, Rearm rearm = Rearm::at_once>
class OnLibev {
public:
    explicit OnLibev(Ring& ring)
        : ring_(ring),
          loop_(ev_loop_new(flags)),
          reading_(ring.size()),
          writing_(changes_interest ? ring.size() : 0),
          timers_(variant == Variant::timer ? ring.size() : 0),
          last_(rearm == Rearm::lazily ? ring.size() : 0) {
        if (loop_ == nullptr) fail("ev_loop_new");
        ev_set_userdata(loop_, this);
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) watch(pipe);
    }
    OnLibev(const OnLibev&) = delete;
    OnLibev& operator=(const OnLibev&) = delete;
    ~OnLibev() { ev_loop_destroy(loop_); }

    void run() { ev_run(loop_, 0); }

private:
    static constexpr unsigned flags =
        static_cast<unsigned>(EVBACKEND_EPOLL) | static_cast<unsigned>(EVFLAG_NOENV);
    static constexpr bool changes_interest =
        variant == Variant::toggle || variant == Variant::reply;

    void watch(int pipe) {
        const auto at = static_cast<size_t>(pipe);
        ev_io* const reading = &reading_[at];
        ev_io_init(reading, on_readable, ring_.watched(pipe), libev_read);
        ev_io_start(loop_, reading);
        if constexpr (changes_interest) {
            ev_io* const writing = &writing_[at];
            ev_io_init(writing, on_writable, ring_.watched(pipe), libev_write);
        }
        if constexpr (variant == Variant::timer) {
            ev_timer* const timer = &timers_[at];
            if constexpr (rearm == Rearm::lazily) {
                last_[at] = ev_now(loop_);
                ev_timer_init(timer, look_if_idle, idle_seconds, 0.0);
                ev_timer_start(loop_, timer);
            } else {
                ev_timer_init(timer, on_idle, 0.0, idle_seconds);
                ev_timer_again(loop_, timer);
            }
        }
    }

    static OnLibev& owner(struct ev_loop* loop) {
        return *static_cast<OnLibev*>(ev_userdata(loop));
    }

    static void on_readable(struct ev_loop* loop, ev_io* watcher, int) {
        OnLibev& self = owner(loop);
        const auto at = static_cast<size_t>(watcher - self.reading_.data());
        const int pipe = static_cast<int>(at);
        if constexpr (variant == Variant::reply) {
            self.ring_.take(pipe);
            ev_io_start(loop, &self.writing_[at]);
            return;
        }
        if constexpr (variant == Variant::timer) {
            if constexpr (rearm == Rearm::lazily) {
                self.last_[at] = ev_now(loop);
            } else {
                ev_timer_again(loop, &self.timers_[at]);
            }
        }
        if constexpr (variant == Variant::toggle) {
            ev_io_start(loop, &self.writing_[at]);
            ev_io_stop(loop, &self.writing_[at]);
        }
        if (!self.ring_.pass(pipe)) ev_break(loop, EVBREAK_ALL);
    }

    static void on_writable(struct ev_loop* loop, ev_io* watcher, int) {
        OnLibev& self = owner(loop);
        ev_io_stop(loop, watcher);
        if (self.ring_.give(static_cast<int>(watcher - self.writing_.data()))) return;
        ev_break(loop, EVBREAK_ALL);
    }

    static void on_idle(struct ev_loop*, ev_timer*, int) { idle_too_long(); }

    static void look_if_idle(struct ev_loop* loop, ev_timer* timer, int) {
        const OnLibev& self = owner(loop);
        const auto at = static_cast<size_t>(timer - self.timers_.data());
        const ev_tstamp left = self.last_[at] + idle_seconds - ev_now(loop);
        if (left <= 0) idle_too_long();
        ev_timer_set(timer, left, 0.0);
        ev_timer_start(loop, timer);
    }

    Ring& ring_;
    struct ev_loop* const loop_;
    std::vector<ev_io> reading_;
    std::vector<ev_io> writing_;
    std::vector<ev_timer> timers_;
    std::vector<ev_tstamp> last_;
};

}  // namespace bench
