// SPDX-License-Identifier: BSL-1.0
#pragma once
// The nodes that a timer heap is made of, and putting a batch of them in order. The timers that are
// due in one turn are sorted, not popped one after the other: a pop costs a walk through the heap
// and a mispredicted branch or two, a pass of a radix sort about 2 ns.
//
// Few nodes are sorted by insertion, more by bytes from the lowest to the highest that differs, so
// no distribution of deadlines makes it slow and nothing is allocated: the caller lends as many
// nodes of scratch space as it sorts. <algorithm> would double what this header costs to compile.

#include <stddef.h>
#include <stdint.h>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// A timer in a heap, or in a list of due ones.
struct TimerNode {
    int64_t key;
    uint32_t slot;
    uint32_t at;  // while a due set is collected: the position; then the order of scheduling
};

static_assert(sizeof(TimerNode) == 16, "four timer nodes per cache line");

inline void insertion_sort(TimerNode* nodes, size_t count) noexcept {
    for (size_t i = 1; i < count; ++i) {
        const TimerNode node = nodes[i];
        size_t hole = i;
        for (; hole > 0 && node.key < nodes[hole - 1].key; --hole) nodes[hole] = nodes[hole - 1];
        nodes[hole] = node;
    }
}

// One stable pass: from `from` to `to`, by eight bits of the distance from `low`.
inline void radix_pass(const TimerNode* from, TimerNode* to, size_t count, uint64_t low,
                       int shift) noexcept {
    const auto digit = [low, shift](const TimerNode& node) noexcept {
        return ((static_cast<uint64_t>(node.key) - low) >> shift) & 255;
    };
    uint32_t next[256] = {};
    for (size_t i = 0; i < count; ++i) ++next[digit(from[i])];
    uint32_t start = 0;
    for (uint32_t& entry : next) {
        const uint32_t here = entry;
        entry = start;
        start += here;
    }
    for (size_t i = 0; i < count; ++i) to[next[digit(from[i])]++] = from[i];
}

/// Sorts `count` nodes by key. `scratch` has room for as many.
[[gnu::noinline]] inline void sort_nodes(TimerNode* nodes, TimerNode* scratch,
                                         size_t count) noexcept {
    if (count <= 40) return insertion_sort(nodes, count);  // measured: equal at about 40
    int64_t low = nodes[0].key;
    int64_t high = low;
    for (size_t i = 1; i < count; ++i) {
        low = nodes[i].key < low ? nodes[i].key : low;
        high = nodes[i].key > high ? nodes[i].key : high;
    }
    const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    TimerNode* from = nodes;
    TimerNode* to = scratch;
    for (int shift = 0; shift < 64 && (range >> shift) != 0; shift += 8) {
        radix_pass(from, to, count, static_cast<uint64_t>(low), shift);
        TimerNode* const sorted = to;
        to = from;
        from = sorted;
    }
    if (from == nodes) return;
    for (size_t i = 0; i < count; ++i) nodes[i] = from[i];
}

}  // namespace rondo::inline RONDO_ABI::detail
