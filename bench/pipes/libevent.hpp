// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on libevent: persistent events in arrays of ours, plain callbacks, a base without locks.
// The interest in writing is an event of its own, added and deleted; with the change list, which
// its documentation recommends where no descriptor is a duplicate, the changes are merged before
// the wait. An idle timeout is that of a persistent event, which libevent re-arms by itself, and a
// "common timeout", its O(1) queue for many timeouts of the same length.

#include <event2/event.h>
#include <event2/event_struct.h>

#include "bench/pipes/ring.hpp"

namespace bench {

enum class Changes { at_once, listed };

/// A base and what it is asked to be.
class EventBase {
public:
    explicit EventBase(Changes changes) {
        event_config* const config = event_config_new();
        if (config == nullptr) fail("event_config_new");
        int flags = EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV;
        if (changes == Changes::listed) flags |= EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST;
        must(event_config_set_flag(config, flags), "event_config_set_flag");
        base_ = event_base_new_with_config(config);
        event_config_free(config);
        if (base_ == nullptr) fail("event_base_new_with_config");
    }
    EventBase(const EventBase&) = delete;
    EventBase& operator=(const EventBase&) = delete;
    ~EventBase() { event_base_free(base_); }

    event_base* get() const { return base_; }
    void run() { must(event_base_dispatch(base_), "event_base_dispatch"); }
    void stop() { must(event_base_loopbreak(base_), "event_base_loopbreak"); }

private:
    event_base* base_ = nullptr;
};

template <Variant variant, Changes changes = Changes::at_once>
class OnLibevent {
public:
    explicit OnLibevent(Ring& ring)
        : ring_(ring),
          base_(changes),
          nodes_(ring.size()),
          writing_(changes_interest ? ring.size() : 0) {
        if constexpr (variant == Variant::timer) {
            const timeval idle_time{idle_seconds, 0};
            timeout_ = event_base_init_common_timeout(base_.get(), &idle_time);
            if (timeout_ == nullptr) fail("event_base_init_common_timeout");
        }
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) watch(pipe);
    }
    OnLibevent(const OnLibevent&) = delete;
    OnLibevent& operator=(const OnLibevent&) = delete;
    ~OnLibevent() {
        for (Node& node : nodes_) event_del(&node.reading);
        for (event& writing : writing_) event_del(&writing);
    }

    void run() { base_.run(); }

private:
    static constexpr bool changes_interest =
        variant == Variant::toggle || variant == Variant::reply;
    struct Node {
        event reading;
        OnLibevent* owner;
        int pipe;
    };

    void watch(int pipe) {
        const auto at = static_cast<size_t>(pipe);
        Node& node = nodes_[at];
        node.owner = this;
        node.pipe = pipe;
        must(event_assign(&node.reading, base_.get(), ring_.watched(pipe), EV_READ | EV_PERSIST,
                          on_readable, &node),
             "event_assign");
        must(event_add(&node.reading, timeout_), "event_add");
        if constexpr (changes_interest) {
            must(event_assign(&writing_[at], base_.get(), ring_.watched(pipe),
                              EV_WRITE | EV_PERSIST, on_writable, &node),
                 "event_assign");
        }
    }

    static void on_readable(evutil_socket_t, short what, void* context) {
        const Node& node = *static_cast<Node*>(context);
        OnLibevent& self = *node.owner;
        [[maybe_unused]] const auto at = static_cast<size_t>(node.pipe);
        if constexpr (variant == Variant::reply) {
            self.ring_.take(node.pipe);
            must(event_add(&self.writing_[at], nullptr), "event_add");
            return;
        }
        if (variant == Variant::timer && (what & EV_TIMEOUT) != 0) idle_too_long();
        if constexpr (variant == Variant::toggle) {
            must(event_add(&self.writing_[at], nullptr), "event_add");
            must(event_del(&self.writing_[at]), "event_del");
        }
        if (!self.ring_.pass(node.pipe)) self.base_.stop();
    }

    static void on_writable(evutil_socket_t, short, void* context) {
        const Node& node = *static_cast<Node*>(context);
        OnLibevent& self = *node.owner;
        must(event_del(&self.writing_[static_cast<size_t>(node.pipe)]), "event_del");
        if (!self.ring_.give(node.pipe)) self.base_.stop();
    }

    Ring& ring_;
    EventBase base_;
    std::vector<Node> nodes_;
    std::vector<event> writing_;
    const timeval* timeout_ = nullptr;
};

/// The reply with edge-triggered events (EV_ET): registered once for both directions, readiness
/// kept in user space, as in raw-edge and rondo-edge.
class OnLibeventEdge {
public:
    explicit OnLibeventEdge(Ring& ring)
        : ring_(ring), base_(Changes::at_once), nodes_(ring.size()) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            Node& node = nodes_[static_cast<size_t>(pipe)];
            node.owner = this;
            node.pipe = pipe;
            must(event_assign(&node.both, base_.get(), ring.watched(pipe),
                              EV_READ | EV_WRITE | EV_ET | EV_PERSIST, on_ready, &node),
                 "event_assign");
            must(event_add(&node.both, nullptr), "event_add");
        }
    }
    OnLibeventEdge(const OnLibeventEdge&) = delete;
    OnLibeventEdge& operator=(const OnLibeventEdge&) = delete;
    ~OnLibeventEdge() {
        for (Node& node : nodes_) event_del(&node.both);
    }

    void run() { base_.run(); }

private:
    struct Node {
        event both;
        OnLibeventEdge* owner;
        int pipe;
        bool can_write;
        bool wants_write;
    };

    static void on_ready(evutil_socket_t, short what, void* context) {
        Node& node = *static_cast<Node*>(context);
        OnLibeventEdge& self = *node.owner;
        if ((what & EV_WRITE) != 0) node.can_write = true;
        if ((what & EV_READ) != 0) {
            self.ring_.take(node.pipe);
            node.wants_write = true;
        }
        if (!node.can_write || !node.wants_write) return;
        node.wants_write = false;
        if (!self.ring_.give(node.pipe)) self.base_.stop();
    }

    Ring& ring_;
    EventBase base_;
    std::vector<Node> nodes_;
};

}  // namespace bench
