// SPDX-License-Identifier: BSL-1.0
// The order of equal deadlines, when the numbers that tell it run out: here 254, not four billion.

#include <rondo/core/timer_order.hpp>

#include <rondo/core/timer_heap.hpp>

#include <stdint.h>

#include <vector>

#include "core/timer_heap_support.hpp"
#include "support/catch.hpp"

namespace {

using rondo::Instant;
using rondo::TimerState;
using Heap = rondo::TimerHeap<rondo::test::Record, rondo::test::Counted, uint8_t>;

// Schedules one timer, later each time, until numbers have run out more than once.
void run_out(Heap& heap, uint32_t slot, int64_t from) {
    for (int64_t i = 0; i < 600; ++i) heap.reschedule(slot, Instant(from + i));
}

}  // namespace

TEST_CASE("a timer heap behaves like a sorted map, however often its numbers run out") {
    rondo::test::compare_with_model<Heap>(1, 20, 50, 30'000);
    rondo::test::compare_with_model<Heap>(2, 200, 1'000'000'000, 40'000);
    rondo::test::compare_with_model<Heap>(3, 200, 10, 40'000);
    REQUIRE(rondo::test::Counted::held == 0);
}

TEST_CASE("equal deadlines keep their order when the numbers run out") {
    Heap heap;
    const uint32_t other = add(heap, 50);
    std::vector<uint32_t> slots;
    for (int i = 0; i < 100; ++i) slots.push_back(add(heap, 9));
    for (size_t i = 0; i < slots.size(); i += 2) heap.schedule(slots[i], Instant(9));
    std::vector<uint32_t> expected;
    for (size_t i = 1; i < slots.size(); i += 2) expected.push_back(slots[i]);
    for (size_t i = 0; i < slots.size(); i += 2) expected.push_back(slots[i]);
    run_out(heap, other, 51);
    REQUIRE(heap.size() == 101);
    expected.push_back(add(heap, 9));
    REQUIRE(heap.earliest() == Instant(9));
    REQUIRE(take(heap, 9) == expected);
    REQUIRE(take(heap, 1000) == std::vector{other});
}

TEST_CASE("timers that are due already stay so when the numbers run out") {
    Heap heap;
    const uint32_t other = add(heap, 50);
    std::vector<uint32_t> slots;
    for (int64_t i = 0; i < 60; ++i) slots.push_back(add(heap, i / 3));
    REQUIRE(heap.take_due(Instant(20)) == 60);
    REQUIRE(heap.next_due() == slots[0]);
    REQUIRE(heap.unschedule(slots[1]));
    heap.schedule(slots[2], Instant(5));
    run_out(heap, other, 51);
    REQUIRE(heap.state(slots[1]) == TimerState::idle);
    REQUIRE(heap.state(slots[2]) == TimerState::scheduled);
    REQUIRE(heap.state(slots[3]) == TimerState::due);
    for (size_t i = 3; i < slots.size(); ++i) REQUIRE(heap.next_due() == slots[i]);
    REQUIRE_FALSE(heap.due_left());
    REQUIRE(take(heap, 20) == std::vector{slots[2]});
}

TEST_CASE("due timers stay so among as many others as there is room for when the numbers run out") {
    Heap heap;
    const uint32_t other = add(heap, 50);
    std::vector<uint32_t> slots;
    for (int64_t i = 0; i < 60; ++i) slots.push_back(add(heap, i / 3));
    for (int i = 0; i < 3; ++i) add(heap, 40);
    REQUIRE(heap.take_due(Instant(20)) == 60);
    for (size_t i = 10; i < slots.size(); ++i) heap.schedule(slots[i], Instant(100));
    run_out(heap, other, 101);
    for (size_t i = 0; i < 10; ++i) REQUIRE(heap.next_due() == slots[i]);
    REQUIRE_FALSE(heap.due_left());
    REQUIRE(take(heap, 40).size() == 3);
    REQUIRE(take(heap, 100) == std::vector(slots.begin() + 10, slots.end()));
}

TEST_CASE("a cancelled timer stays so when the numbers run out") {
    Heap heap;
    const uint32_t other = add(heap, 50);
    std::vector<uint32_t> slots;
    for (int64_t i = 0; i < 60; ++i) slots.push_back(add(heap, i));
    for (const uint32_t slot : slots) heap.unschedule(slot);
    run_out(heap, other, 51);
    for (const uint32_t slot : slots) REQUIRE(heap.state(slot) == TimerState::idle);
    REQUIRE(heap.size() == 1);
    heap.schedule(slots[7], Instant(3));
    REQUIRE(take(heap, 49) == std::vector{slots[7]});
    REQUIRE(take(heap, 1000) == std::vector{other});
}
