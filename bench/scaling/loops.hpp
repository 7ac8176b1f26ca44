// SPDX-License-Identifier: BSL-1.0
#pragma once
// The loops that watch a ring: the hand-written one, rondo, and what is made of them and the
// libraries in libraries.hpp. Each watches all eventfds for reading, level-triggered where the
// library has a choice, with a handler that holds a pointer to its station. run() returns when the
// last token was read.

#include <sys/epoll.h>

#include <string>
#include <vector>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include "bench/harness.hpp"
#include "bench/scaling/libraries.hpp"
#include "bench/scaling/ring.hpp"

namespace bench {

/// Nothing between the kernel and the work: the event carries the station, and no handler is looked
/// up or called through a pointer.
class OnRaw {
public:
    explicit OnRaw(Ring& ring) : events_(1024) {
        for (Station& each : ring.stations()) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = &each;
            must(::epoll_ctl(set_, EPOLL_CTL_ADD, each.fd, &event), "epoll_ctl");
        }
    }
    OnRaw(const OnRaw&) = delete;
    OnRaw& operator=(const OnRaw&) = delete;
    ~OnRaw() { ::close(set_); }

    void run() {
        for (;;) {
            const int count = must(::epoll_wait(set_, events_.data(), 1024, -1), "epoll_wait");
            for (const epoll_event* event = events_.data(); event != events_.data() + count;
                 ++event) {
                if ((event->events & EPOLLIN) == 0) continue;
                if (!static_cast<Station*>(event->data.ptr)->pass()) return;
            }
        }
    }

private:
    int set_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    std::vector<epoll_event> events_;
};

using RondoLoop = rondo::EventLoop<rondo::EpollPoller>;

inline void watch_all(RondoLoop& loop, Ring& ring) {
    for (Station& each : ring.stations()) {
        loop.add(each.fd, rondo::Interest::read,
                 [station = &each] {
                     if (!station->pass()) station->ring->end();
                 })
            .value();
    }
}

class OnRondo {
public:
    explicit OnRondo(Ring& ring) {
        ring.at_end([this] { loop_.stop(); });
        watch_all(loop_, ring);
    }

    void run() { loop_.run(); }

private:
    RondoLoop loop_;
};

/// Makes the loop anew in every round, so that no descriptor is ever in the sets of two: the kernel
/// would tell both. A tenth of the work comes before the clock starts; some libraries register
/// their descriptors only then.
template <class Loop>
Contender watcher(const char* name, Ring& ring, uint64_t hops, double target = 0) {
    const auto run = [&ring, hops] {
        Loop loop(ring);
        ring.launch(hops / 10 + 1);
        loop.run();
        ring.launch(hops);
        const double start = now_ns();
        loop.run();
        const double end = now_ns();
        return Sample{(end - start) / static_cast<double>(ring.handled()), ring.checksum()};
    };
    return {name, run, target};
}

/// All there are, the baseline first. `target` is rondo's.
inline std::vector<Contender> watchers(Ring& ring, uint64_t hops, double target) {
    std::vector<Contender> all{watcher<OnRaw>("raw", ring, hops),
                               watcher<OnRondo>("rondo-epoll", ring, hops, target)};
#if RONDO_BENCH_HAS_LIBEV
    all.push_back(watcher<OnLibev>("libev", ring, hops));
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    all.push_back(watcher<OnLibevent>("libevent", ring, hops));
#endif
#if RONDO_BENCH_HAS_LIBUV
    all.push_back(watcher<OnLibuv>("libuv", ring, hops));
#endif
#if RONDO_BENCH_HAS_ASIO
    all.push_back(watcher<OnAsio<AsioForm::wait>>("asio", ring, hops));
    all.push_back(watcher<OnAsio<AsioForm::read>>("asio-read", ring, hops));
#endif
    return all;
}

/// Names the libraries that take no part.
inline void tell_missing(Report& report) {
    if (!RONDO_BENCH_HAS_LIBEV) report.missing("libev", "libev-dev");
    if (!RONDO_BENCH_HAS_LIBEVENT) report.missing("libevent", "libevent-dev");
    if (!RONDO_BENCH_HAS_LIBUV) report.missing("libuv", "libuv1-dev");
    if (!RONDO_BENCH_HAS_ASIO) report.missing("asio", "libasio-dev");
}

}  // namespace bench
