// SPDX-License-Identifier: BSL-1.0
#pragma once
// Loops on several threads: rondo::LoopGroup beside hand-written epoll loops, one per thread. Each
// thread has a ring of its own, is bound to a processor of its own, and puts its own tokens in. The
// time is from the first thread's start to the last one's end, for the events of all.

#include <algorithm>
#include <barrier>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include <rondo/thread/loop_group.hpp>

#include "bench/scaling/loops.hpp"

namespace bench {

/// When a thread was at work.
struct alignas(64) Shift {
    double start = 0;
    double end = 0;
};

using Rings = std::vector<std::unique_ptr<Ring>>;

inline Sample sample_of(const Rings& rings, const std::vector<Shift>& shifts) {
    double start = shifts[0].start;
    double end = shifts[0].end;
    uint64_t handled = 0;
    uint64_t checksum = 0;
    for (size_t i = 0; i < rings.size(); ++i) {
        start = std::min(start, shifts[i].start);
        end = std::max(end, shifts[i].end);
        handled += rings[i]->handled();
        checksum += rings[i]->checksum();
    }
    return {(end - start) / static_cast<double>(handled), checksum};
}

/// The baseline: threads that start together when all have registered their descriptors.
inline Sample run_by_hand(const Rings& rings, uint64_t hops, const Processors& processors) {
    std::vector<Shift> shifts(rings.size());
    std::barrier ready(static_cast<std::ptrdiff_t>(rings.size()));
    std::vector<std::thread> threads;
    for (size_t i = 0; i < rings.size(); ++i) {
        threads.emplace_back([&, i] {
            processors.pin(static_cast<int>(i));
            OnRaw loop(*rings[i]);
            ready.arrive_and_wait();
            shifts[i].start = now_ns();
            rings[i]->launch(hops);
            loop.run();
            shifts[i].end = now_ns();
        });
    }
    for (std::thread& each : threads) each.join();
    return sample_of(rings, shifts);
}

/// What a thread of the group owns. It starts when it is told by post().
class Worker {
public:
    Worker(RondoLoop& loop, Ring& ring, Shift& shift, std::latch& done)
        : ring_(ring), shift_(shift) {
        ring_.at_end([&shift, &done] {
            shift.end = now_ns();
            done.count_down();
        });
        watch_all(loop, ring_);
    }

    void start(uint64_t hops) {
        shift_.start = now_ns();
        ring_.launch(hops);
    }

private:
    Ring& ring_;
    Shift& shift_;
};

inline Sample run_group(const Rings& rings, uint64_t hops) {
    std::vector<Shift> shifts(rings.size());
    std::latch done(static_cast<std::ptrdiff_t>(rings.size()));
    rondo::LoopGroup<RondoLoop, Worker> group;
    using Made = rondo::Result<std::unique_ptr<Worker>>;
    const auto make = [&](RondoLoop& loop, size_t i) -> Made {
        return std::make_unique<Worker>(loop, *rings[i], shifts[i], done);
    };
    group.start(make, {.threads = rings.size(), .pin = true}).value();
    for (size_t i = 0; i < rings.size(); ++i) {
        const auto status = group.post(i, [hops](Worker& worker) { worker.start(hops); });
        if (status != rondo::PostStatus::queued) fail("LoopGroup::post");
    }
    done.wait();
    group.stop();
    group.join();
    return sample_of(rings, shifts);
}

/// Must be called by a thread that may run on all processors.
inline void compare_groups(Report& report, size_t threads, const Processors& processors) {
    const std::string params = std::to_string(threads) + (threads == 1 ? " thread" : " threads");
    if (threads > 1 && !processors.two()) {
        if (report.options().wants(params)) {
            report.not_available(params, "", "needs a processor each");
        }
        return;
    }
    Rings rings;
    for (size_t i = 0; i < threads; ++i) rings.push_back(std::make_unique<Ring>(1000, 10, 1000));
    const uint64_t hops = report.options().size(20000U, 5000U, 500U);
    report.compare(params, {{"raw", [&] { return run_by_hand(rings, hops, processors); }},
                            {"rondo-epoll", [&] { return run_group(rings, hops); }, 1 / 0.97}});
}

}  // namespace bench
