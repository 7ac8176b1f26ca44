// SPDX-License-Identifier: BSL-1.0
// The timer heap against a std::multimap, and each of its promises on its own.

#include <rondo/core/timer_heap.hpp>

#include <limits.h>
#include <stdint.h>

#include <algorithm>
#include <map>
#include <new>
#include <random>
#include <vector>

#include "core/timer_heap_support.hpp"
#include "support/catch.hpp"

namespace {

using rondo::Instant;
using rondo::TimerKey;
using rondo::TimerState;
using rondo::test::compare_with_model;
using rondo::test::Counted;
using rondo::test::Record;
using Heap = rondo::TimerHeap<Record, Counted>;

static_assert(sizeof(rondo::detail::TimerNode) == 16);
static_assert(sizeof(TimerKey) == 8);
static_assert(!TimerKey{});
static_assert(!std::is_copy_constructible_v<Heap>);

}  // namespace

TEST_CASE("a timer heap behaves like a sorted map, whatever happens in whatever order") {
    compare_with_model<Heap>(1, 20, 50, 30'000);  // few timers, many ties
    compare_with_model<Heap>(2, 2'000, 1'000'000'000, 40'000);
    compare_with_model<Heap>(3, 2'000, 300, 40'000);  // every deadline many times
    REQUIRE(Counted::held == 0);
    REQUIRE_FALSE(Counted::misaligned);
}

TEST_CASE("an empty timer heap has nothing due and no earliest deadline") {
    Heap heap;
    REQUIRE(heap.size() == 0);
    REQUIRE(heap.earliest() == Instant::max());
    REQUIRE(heap.take_due(Instant::max()) == 0);
    REQUIRE_FALSE(heap.due_left());
    REQUIRE(heap.next_due() == Heap::npos);
    REQUIRE_FALSE(heap.live(TimerKey{}));
    REQUIRE_FALSE(heap.live(TimerKey{5, 1}));
}

TEST_CASE("a timer is due at its deadline and not a nanosecond before") {
    Heap heap;
    const uint32_t slot = add(heap, 1000);
    REQUIRE(take(heap, 999).empty());
    REQUIRE(heap.state(slot) == TimerState::scheduled);
    REQUIRE(heap.take_due(Instant(1000)) == 1);
    REQUIRE(heap.state(slot) == TimerState::due);
    REQUIRE(heap.size() == 1);
    REQUIRE(heap.next_due() == slot);
    REQUIRE(heap.state(slot) == TimerState::idle);
    REQUIRE(heap.size() == 0);
}

TEST_CASE("due timers come by deadline, equal deadlines in the order of scheduling") {
    for (const size_t count : {3U, 40U, 41U, 2'000U}) {
        Heap heap;
        std::mt19937 random(7);
        std::vector<std::pair<int64_t, uint32_t>> expected;
        for (size_t i = 0; i < count; ++i) {
            const int64_t at = static_cast<int64_t>(random() % 5) * 1'000'000'007;
            expected.emplace_back(at, add(heap, at));
        }
        // The first ones move to where they were: they are the last of their deadline now.
        for (size_t i = 0; i < count / 3; ++i) {
            expected.push_back(expected[i]);
            heap.schedule(expected[i].second, Instant(expected[i].first));
        }
        expected.erase(expected.begin(), expected.begin() + static_cast<int64_t>(count / 3));
        // Those of one deadline stay in their order.
        const std::multimap<int64_t, uint32_t> sorted(expected.begin(), expected.end());
        std::vector<uint32_t> slots;
        for (const auto& [at, slot] : sorted) slots.push_back(slot);
        REQUIRE(take(heap, INT64_MAX) == slots);
    }
}

TEST_CASE("a moved timer is due at its last deadline only") {
    Heap heap;
    const uint32_t moved = add(heap, 100);
    const uint32_t other = add(heap, 500);
    heap.schedule(moved, Instant(300));
    REQUIRE(heap.earliest() == Instant(300));
    heap.schedule(moved, Instant(900));
    REQUIRE(take(heap, 499).empty());
    REQUIRE(heap.earliest() == Instant(500));
    heap.schedule(moved, Instant(700));
    heap.schedule(other, Instant(800));
    REQUIRE(heap.earliest() == Instant(700));
    heap.schedule(other, Instant(50));
    REQUIRE(heap.earliest() == Instant(50));
    REQUIRE(take(heap, 800) == std::vector{other, moved});
}

TEST_CASE("a cancelled timer is never due") {
    Heap heap;
    std::vector<uint32_t> kept;
    std::vector<uint32_t> cancelled;
    for (int64_t i = 0; i < 1'000; ++i) (i % 7 == 0 ? kept : cancelled).push_back(add(heap, i));
    for (const uint32_t slot : cancelled) REQUIRE(heap.unschedule(slot));
    for (const uint32_t slot : cancelled) REQUIRE_FALSE(heap.unschedule(slot));
    REQUIRE(heap.size() == kept.size());
    SECTION("when it would have surfaced") { REQUIRE(take(heap, 2'000) == kept); }
    SECTION("after it was swept away") {
        REQUIRE(heap.earliest() == Instant(0));
        REQUIRE(take(heap, 2'000) == kept);
    }
    SECTION("nor is the next user of its slot before its own deadline") {
        for (const uint32_t slot : cancelled) heap.release(slot);
        for (size_t i = 0; i < cancelled.size(); ++i) add(heap, 5'000);
        REQUIRE(take(heap, 2'000) == kept);
        REQUIRE(heap.earliest() == Instant(5'000));
        REQUIRE(take(heap, 5'000).size() == cancelled.size());
    }
    SECTION("nor if the next user of its slot is earlier") {
        for (const uint32_t slot : cancelled) heap.release(slot);
        for (size_t i = 0; i < cancelled.size(); ++i) add(heap, -5'000);
        REQUIRE(take(heap, -1).size() == cancelled.size());
        REQUIRE(take(heap, 2'000) == kept);
    }
}

TEST_CASE("a due timer that is cancelled or scheduled again is skipped") {
    Heap heap;
    const uint32_t first = add(heap, 1);
    const uint32_t cancelled = add(heap, 2);
    const uint32_t again = add(heap, 3);
    const uint32_t reused = add(heap, 4);
    const uint32_t last = add(heap, 5);
    REQUIRE(heap.take_due(Instant(10)) == 5);
    REQUIRE(heap.next_due() == first);
    REQUIRE(heap.unschedule(cancelled));
    heap.schedule(again, Instant(2));
    REQUIRE(heap.state(again) == TimerState::scheduled);
    REQUIRE(heap.unschedule(reused));
    heap.release(reused);
    REQUIRE(add(heap, 6) == reused);
    REQUIRE(heap.next_due() == last);
    REQUIRE_FALSE(heap.due_left());
    REQUIRE(heap.next_due() == Heap::npos);
    REQUIRE(heap.size() == 2);
    REQUIRE(take(heap, 10) == std::vector{again, reused});
}

TEST_CASE("nothing is left of the due list once its last timer is cancelled") {
    Heap heap;
    const uint32_t slot = add(heap, 1);
    heap.take_due(Instant(1));
    REQUIRE(heap.due_left());
    heap.unschedule(slot);
    REQUIRE_FALSE(heap.due_left());
    heap.schedule(slot, Instant(2));
    REQUIRE(take(heap, 2) == std::vector{slot});
}

TEST_CASE("the due list survives growth in the middle of it") {
    Heap heap;
    std::vector<uint32_t> slots;
    for (int64_t i = 0; i < 50; ++i) slots.push_back(add(heap, i));
    REQUIRE(heap.take_due(Instant(100)) == 50);
    REQUIRE(heap.next_due() == slots[0]);
    for (int i = 0; i < 5'000; ++i) add(heap, 7);
    slots.erase(slots.begin());
    REQUIRE(fetch(heap) == slots);
    REQUIRE(heap.size() == 5'000);
}

TEST_CASE("every deadline from the first to the last instant keeps its place") {
    Heap heap;
    const uint32_t last = add(heap, INT64_MAX);
    const uint32_t first = add(heap, INT64_MIN);
    const uint32_t middle = add(heap, 0);
    std::vector<uint32_t> many;
    for (int64_t i = 0; i < 64; ++i) many.push_back(add(heap, INT64_MAX - 64 + i));
    REQUIRE(heap.earliest() == Instant::min());
    REQUIRE(take(heap, INT64_MIN) == std::vector{first});
    heap.schedule(first, Instant::min());
    std::vector<uint32_t> expected{first, middle};
    expected.insert(expected.end(), many.begin(), many.end());
    REQUIRE(take(heap, INT64_MAX - 1) == expected);
    REQUIRE(heap.earliest() == Instant::max());
    REQUIRE(heap.size() == 1);
    REQUIRE(take(heap, INT64_MAX) == std::vector{last});
}

TEST_CASE("a key is dead once its slot was released, and stays dead") {
    Heap heap;
    const uint32_t slot = acquire(heap);
    const TimerKey key = heap.key(slot);
    REQUIRE(key);
    REQUIRE(heap.live(key));
    heap.release(slot);
    REQUIRE_FALSE(heap.live(key));
    for (int i = 0; i < 1'000; ++i) {
        REQUIRE(acquire(heap) == slot);
        REQUIRE(heap.key(slot));
        REQUIRE_FALSE(heap.key(slot) == key);
        REQUIRE_FALSE(heap.live(key));
        heap.release(slot);
    }
}

TEST_CASE("a revoked key is dead while its slot is still acquired") {
    Heap heap;
    const uint32_t slot = acquire(heap);
    heap.schedule(slot, rondo::Instant(5));
    const rondo::TimerKey before = heap.key(slot);
    heap.revoke(slot);
    CHECK_FALSE(heap.live(before));
    CHECK(heap.live(heap.key(slot)));
    CHECK(heap.state(slot) == rondo::TimerState::scheduled);
    CHECK(heap.unschedule(slot));
    heap.release(slot);
    CHECK_FALSE(heap.live(before));
}

TEST_CASE("records are aligned and never move") {
    Heap heap;
    std::vector<Record*> records;
    for (uint32_t i = 0; i < 3'000; ++i) {
        const auto [record, key] = heap.acquire();
        REQUIRE(&heap.record(key.slot) == record);
        records.push_back(new (record) Record{i});
        REQUIRE(reinterpret_cast<uintptr_t>(records.back()) % alignof(Record) == 0);
    }
    for (uint32_t i = 0; i < 3'000; ++i) {
        REQUIRE(&heap.record(i) == records[i]);
        REQUIRE(records[i]->value == i);
    }
}

TEST_CASE("a mark is off at first, kept while the heap grows, and gone with its slot") {
    Heap heap;
    for (uint32_t i = 0; i < 500; ++i) {
        REQUIRE(acquire(heap) == i);
        REQUIRE_FALSE(heap.marked(i));
        heap.mark(i, true);
        if (i % 3 == 0) heap.mark(i, false);
    }
    for (uint32_t i = 0; i < 500; ++i) REQUIRE(heap.marked(i) == (i % 3 != 0));
    for (uint32_t i = 0; i < 500; ++i) heap.release(i);
    for (uint32_t i = 0; i < 500; ++i) REQUIRE_FALSE(heap.marked(acquire(heap)));
}

TEST_CASE("the heap grows by two thirds at most") {
    Heap heap;
    constexpr size_t each = sizeof(Record) + 20 + 2 * sizeof(rondo::detail::TimerNode) + 1;
    for (size_t count = 0; count < 20'000; ++count, add(heap, 1))
        REQUIRE(Counted::bytes <= each * (count * 5 / 3 + 128));
}

TEST_CASE("every acquired slot is visited, and can be released by the visitor") {
    Heap heap;
    for (int64_t i = 0; i < 200; ++i) add(heap, i);
    for (uint32_t slot = 0; slot < 200; slot += 2) {
        heap.unschedule(slot);
        heap.release(slot);
    }
    std::vector<uint32_t> visited;
    heap.for_each([&](uint32_t slot) {
        visited.push_back(slot);
        heap.unschedule(slot);
        heap.release(slot);
    });
    REQUIRE(visited.size() == 100);
    REQUIRE(std::all_of(visited.begin(), visited.end(), [](uint32_t slot) { return slot % 2; }));
    heap.for_each([](uint32_t) { FAIL("all have been released"); });
}

TEST_CASE("an allocation that fails leaves everything as it was") {
    for (int good = 0; good < 12; ++good) {
        {
            Counted::left = good;
            Heap heap;
            std::vector<uint32_t> slots;
            for (uint32_t slot = acquire(heap); slot != Heap::npos; slot = acquire(heap)) {
                heap.schedule(slot, Instant(static_cast<int64_t>(slot)));
                slots.push_back(slot);
            }
            REQUIRE(slots.empty() == (good < 2));
            REQUIRE(acquire(heap) == Heap::npos);
            REQUIRE(heap.size() == slots.size());
            if (!slots.empty()) {
                heap.unschedule(slots.back());
                heap.release(slots.back());
                REQUIRE(add(heap, INT64_MAX) == slots.back());
            }
            REQUIRE(take(heap, INT64_MAX) == slots);  // due sets of any size need no memory
            Counted::left = 2;
            REQUIRE(acquire(heap) != Heap::npos);
        }
        REQUIRE(Counted::held == 0);
    }
    Counted::left = INT_MAX;
}

TEST_CASE("nothing is allocated once there were as many timers before") {
    Heap heap;
    const auto turn = [&heap](int64_t base) {
        std::vector<uint32_t> slots;
        for (int64_t i = 0; i < 1'000; ++i) slots.push_back(add(heap, base + i * 7919 % 1'000));
        for (const uint32_t slot : slots) heap.schedule(slot, Instant(base + slot));
        for (size_t i = 0; i < slots.size(); i += 3) heap.unschedule(slots[i]);
        heap.earliest();
        take(heap, base + 1'000);
        for (const uint32_t slot : slots) heap.release(slot);
    };
    turn(0);
    const int before = Counted::allocations;
    for (int64_t base = 1; base < 50; ++base) turn(base * 500);
    REQUIRE(Counted::allocations == before);
}
