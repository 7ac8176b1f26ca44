// SPDX-License-Identifier: BSL-1.0
#pragma once
// Who takes part in which variant. A contender is made anew for each run, with all descriptors of
// the ring registered: if several held them at once, each byte would wake all of their epoll sets.

// libev comes before libevent, see bench/libev.hpp.
#if RONDO_BENCH_HAS_LIBEV
#include "bench/pipes/libev.hpp"
#endif

#if RONDO_BENCH_HAS_LIBEVENT
#include "bench/pipes/libevent.hpp"
#endif

#if RONDO_BENCH_HAS_LIBUV
#include "bench/pipes/libuv.hpp"
#endif

#if RONDO_BENCH_HAS_ASIO
#include "bench/pipes/asio.hpp"
#endif

#include <memory>
#include <rondo/backend/epoll_poller.hpp>
#include <rondo/backend/poll_poller.hpp>

#include "bench/pipes/raw.hpp"
#include "bench/pipes/ring.hpp"
#include "bench/pipes/rondo.hpp"

namespace bench {

/// A contender that is ready to run. It returns from run() after the last pass, and can run again.
class Runner {
public:
    Runner() = default;
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    virtual ~Runner() = default;
    virtual void run() = 0;
};

template <class Loop>
class RunnerOf : public Runner {
public:
    explicit RunnerOf(Ring& ring) : loop_(ring) {}
    void run() override { loop_.run(); }

private:
    Loop loop_;
};

struct Entry {
    const char* name;
    std::unique_ptr<Runner> (*make)(Ring&);
};

template <class Loop>
Entry entry(const char* name) {
    return {name, [](Ring& ring) -> std::unique_ptr<Runner> {
                return std::make_unique<RunnerOf<Loop>>(ring);
            }};
}

/// The baseline first. Those that have no interest in writing to switch are missing in the toggle.
template <Variant variant>
std::vector<Entry> entries() {
    constexpr bool changes = variant == Variant::toggle || variant == Variant::reply;
    std::vector<Entry> all{entry<Raw<variant>>("raw")};
    if constexpr (changes) {
        all.push_back(entry<RawMerged<variant>>("raw-merged"));
        all.push_back(entry<RawEdge<variant>>("raw-edge"));
    }
    all.push_back(entry<OnRondo<rondo::EpollPoller, variant>>("rondo-epoll"));
    if constexpr (variant == Variant::reply) {
        all.push_back(entry<OnRondoEdge<rondo::EpollPoller>>("rondo-edge"));
    }
    all.push_back(entry<OnRondo<rondo::PollPoller, variant>>("rondo-poll"));
#if RONDO_BENCH_HAS_LIBEV
    all.push_back(entry<OnLibev<variant>>("libev"));
    if constexpr (variant == Variant::timer) {
        all.push_back(entry<OnLibev<variant, Rearm::lazily>>("libev-lazy"));
    }
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    all.push_back(entry<OnLibevent<variant>>("libevent"));
    if constexpr (changes) {
        all.push_back(entry<OnLibevent<variant, Changes::listed>>("libevent-list"));
    }
    if constexpr (variant == Variant::reply) all.push_back(entry<OnLibeventEdge>("libevent-edge"));
#endif
#if RONDO_BENCH_HAS_LIBUV
    all.push_back(entry<OnLibuv<variant>>("libuv"));
    if constexpr (variant != Variant::toggle) {
        all.push_back(entry<OnLibuvRead<variant>>("libuv-read"));
    }
#endif
#if RONDO_BENCH_HAS_ASIO
    if constexpr (variant != Variant::toggle) {
        all.push_back(entry<OnAsio<variant>>("asio"));
        all.push_back(entry<OnAsioRead<variant>>("asio-read"));
    }
#endif
    return all;
}

inline std::vector<Entry> entries(Variant variant) {
    switch (variant) {
        case Variant::plain:
            return entries<Variant::plain>();
        case Variant::timer:
            return entries<Variant::timer>();
        case Variant::toggle:
            return entries<Variant::toggle>();
        default:
            return entries<Variant::reply>();
    }
}

}  // namespace bench
