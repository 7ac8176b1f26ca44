// SPDX-License-Identifier: BSL-1.0

#include <rondo/loop/fd_table.hpp>

#include <climits>
#include <vector>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

using Counting = CountingMemory<62>;
using Table = rondo::detail::FdTable<Counting>;
using Slot = Table::Slot;

}  // namespace

TEST_CASE("a number has no slot until one is made", "[fd_table]") {
    Table table;
    CHECK(table.find(0) == nullptr);
    CHECK(table.find(-1) == nullptr);
    Slot* const slot = table.make(5);
    REQUIRE(slot != nullptr);
    CHECK(table.find(5) == slot);
    CHECK_FALSE(slot->registered());
    CHECK(slot->generation != 0);
    CHECK(table.find(255) != nullptr);
    CHECK(table.find(256) == nullptr);
    CHECK(table.find(-1) == nullptr);
}

TEST_CASE("each number has a slot of its own, and slots never move", "[fd_table]") {
    Table table;
    std::vector<Slot*> slots;
    for (int fd = 0; fd < 2000; ++fd) {
        slots.push_back(table.make(fd));
        REQUIRE(slots.back() != nullptr);
        slots.back()->generation = static_cast<uint32_t>(fd + 1);
    }
    for (int fd = 0; fd < 2000; ++fd) {
        const auto at = static_cast<size_t>(fd);
        CHECK(table.find(fd) == slots[at]);
        CHECK(slots[at]->generation == at + 1);
    }
}

TEST_CASE("a high number takes one page, not all the pages below", "[fd_table]") {
    Table table;
    const size_t before = Counting::allocations();
    REQUIRE(table.make(100'000) != nullptr);
    CHECK(Counting::allocations() == before + 2);
    CHECK(table.find(99'000) == nullptr);
    CHECK(table.find(0) == nullptr);
}

TEST_CASE("a table that gets no memory is as before", "[fd_table]") {
    Table table;
    Slot* const slot = table.make(1);
    const int failures = with_each_allocation_failing<Counting>([&](int k) {
        Slot* const made = table.make(10'000 * k);
        if (made == nullptr) CHECK(table.find(10'000 * k) == nullptr);
        CHECK(table.find(1) == slot);
    });
    CHECK(failures > 0);
    CHECK(Counting::mismatched() == 0);
}

TEST_CASE("only registered numbers are visited, in order", "[fd_table]") {
    Table table;
    BasicIoHandler<Counting> handler = [] {};
    for (const int fd : {700, 3, 256, 255}) table.make(fd)->read = &handler;
    std::vector<int> seen;
    table.for_each([&](int fd, Slot& slot) {
        CHECK(slot.registered());
        seen.push_back(fd);
    });
    CHECK(seen == std::vector{3, 255, 256, 700});
}

TEST_CASE("what a slot accepts follows from its directions and what is mute", "[fd_table]") {
    const auto accepts = [](Interest interest, unsigned flags = 0) {
        Slot slot;
        slot.interest = interest;
        slot.set(flags);
        return static_cast<Readiness>(slot.accepts());
    };
    constexpr Readiness always = Readiness::error | Readiness::hangup;
    CHECK(accepts(Interest::none) == Readiness::none);
    CHECK(accepts(Interest::edge | Interest::oneshot) == Readiness::none);
    CHECK(accepts(Interest::read) == (Readiness::readable | Readiness::read_closed | always));
    CHECK(accepts(Interest::priority) == (Readiness::priority | Readiness::read_closed | always));
    CHECK(accepts(Interest::write) == (Readiness::writable | always));
    CHECK(accepts(Interest::read, Slot::mute_read) == Readiness::none);
    CHECK(accepts(Interest::write, Slot::mute_write) == Readiness::none);
    CHECK(accepts(Interest::read | Interest::write, Slot::mute_read) ==
          (Readiness::writable | always));
}

TEST_CASE("the straight way is only for one handler that is not one-shot", "[fd_table]") {
    BasicIoHandler<Counting> handler = [] {};
    Slot slot;
    slot.read = &handler;
    slot.interest = Interest::read | Interest::edge;
    slot.refresh();
    CHECK(slot.plain == slot.accepts());
    slot.interest |= Interest::oneshot;
    slot.refresh();
    CHECK(slot.plain == 0);
    slot.interest = Interest::read;
    slot.write = &handler;
    slot.refresh();
    CHECK(slot.plain == 0);
}

TEST_CASE("a handler may add descriptors until the table grows", "[fd_table]") {
    ManualRig rig;
    const int first = rig.scripted(Readiness::readable);
    const int second = rig.scripted(Readiness::readable);
    std::vector<int> added;
    size_t called = 0;
    REQUIRE(rig.loop.add(
        first, Interest::read | Interest::write,
        [&] {
            for (int i = 0; i < 1500; ++i) {
                added.push_back(rig.scripted());
                REQUIRE(rig.loop.add(added.back(), Interest::read, [&] { ++called; }));
            }
            rig.loop.modify(first, Interest::write);
        },
        [&] { called += 10'000; }));
    REQUIRE(rig.loop.add(second, Interest::read, [&] { called += 100'000; }));
    CHECK(rig.loop.poll() == 2);
    CHECK(called == 100'000);
    rig.loop.remove(second);
    for (const int fd : added) rig.world().set_ready(fd, Readiness::readable);
    while (called < 101'500) REQUIRE(rig.loop.poll() > 0);
    rig.world().set_ready(first, Readiness::writable);
    while (called < 110'000) REQUIRE(rig.loop.poll() > 0);
}

TEST_CASE("a huge number that isn't open doesn't make the table grow", "[fd_table]") {
    Rig<ManualPoller, Counting> rig;
    REQUIRE(rig.loop.add(rig.scripted(), Interest::read, [] {}));
    const size_t before = Counting::bytes();
    CHECK(rig.loop.add(INT_MAX, Interest::read, [] {}).error() == EBADF);
    CHECK(Counting::bytes() == before);
}
