// SPDX-License-Identifier: BSL-1.0
#pragma once
// The threads that post, and what they post. Each has a lane of its own and a door of its own.
//
// A producer that is ahead by its share of 20 pages, of 1024 closures each, waits until half of it
// is done: without that bound the figures would be those of page faults, and with it all memory is
// warm after the first round. The loop wakes it once, and only when it has announced that it waits:
// one call of futex(2) per some thousand closures, the same for all contenders.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "bench/system.hpp"

namespace bench {

inline constexpr uint32_t page = 1024;  // closures
inline constexpr size_t most_producers = 2;

/// Calls back, on the loop's thread, when the last closure of the last lane has run.
struct Ending {
    void (*call)(void* loop);
    void* loop;
    size_t lanes_left = 0;
};

/// What one producer has sent and the loop has run. It is made public once per page, so that the
/// threads don't quarrel about it.
class Lane {
public:
    /// On the loop's thread, before a round of so many pages.
    void expect(uint64_t pages, Ending& ending) {
        goal_ += pages * page;
        total_ = 0;
        ending_ = &ending;
    }
    /// By each closure.
    void ran(uint64_t value) {
        total_ += value;
        if (++done_ % page == 0) publish();
    }
    uint64_t total() const { return total_; }

    /// By the producer after each page: waits if more than `share` pages wait.
    void hold_back(uint32_t sent, uint32_t share) {
        if (sent - seen_.load(std::memory_order_acquire) <= share) return;
        const uint32_t enough = sent - share / 2;
        while (seen_.load() < enough) {
            wanted_.store(enough);
            // Either the loop finds the wish after its next page, or that page is seen here.
            if (seen_.load() < enough) wanted_.wait(enough);
        }
    }

private:
    void publish() {
        const auto pages = static_cast<uint32_t>(done_ / page);
        seen_.store(pages);
        const uint32_t wanted = wanted_.load();
        if (wanted != 0 && wanted <= pages) {
            wanted_.store(0);
            wanted_.notify_one();
        }
        if (done_ == goal_ && --ending_->lanes_left == 0) ending_->call(ending_->loop);
    }

    alignas(64) uint64_t done_ = 0;
    uint64_t total_ = 0;
    uint64_t goal_ = 0;
    Ending* ending_ = nullptr;
    alignas(64) std::atomic<uint32_t> seen_{0};  // pages
    std::atomic<uint32_t> wanted_{0};            // of them, by a producer that waits; 0: none waits
};

/// The closure.
struct Work {
    Lane* lane;
    uint64_t value;

    void operator()() const { lane->ran(value); }
};
static_assert(sizeof(Work) == 16);

/// What a round of it is.
struct Plan {
    size_t producers;
    uint32_t pages;  // of each
    const Processors& processors;

    uint64_t posts() const { return uint64_t{producers} * pages * page; }
};

/// Threads that post, each through its copy of the door, when a round starts. All share one
/// processor.
///
/// A round ends when so many closures have run, so their number is no check. The checksum is made
/// of the values that they brought.
template <class Door>
class Producers {
public:
    Producers(const Plan& plan, const Door& door) : plan_(plan) {
        for (size_t i = 0; i < plan.producers; ++i) {
            threads_.emplace_back(
                [this, own = door, lane = &lanes_[i]]() mutable { work(own, *lane); });
        }
    }
    Producers(const Producers&) = delete;
    Producers& operator=(const Producers&) = delete;
    ~Producers() {
        last_ = true;
        next_round();
        for (std::thread& thread : threads_) thread.join();
    }

    void start(Ending& ending) {
        ending.lanes_left = plan_.producers;
        for (size_t i = 0; i < plan_.producers; ++i) lanes_[i].expect(plan_.pages, ending);
        next_round();
    }
    uint64_t checksum() const {
        uint64_t sum = 0;
        for (size_t i = 0; i < plan_.producers; ++i) sum = sum * 31 + lanes_[i].total();
        return sum;
    }

private:
    static constexpr uint32_t most_waiting = 20;  // pages

    void next_round() {
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
    }

    void work(Door& door, Lane& lane) {
        plan_.processors.pin(1);
        const uint32_t share = most_waiting / static_cast<uint32_t>(plan_.producers);
        uint32_t sent = 0;
        for (uint32_t round = 0;; ++round) {
            round_.wait(round, std::memory_order_acquire);
            if (last_) return;
            uint64_t value = 0;
            for (uint32_t pages = 0; pages < plan_.pages; ++pages) {
                for (uint32_t i = 0; i < page; ++i) door.post(Work{&lane, value++});
                lane.hold_back(++sent, share);
            }
        }
    }

    Plan plan_;
    std::array<Lane, most_producers> lanes_;
    alignas(64) std::atomic<uint32_t> round_{0};
    bool last_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace bench
