// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on rondo, with a poller of choice. One handler per descriptor, which is told the
// readiness where that matters; changes of interest are merged by the loop, and an idle timer is
// moved to a deadline that is computed from the time of the turn.

#include <rondo/loop/event_loop.hpp>

#include "bench/pipes/ring.hpp"

namespace bench {

template <class Poller, Variant variant>
class OnRondo {
public:
    explicit OnRondo(Ring& ring)
        : ring_(ring), timers_(variant == Variant::timer ? ring.size() : 0) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) watch(pipe);
    }

    void run() { loop_.run(); }

private:
    using Interest = rondo::Interest;
    using Readiness = rondo::Readiness;
    static constexpr auto idle_time = rondo::Duration::seconds(idle_seconds);

    void watch(int pipe) {
        const int fd = ring_.watched(pipe);
        if constexpr (variant == Variant::reply) {
            loop_
                .add(fd, Interest::read,
                     [this, pipe](int of, Readiness ready) { reply(pipe, of, ready); })
                .value();
        } else if constexpr (variant == Variant::toggle) {
            loop_
                .add(fd, Interest::read,
                     [this, pipe, fd] {
                         loop_.modify(fd, Interest::read | Interest::write);
                         loop_.modify(fd, Interest::read);
                         pass(pipe);
                     })
                .value();
        } else if constexpr (variant == Variant::timer) {
            timers_[static_cast<size_t>(pipe)] = loop_.after(idle_time, [] { idle_too_long(); });
            loop_
                .add(fd, Interest::read,
                     [this, pipe] {
                         loop_.rearm(timers_[static_cast<size_t>(pipe)], loop_.now() + idle_time);
                         pass(pipe);
                     })
                .value();
        } else {
            loop_.add(fd, Interest::read, [this, pipe] { pass(pipe); }).value();
        }
    }

    [[gnu::always_inline]] void pass(int pipe) {
        if (!ring_.pass(pipe)) loop_.stop();
    }

    void reply(int pipe, int fd, Readiness ready) {
        if (any(ready, Readiness::readable)) {
            ring_.take(pipe);
            loop_.modify(fd, Interest::read | Interest::write);
        }
        if (!any(ready, Readiness::writable)) return;
        loop_.modify(fd, Interest::read);
        if (!ring_.give(pipe)) loop_.stop();
    }

    rondo::EventLoop<Poller> loop_;
    Ring& ring_;
    std::vector<rondo::TimerId> timers_;
};

/// The reply as rondo's Connection does it: registered edge-triggered, the readiness kept in user
/// space, so that what can be written at once needs neither a change of interest nor an event.
template <class Poller>
class OnRondoEdge {
public:
    explicit OnRondoEdge(Ring& ring) : ring_(ring), states_(ring.size()) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            loop_
                .add(ring.watched(pipe), Interest::read | Interest::write | Interest::edge,
                     [this, pipe](Readiness ready) { handle(pipe, ready); })
                .value();
        }
    }

    void run() { loop_.run(); }

private:
    using Interest = rondo::Interest;
    using Readiness = rondo::Readiness;
    struct State {
        bool can_write = false;
        bool wants_write = false;
    };

    void handle(int pipe, Readiness ready) {
        State& state = states_[static_cast<size_t>(pipe)];
        if (any(ready, Readiness::writable)) state.can_write = true;
        if (any(ready, Readiness::readable)) {
            ring_.take(pipe);
            state.wants_write = true;
        }
        if (!state.can_write || !state.wants_write) return;
        state.wants_write = false;
        if (!ring_.give(pipe)) loop_.stop();
    }

    rondo::EventLoop<Poller> loop_;
    Ring& ring_;
    std::vector<State> states_;
};

}  // namespace bench
