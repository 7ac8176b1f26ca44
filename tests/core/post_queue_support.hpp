// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the two tests of the posting queue share: a Memory that counts and fails on demand, a queue
// of it, and a closure that counts its instances and calls.

#include <limits.h>
#include <stddef.h>

#include <atomic>

#include <rondo/core/post_queue.hpp>

namespace {

/// Counts what is held, and fails from a chosen allocation on.
struct Counted {
    static inline std::atomic<int> allocations = 0;
    static inline std::atomic<int> held = 0;
    static inline std::atomic<int> left = INT_MAX;

    static void* allocate(size_t size, size_t alignment) noexcept {
        if (left.load() == 0) return nullptr;
        --left;
        ++allocations;
        ++held;
        return rondo::Malloc::allocate(size, alignment);
    }
    static void release(void* address, size_t size, size_t alignment) noexcept {
        --held;
        rondo::Malloc::release(address, size, alignment);
    }
};

using rondo::PostStatus;
using Queue = rondo::detail::PostQueue<Counted>;
using Producer = Queue::Producer;

inline size_t run_queued(Queue& queue) {
    size_t count = 0;
    queue.take();
    while (queue.run_one()) ++count;
    return count;
}

/// Counts its instances and its calls; moves, doesn't copy.
struct Tracked {
    struct Counts {
        std::atomic<int> alive = 0;
        std::atomic<int> runs = 0;
    };
    Counts* counts;

    explicit Tracked(Counts& c) : counts(&c) { ++counts->alive; }
    Tracked(Tracked&& other) noexcept : counts(other.counts) { ++counts->alive; }
    ~Tracked() { --counts->alive; }
    void operator()() const { ++counts->runs; }
};

}  // namespace
