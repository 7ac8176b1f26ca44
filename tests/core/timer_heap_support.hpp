// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the tests of the timer heap share: counted memory, and the plainest thing that keeps the
// same promises, to compare any heap with.

#include <rondo/core/timer_heap.hpp>

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace rondo::test {

struct alignas(64) Record {
    uint64_t value;
};

/// Counts what is allocated, and fails from a chosen allocation on.
struct Counted {
    static inline int allocations = 0;
    static inline int held = 0;
    static inline size_t bytes = 0;
    static inline int left = INT_MAX;
    static inline bool misaligned = false;

    static void* allocate(size_t size, size_t alignment) noexcept {
        if (left == 0) return nullptr;
        --left;
        ++allocations;
        ++held;
        bytes += size;
        void* address = nullptr;  // of exactly this size, so that sanitizers see its end
        return posix_memalign(&address, alignment, size) == 0 ? address : nullptr;
    }
    static void release(void* address, size_t size, size_t alignment) noexcept {
        --held;
        bytes -= size;
        misaligned |= reinterpret_cast<uintptr_t>(address) % alignment != 0;
        free(address);
    }
};

template <class Heap>
uint32_t acquire(Heap& heap) {
    const auto [record, key] = heap.acquire();
    return record == nullptr ? Heap::npos : key.slot;
}

template <class Heap>
uint32_t add(Heap& heap, int64_t at) {
    const uint32_t slot = acquire(heap);
    REQUIRE(slot != Heap::npos);
    heap.schedule(slot, Instant(at));
    return slot;
}

template <class Heap>
std::vector<uint32_t> fetch(Heap& heap) {
    std::vector<uint32_t> slots;
    for (uint32_t slot = heap.next_due(); slot != Heap::npos; slot = heap.next_due()) {
        slots.push_back(slot);
    }
    return slots;
}

template <class Heap>
std::vector<uint32_t> take(Heap& heap, int64_t now) {
    heap.take_due(Instant(now));
    return fetch(heap);
}

/// The plainest thing that keeps the same promises.
class TimerModel {
public:
    using Order = std::pair<int64_t, uint64_t>;

    void schedule(uint32_t slot, int64_t at) {
        unschedule(slot);
        timers_[slot] = {Order{at, ++order_}, false};
        queue_.emplace(timers_[slot].order, slot);
    }
    bool unschedule(uint32_t slot) {
        const auto found = timers_.find(slot);
        if (found == timers_.end()) return false;
        if (!found->second.due) queue_.erase(found->second.order);
        timers_.erase(found);
        return true;
    }
    int64_t earliest() const { return queue_.empty() ? INT64_MAX : queue_.begin()->first.first; }
    size_t take(int64_t now) {
        due_.clear();
        while (!queue_.empty() && queue_.begin()->first.first <= now) {
            timers_[queue_.begin()->second].due = true;
            due_.push_back(queue_.begin()->second);
            queue_.erase(queue_.begin());
        }
        return due_.size();
    }
    uint32_t next() {
        while (!due_.empty()) {
            const uint32_t slot = due_.front();
            due_.erase(due_.begin());
            if (state(slot) != TimerState::due) continue;
            timers_.erase(slot);
            return slot;
        }
        return UINT32_MAX;
    }
    TimerState state(uint32_t slot) const {
        const auto found = timers_.find(slot);
        if (found == timers_.end()) return TimerState::idle;
        return found->second.due ? TimerState::due : TimerState::scheduled;
    }
    size_t size() const { return timers_.size(); }

private:
    struct Timer {
        Order order;
        bool due = false;
    };
    std::map<uint32_t, Timer> timers_;
    std::map<Order, uint32_t> queue_;
    std::vector<uint32_t> due_;
    uint64_t order_ = 0;
};

/// A random sequence of everything, both sides compared after each step.
template <class Heap>
void compare_with_model(uint32_t seed, uint32_t most, int64_t range, int steps) {
    std::mt19937 random(seed);
    const auto below = [&random](int64_t n) {
        return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
    };
    Heap heap;
    TimerModel model;
    std::vector<std::pair<uint32_t, TimerKey>> held;
    int64_t now = 0;
    for (int step = 0; step < steps; ++step) {
        const auto what = below(100);
        // Growing and shrinking by turns, so that sweeping and slot reuse both happen.
        const bool growing = (step / 3000) % 2 == 0;
        if (held.empty() || (what < (growing ? 30 : 8) && held.size() < most)) {
            const uint32_t slot = acquire(heap);
            REQUIRE(heap.state(slot) == TimerState::idle);
            heap.record(slot).value = slot * uint64_t{7919};
            held.emplace_back(slot, heap.key(slot));
            if (below(10) != 0) {
                const int64_t at = now + below(range);
                heap.schedule(slot, Instant(at));
                model.schedule(slot, at);
            }
            continue;
        }
        const auto index = static_cast<size_t>(below(static_cast<int64_t>(held.size())));
        const auto [slot, key] = held[index];
        REQUIRE(heap.live(key));
        REQUIRE(heap.record(slot).value == slot * uint64_t{7919});
        if (what < 50) {
            const int64_t at = now + below(range) - range / 10;
            step % 2 == 0 ? heap.schedule(slot, Instant(at)) : heap.reschedule(slot, Instant(at));
            model.schedule(slot, at);
            REQUIRE(heap.deadline(slot) == Instant(at));
        } else if (what < 65) {
            REQUIRE(heap.unschedule(slot) == model.unschedule(slot));
        } else if (what < 80) {
            REQUIRE(heap.unschedule(slot) == model.unschedule(slot));
            heap.release(slot);
            REQUIRE_FALSE(heap.live(key));
            held[index] = held.back();
            held.pop_back();
        } else if (what < 82 && !heap.due_left()) {
            now += below(range / 4 + 1);
            REQUIRE(heap.take_due(Instant(now)) == model.take(now));
        } else if (what < 90) {
            for (int64_t n = below(8); n > 0; --n) REQUIRE(heap.next_due() == model.next());
        } else {
            REQUIRE(heap.not_before() <= Instant(model.earliest()));
            REQUIRE(heap.earliest() == Instant(model.earliest()));
            REQUIRE(heap.not_before() == Instant(model.earliest()));
        }
        REQUIRE(heap.size() == model.size());
        if (!held.empty()) {
            const uint32_t any = held[static_cast<size_t>(random()) % held.size()].first;
            REQUIRE(heap.state(any) == model.state(any));
        }
    }
    while (heap.due_left()) REQUIRE(heap.next_due() == model.next());
    REQUIRE(heap.take_due(Instant::max()) == model.take(INT64_MAX));
    for (uint32_t slot = 0; slot != Heap::npos;) {
        slot = heap.next_due();
        REQUIRE(slot == model.next());
    }
    REQUIRE(heap.size() == 0);
}

}  // namespace rondo::test
