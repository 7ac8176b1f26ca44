// SPDX-License-Identifier: BSL-1.0
#pragma once
// The loops that a careful programmer writes by hand, for this work and no other. Events are taken
// in batches of up to 1024, as libuv does; the libraries grow theirs, but for asio, whose hold 128.

#include <sys/epoll.h>
#include <time.h>

#include "bench/pipes/ring.hpp"

namespace bench {

/// An epoll set of the descriptors of a ring.
class EpollSet {
public:
    EpollSet(const Ring& ring, uint32_t events)
        : ring_(ring), set_(must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) control(EPOLL_CTL_ADD, pipe, events);
    }
    EpollSet(const EpollSet&) = delete;
    EpollSet& operator=(const EpollSet&) = delete;
    ~EpollSet() { ::close(set_); }

    void change(int pipe, uint32_t events) { control(EPOLL_CTL_MOD, pipe, events); }

    /// Returns how many events there are.
    int wait(int timeout_ms) {
        return must(::epoll_wait(set_, events_, batch, timeout_ms), "epoll_wait");
    }
    const epoll_event* events() const { return events_; }

private:
    static constexpr int batch = 1024;

    void control(int operation, int pipe, uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.u32 = static_cast<uint32_t>(pipe);
        must(::epoll_ctl(set_, operation, ring_.watched(pipe), &event), "epoll_ctl");
    }

    const Ring& ring_;
    const int set_;
    epoll_event events_[batch];
};

/// The baseline: level-triggered, every change of interest is a system call. Idle timeouts are done
/// as such loops do them: an event notes the time of its turn, and once a second all are looked at.
template <Variant variant>
class Raw {
public:
    explicit Raw(Ring& ring)
        : ring_(ring),
          set_(ring, EPOLLIN),
          last_(variant == Variant::timer ? ring.size() : 0, clock_ns()) {}

    void run() {
        for (bool more = true; more;) {
            const int count = set_.wait(variant == Variant::timer ? 1000 : -1);
            if constexpr (variant == Variant::timer) look_at_the_clock();
            for (int i = 0; i < count && more; ++i) more = handle(set_.events()[i]);
        }
    }

private:
    bool handle(const epoll_event& event) {
        const int pipe = static_cast<int>(event.data.u32);
        if constexpr (variant == Variant::reply) return reply(pipe, event.events);
        if ((event.events & EPOLLIN) == 0) return true;
        if constexpr (variant == Variant::timer) last_[static_cast<size_t>(pipe)] = now_;
        if constexpr (variant == Variant::toggle) {
            set_.change(pipe, EPOLLIN | EPOLLOUT);
            set_.change(pipe, EPOLLIN);
        }
        return ring_.pass(pipe);
    }

    bool reply(int pipe, uint32_t events) {
        if ((events & EPOLLIN) != 0) {
            ring_.take(pipe);
            set_.change(pipe, EPOLLIN | EPOLLOUT);
        }
        if ((events & EPOLLOUT) == 0) return true;
        set_.change(pipe, EPOLLIN);
        return ring_.give(pipe);
    }

    void look_at_the_clock() {
        now_ = clock_ns();
        if (now_ < next_look_) return;
        next_look_ = now_ + second;
        for (const int64_t last : last_) {
            if (now_ - last > idle_seconds * second) idle_too_long();
        }
    }

    static constexpr int64_t second = 1'000'000'000;
    static int64_t clock_ns() {
        timespec time{};
        must(::clock_gettime(CLOCK_MONOTONIC, &time), "clock_gettime");
        return time.tv_sec * second + time.tv_nsec;
    }

    Ring& ring_;
    EpollSet set_;
    std::vector<int64_t> last_;
    int64_t now_ = 0;
    int64_t next_look_ = 0;
};

/// Level-triggered too, but changes of interest are noted, and told before the wait if the interest
/// really differs then.
template <Variant variant>
class RawMerged {
public:
    explicit RawMerged(Ring& ring)
        : ring_(ring), set_(ring, EPOLLIN), interests_(ring.size()), changed_(ring.size()) {}

    void run() {
        for (bool more = true; more;) {
            tell_changes();
            const int count = set_.wait(-1);
            for (int i = 0; i < count && more; ++i) more = handle(set_.events()[i]);
        }
    }

private:
    struct Interests {
        uint32_t wanted = EPOLLIN;
        uint32_t told = EPOLLIN;
        bool noted = false;
    };

    bool handle(const epoll_event& event) {
        const int pipe = static_cast<int>(event.data.u32);
        if constexpr (variant == Variant::reply) return reply(pipe, event.events);
        if ((event.events & EPOLLIN) == 0) return true;
        want(pipe, EPOLLIN | EPOLLOUT);
        want(pipe, EPOLLIN);
        return ring_.pass(pipe);
    }

    bool reply(int pipe, uint32_t events) {
        if ((events & EPOLLIN) != 0) {
            ring_.take(pipe);
            want(pipe, EPOLLIN | EPOLLOUT);
        }
        if ((events & EPOLLOUT) == 0) return true;
        want(pipe, EPOLLIN);
        return ring_.give(pipe);
    }

    void want(int pipe, uint32_t events) {
        Interests& interests = interests_[static_cast<size_t>(pipe)];
        interests.wanted = events;
        if (interests.noted) return;
        interests.noted = true;
        changed_[count_++] = pipe;
    }

    void tell_changes() {
        for (size_t i = 0; i < count_; ++i) {
            Interests& interests = interests_[static_cast<size_t>(changed_[i])];
            interests.noted = false;
            if (interests.wanted == interests.told) continue;
            interests.told = interests.wanted;
            set_.change(changed_[i], interests.wanted);
        }
        count_ = 0;
    }

    Ring& ring_;
    EpollSet set_;
    std::vector<Interests> interests_;
    std::vector<int> changed_;
    size_t count_ = 0;
};

/// Edge-triggered: a descriptor is registered once for both directions, and what it is ready for
/// and what is wanted of it are kept in user space. A reply that could be written already needs no
/// event of its own.
template <Variant variant>
class RawEdge {
public:
    explicit RawEdge(Ring& ring)
        : ring_(ring),
          set_(ring, EPOLLIN | EPOLLOUT | static_cast<uint32_t>(EPOLLET)),
          states_(ring.size()) {}

    void run() {
        for (bool more = true; more;) {
            const int count = set_.wait(-1);
            // All of them, also after the last pass: what an edge tells, it tells once.
            for (int i = 0; i < count; ++i) more = handle(set_.events()[i]) && more;
        }
    }

private:
    struct State {
        bool can_write = false;
        bool wants_write = false;
    };

    bool handle(const epoll_event& event) {
        const int pipe = static_cast<int>(event.data.u32);
        State& state = states_[static_cast<size_t>(pipe)];
        if ((event.events & EPOLLOUT) != 0) state.can_write = true;
        if constexpr (variant == Variant::reply) {
            if ((event.events & EPOLLIN) != 0) {
                ring_.take(pipe);
                state.wants_write = true;
            }
            if (!state.can_write || !state.wants_write) return true;
            state.wants_write = false;
            return ring_.give(pipe);
        }
        if ((event.events & EPOLLIN) == 0) return true;
        // A change of interest is a store.
        state.wants_write = true;
        state.wants_write = false;
        return ring_.pass(pipe);
    }

    Ring& ring_;
    EpollSet set_;
    std::vector<State> states_;
};

}  // namespace bench
