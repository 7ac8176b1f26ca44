// SPDX-License-Identifier: BSL-1.0
#pragma once
// Deadlines in order, and a record of the owner's for each: a heap of 16-byte nodes {key, slot}.
//
// A node's key is never later than its timer's deadline, and that is all that the heap needs:
// moving a deadline later and cancelling are one store each, into a dense table of slots, and the
// node is put right when it surfaces, is swept with others, or is taken over by the slot's next
// timer. The table also holds the generation that makes stale keys harmless; where a node is, the
// heap alone wants to know, so that lies apart and a slot has 16 bytes. Records never move, and
// free slots are bits in groups of 64: what is acquired together lies together, in whatever order
// it was released (a list of free slots made adding 10 000 timers three times slower).
//
// Eight children per node, siblings in two neighbouring cache lines: replacing the root took 0.8 to
// 0.9 of the time of four children at 10 000 timers and more, 1.1 below a thousand.
//
// It knows no clock, calls nothing, and never constructs or destroys a record.

#include <stddef.h>
#include <stdint.h>

#include <concepts>

#include <rondo/config/assert.hpp>
#include <rondo/config/version.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/core/time.hpp>
#include <rondo/core/timer_order.hpp>

namespace rondo::inline RONDO_ABI {

/// Names one timer: a slot and which of its users is meant. A default-constructed key names none.
struct TimerKey {
    uint32_t slot = 0;
    uint32_t generation = 0;  // odd for every timer there ever was

    constexpr explicit operator bool() const noexcept { return generation != 0; }
    friend constexpr bool operator==(TimerKey, TimerKey) noexcept = default;
};

/// What an acquired slot is doing.
enum class TimerState : uint8_t { idle, scheduled, due };

/// Timers, each with a deadline and a `Record`.
///
/// Threads: externally synchronised.
/// Errors: acquire() alone needs memory; everything else can't fail.
/// Cost: acquire, release, unschedule and a move to a later deadline are O(1), other moves
/// O(log n). earliest() and take_due() pay for what later moves and cancellations left behind: at
/// most as much as doing them at once would have cost. Equal deadlines are told apart by numbers of
/// type `Order`; when these run out, once in four billion calls, all timers are numbered anew. They
/// must be more than the timers that are ever scheduled at once, and two.
template <class Record, Memory M = Malloc, std::unsigned_integral Order = uint32_t>
class TimerHeap {
public:
    /// No slot.
    static constexpr uint32_t npos = UINT32_MAX;

    TimerHeap() noexcept = default;
    TimerHeap(const TimerHeap&) = delete;
    TimerHeap& operator=(const TimerHeap&) = delete;

    /// Lifetime: records that still exist are not destroyed; visit them with for_each() before.
    ~TimerHeap() {
        for (uint32_t i = 0; i < chunk_count_; ++i) {
            M::release(groups_[first_group_of(i)].records, chunk_bytes(i), chunk_alignment);
        }
        if (nodes_ != nullptr) M::release(nodes_, table_bytes(capacity_), table_alignment);
    }

    /// A slot, as it was acquired: its key, and where its record is.
    struct Acquired {
        Record* record = nullptr;
        TimerKey key;
    };

    /// An idle slot, its record raw storage; a null pointer, with nothing changed, when memory is
    /// out.
    Acquired acquire() noexcept {
        if (open_count_ == 0 && !grow()) return {};
        const uint32_t index = open_[open_count_ - 1];
        Group& group = groups_[index];
        const auto bit = static_cast<uint32_t>(__builtin_ctzll(group.free));
        group.free &= group.free - 1;
        if (group.free == 0) --open_count_;  // a branch: the next call needn't wait for the bits
        const uint32_t slot = index * 64 + bit;
        return {group.records + bit, {slot, ++slots_[slot].generation}};
    }

    /// Gives an idle slot back; its keys are stale from now on. The caller has destroyed the
    /// record.
    void release(uint32_t slot) noexcept {
        RONDO_ASSERT(slots_[slot].order == idle_order,
                     "unschedule a timer before releasing its slot");
        if (++slots_[slot].generation == 0) slots_[slot].generation = 2;
        Group& group = groups_[slot / 64];
        const uint64_t bit = uint64_t{1} << slot % 64;
        open_[open_count_] = slot / 64;
        open_count_ += group.free == 0 ? 1 : 0;
        group.free |= bit;
        group.marks &= ~bit;
    }

    /// Makes the keys of an acquired slot stale; the slot itself stays acquired.
    void revoke(uint32_t slot) noexcept { slots_[slot].generation += 2; }

    /// Lifetime: the address stays the same until the slot is released.
    Record& record(uint32_t slot) noexcept { return groups_[slot / 64].records[slot % 64]; }

    TimerKey key(uint32_t slot) const noexcept { return {slot, slots_[slot].generation}; }

    /// A bit of the owner's, off when a slot is acquired; reading it doesn't fetch the record.
    bool marked(uint32_t slot) const noexcept {
        return (groups_[slot / 64].marks >> slot % 64 & 1) != 0;
    }
    void mark(uint32_t slot, bool on) noexcept {
        uint64_t& marks = groups_[slot / 64].marks;
        const uint64_t bit = uint64_t{1} << slot % 64;
        marks = on ? marks | bit : marks & ~bit;
    }

    /// True until the slot that the key was made for is released.
    bool live(TimerKey key) const noexcept {
        return key.slot < capacity_ && slots_[key.slot].generation == key.generation;
    }

    TimerState state(uint32_t slot) const noexcept {
        const Order order = slots_[slot].order;
        if (order > due_order) return TimerState::scheduled;
        return order == due_order ? TimerState::due : TimerState::idle;
    }

    /// The deadline of a scheduled or due timer.
    Instant deadline(uint32_t slot) const noexcept { return Instant(slots_[slot].deadline); }

    /// Sets the deadline; among equal deadlines the timer is now the last. A due one is due no
    /// more.
    [[gnu::noinline]] void schedule(uint32_t slot, Instant deadline) noexcept {
        const auto next = static_cast<Order>(last_order_ + 1);
        if (next == 0) return renumber(slot, deadline);
        Slot& entry = slots_[slot];
        const int64_t before = entry.deadline;
        const Order order = entry.order;
        uint32_t at = at_[slot];
        entry.deadline = deadline.ns();
        entry.order = last_order_ = next;
        if (at == 0) {
            at = end_++;
            ++scheduled_;
            if (order != idle_order) --due_left_;
        } else {
            if (order == idle_order) ++scheduled_;
            if (deadline.ns() >= before) return;  // not before the key either
            if (deadline.ns() >= nodes_[at].key) return;
        }
        sift_up(at, deadline.ns(), slot);
    }

    /// The same, and less code to inline where most deadlines move later.
    void reschedule(uint32_t slot, Instant deadline) noexcept {
        Slot& entry = slots_[slot];
        const auto next = static_cast<Order>(last_order_ + 1);
        if (entry.order <= due_order || deadline.ns() < entry.deadline || next == 0) [[unlikely]] {
            return schedule(slot, deadline);
        }
        entry.deadline = deadline.ns();
        entry.order = last_order_ = next;
    }

    /// Makes a scheduled or due timer idle; false if it was idle already.
    bool unschedule(uint32_t slot) noexcept {
        Slot& entry = slots_[slot];
        if (entry.order == idle_order) return false;
        --(entry.order != due_order ? scheduled_ : due_left_);
        entry.order = idle_order;
        return true;
    }

    /// No timer becomes due before this instant; Instant::max() if there is none.
    /// Cost: O(1).
    Instant not_before() const noexcept {
        return scheduled_ == 0 ? Instant::max() : Instant(nodes_[root].key);
    }

    /// The earliest deadline that is scheduled; Instant::max() if there is none.
    /// Cost: O(1) plus what is to be put right; ask before blocking, not_before() everywhere else.
    Instant earliest() noexcept {
        if (end_ - root > 2 * scheduled_ + 64) sweep();
        if (scheduled_ == 0) return Instant::max();
        // Putting right one node after the other is dear when they are many.
        for (uint32_t patience = 8 + (end_ - root) / 16;; --patience) {
            const Slot& top = slots_[nodes_[root].slot];
            if (top.order != idle_order && top.deadline == nodes_[root].key)
                return Instant(top.deadline);
            if (patience == 0)
                sweep();
            else
                settle(root);
        }
    }

    /// Makes every timer due whose deadline is not after `now`, to be fetched by next_due() in the
    /// order of deadlines, equal ones in the order of scheduling. Says how many. The ones that were
    /// taken before must have been fetched.
    size_t take_due(Instant now) noexcept {
        RONDO_ASSERT(due_left_ == 0, "fetch all due timers before taking the next");
        const uint32_t found = collect(now.ns());
        if (found == 0) return 0;
        uint32_t first = found;               // the due ones gather at the end
        for (uint32_t i = found; i-- > 0;) {  // bottom up: what is below a hole is in order
            const Node node = due_[i];
            Slot& entry = slots_[node.slot];
            if (entry.order == idle_order || entry.deadline > now.ns()) {
                settle(node.at);
                continue;
            }
            at_[node.slot] = 0;
            remove(node.at);
            due_[--first] = Node{entry.deadline, node.slot, entry.order};
            entry.order = due_order;
        }
        due_next_ = first;
        due_end_ = found;
        due_left_ = found - first;
        scheduled_ -= due_left_;
        sort_due();
        return due_left_;
    }

    /// The next timer that is still due, made idle; npos if there is none.
    uint32_t next_due() noexcept {
        while (due_left_ != 0) {
            const uint32_t slot = due_[due_next_++].slot;
            if (due_next_ + ahead < due_end_) fetch(due_[due_next_ + ahead].slot);
            if (state(slot) != TimerState::due) continue;
            slots_[slot].order = idle_order;
            --due_left_;
            return slot;
        }
        return npos;
    }

    /// True if next_due() would return a timer.
    bool due_left() const noexcept { return due_left_ != 0; }

    /// How many timers are scheduled or due.
    size_t size() const noexcept { return size_t{scheduled_} + due_left_; }

    /// Calls `visit(slot)` for every acquired slot; `visit` may release it.
    template <class Visitor>
    void for_each(Visitor&& visit) {
        for (uint32_t slot = 0; slot < capacity_; ++slot) {
            if (slots_[slot].generation % 2 != 0) visit(slot);
        }
    }

private:
    using Node = detail::TimerNode;

    static constexpr Order idle_order = 0;
    static constexpr Order due_order = 1;
    static constexpr Order max_order = static_cast<Order>(-1);

    struct Slot {
        int64_t deadline = 0;      // not before the key of the slot's node, also while idle
        uint32_t generation = 2;   // odd while acquired; 0 is that of the key which names none
        Order order = idle_order;  // of scheduling, if it is neither idle nor due
    };
    struct Group {
        uint64_t free;   // a bit for each of 64 slots
        uint64_t marks;  // the owner's
        Record* records;
    };
    static_assert(sizeof(Slot) == 16, "four slots per cache line");

    static constexpr uint32_t arity = 8;         // least_of_group() is written for it
    static constexpr uint32_t root = arity - 1;  // so that groups of children start at multiples
    static constexpr uint32_t ahead = 6;  // how many due timers before its turn a record is fetched
    // 2^28 timers, so that eight times a position fits 32 bits; 2^22 where memory has 32 bits.
    static constexpr uint32_t max_chunks = sizeof(size_t) > 4 ? 42 : 30;
    static constexpr size_t chunk_alignment = alignof(Record) > 64 ? alignof(Record) : 64;
    static constexpr size_t table_alignment = 128;

    static constexpr uint32_t parent_of(uint32_t at) noexcept { return at / arity + root - 1; }
    static constexpr uint32_t first_child_of(uint32_t at) noexcept {
        return (at - root + 1) * arity;
    }

    void put(uint32_t at, int64_t key, uint32_t slot) noexcept {
        nodes_[at].key = key;
        nodes_[at].slot = slot;
        at_[slot] = at;
    }

    void sift_up(uint32_t at, int64_t key, uint32_t slot) noexcept {
        while (at != root) {
            const Node& parent = nodes_[parent_of(at)];
            if (parent.key <= key) break;
            put(at, parent.key, parent.slot);
            at = parent_of(at);
        }
        put(at, key, slot);
    }

    void sift_down(uint32_t at, int64_t key, uint32_t slot) noexcept {
        for (;;) {
            const uint32_t first = first_child_of(at);
            if (first >= end_) break;
            const uint32_t child =
                first + arity <= end_ ? least_of_group(first) : least_from(first);
            if (key <= nodes_[child].key) break;
            put(at, nodes_[child].key, nodes_[child].slot);
            at = child;
        }
        put(at, key, slot);
    }

    uint32_t least_from(uint32_t first) const noexcept {
        uint32_t least = first;
        for (uint32_t i = first + 1; i < end_; ++i) {
            if (nodes_[i].key < nodes_[least].key) least = i;
        }
        return least;
    }

    // A knock-out of three rounds, in arithmetic: which child is the least can't be predicted.
    uint32_t least_of_group(uint32_t first) const noexcept {
        static_assert(arity == 8, "another arity needs another knock-out");
        struct Entry {
            int64_t key;
            uint32_t index;
        };
        const auto less = [](Entry a, Entry b) noexcept {
            const uint32_t second = b.key < a.key ? 1 : 0;
            return Entry{second != 0 ? b.key : a.key,
                         a.index ^ ((a.index ^ b.index) & (0 - second))};
        };
        const Node* const group = nodes_ + first;
        const auto entry = [group](uint32_t i) noexcept { return Entry{group[i].key, i}; };
        const Entry left = less(less(entry(0), entry(1)), less(entry(2), entry(3)));
        const Entry right = less(less(entry(4), entry(5)), less(entry(6), entry(7)));
        return first + less(left, right).index;
    }

    // Fills the hole at `at` with the last node. The holes are made from the last to the first, or
    // only at the root, so the filler never has to move up.
    void remove(uint32_t at) noexcept {
        const Node& last = nodes_[--end_];
        if (at != end_) sift_down(at, last.key, last.slot);
    }

    // Gives the node at `at` its timer's deadline, or removes it if its timer is idle.
    void settle(uint32_t at) noexcept {
        const uint32_t slot = nodes_[at].slot;
        const Slot& entry = slots_[slot];
        if (entry.order != idle_order) return sift_down(at, entry.deadline, slot);
        at_[slot] = 0;
        remove(at);
    }

    // Settling all nodes bottom up is also how to build a heap, at a few nanoseconds a node.
    void sweep() noexcept {
        for (uint32_t at = end_; at-- > root;) settle(at);
    }

    // Lists the nodes with a key up to `now` in due_, by rising positions. They form a connected
    // part at the top of the heap.
    uint32_t collect(int64_t now) noexcept {
        if (end_ == root || nodes_[root].key > now) return 0;
        due_[0] = Node{nodes_[root].key, nodes_[root].slot, root};
        uint32_t found = 1;
        for (uint32_t i = 0; i < found; ++i) {
            const uint32_t first = first_child_of(due_[i].at);
            const uint32_t last = first + arity < end_ ? first + arity : end_;
            for (uint32_t at = first; at < last; ++at) {
                due_[found] = Node{nodes_[at].key, nodes_[at].slot, at};
                found += nodes_[at].key <= now ? 1 : 0;
            }
        }
        return found;
    }

    // The nodes that left the heap make room behind its end: the scratch space.
    void sort_due() noexcept {
        detail::sort_nodes(due_ + due_next_, nodes_ + end_, due_left_);
        for (uint32_t i = due_next_; i < due_end_;) {
            uint32_t next = i + 1;
            while (next < due_end_ && due_[next].key == due_[i].key) ++next;
            if (next - i > 1) {
                for (uint32_t tie = i; tie < next; ++tie) due_[tie].key = due_[tie].at;
                detail::sort_nodes(due_ + i, nodes_ + end_, next - i);
            }
            i = next;
        }
    }

    // Gives the scheduled timers the lowest numbers, in the order that they have, and schedules one
    // more. The list of the due ones moves to its end: the timers that have nodes are not on it, so
    // there is room for them.
    [[gnu::cold, gnu::noinline]] void renumber(uint32_t slot, Instant deadline) noexcept {
        uint32_t first = capacity_;
        for (uint32_t i = due_end_; i-- > due_next_;) {
            if (state(due_[i].slot) == TimerState::due) due_[--first] = due_[i];
        }
        due_next_ = first;
        due_end_ = capacity_;
        const uint32_t count = end_ - root;
        for (uint32_t at = root; at < end_; ++at) nodes_[at].key = slots_[nodes_[at].slot].order;
        detail::sort_nodes(nodes_ + root, due_, count);
        RONDO_ASSERT(scheduled_ < max_order - due_order, "more timers than there are numbers");
        last_order_ = due_order;
        for (uint32_t at = root; at < end_; ++at) {
            Order& order = slots_[nodes_[at].slot].order;
            if (order != idle_order) order = ++last_order_;
        }
        sweep();  // which makes a heap of them again
        schedule(slot, deadline);
    }

    void fetch(uint32_t slot) noexcept {
        __builtin_prefetch(slots_ + slot, 1);
        __builtin_prefetch(&record(slot), 1);
    }

    // Two chunks of one group, and two of each power of two after that: beyond the first steps the
    // slots grow by a half or a third at a time.
    static constexpr uint32_t first_group_of(uint32_t chunk) noexcept {
        return ((2 + chunk % 2) << chunk / 2) - 2;
    }
    static constexpr size_t chunk_bytes(uint32_t chunk) noexcept {
        return (size_t{64} << chunk / 2) * sizeof(Record);
    }
    // One entry more than there are groups: release() writes it before it knows whether to keep it.
    static constexpr size_t table_bytes(size_t capacity) noexcept {
        constexpr size_t each = 2 * sizeof(Node) + sizeof(Slot) + sizeof(uint32_t);
        return (root + 1) * sizeof(Node) + capacity * each + capacity / 64 * sizeof(Group) +
               (capacity / 64 + 1) * sizeof(uint32_t);
    }

    // One more chunk of records, and one block that holds all tables for as many slots.
    [[gnu::cold, gnu::noinline]] bool grow() noexcept {
        if (chunk_count_ == max_chunks) return false;
        void* const chunk = M::allocate(chunk_bytes(chunk_count_), chunk_alignment);
        if (chunk == nullptr) return false;
        const uint32_t capacity = 64 * first_group_of(chunk_count_ + 1);
        void* const table = M::allocate(table_bytes(capacity), table_alignment);
        if (table == nullptr) {
            M::release(chunk, chunk_bytes(chunk_count_), chunk_alignment);
            return false;
        }
        move_tables(table, capacity);
        Record* const records = static_cast<Record*>(chunk);
        for (uint32_t i = capacity / 64; i > capacity_ / 64; --i) {  // the first group on top
            groups_[i - 1] = Group{~uint64_t{0}, 0, records + (i - 1 - capacity_ / 64) * 64};
            open_[open_count_++] = i - 1;
        }
        for (uint32_t i = capacity_; i < capacity; ++i) slots_[i] = Slot{};
        for (uint32_t i = capacity_; i < capacity; ++i) at_[i] = 0;
        capacity_ = capacity;
        ++chunk_count_;
        return true;
    }

    void move_tables(void* table, uint32_t capacity) noexcept {
        Node* const nodes = static_cast<Node*>(table);
        Node* const due = nodes + root + 1 + capacity;
        Slot* const slots = static_cast<Slot*>(static_cast<void*>(due + capacity));
        uint32_t* const at = static_cast<uint32_t*>(static_cast<void*>(slots + capacity));
        Group* const groups = static_cast<Group*>(static_cast<void*>(at + capacity));
        for (uint32_t i = root; i < end_; ++i) nodes[i] = nodes_[i];
        for (uint32_t i = due_next_; i < due_end_; ++i) due[i] = due_[i];
        for (uint32_t i = 0; i < capacity_; ++i) slots[i] = slots_[i];
        for (uint32_t i = 0; i < capacity_; ++i) at[i] = at_[i];
        for (uint32_t i = 0; i < capacity_ / 64; ++i) groups[i] = groups_[i];
        if (nodes_ != nullptr) M::release(nodes_, table_bytes(capacity_), table_alignment);
        nodes_ = nodes;
        due_ = due;
        slots_ = slots;
        at_ = at;
        groups_ = groups;
        open_ = static_cast<uint32_t*>(static_cast<void*>(groups + capacity / 64));
    }

    Node* nodes_ = nullptr;  // from root to end_
    Slot* slots_ = nullptr;
    uint32_t* at_ = nullptr;  // the position of each slot's node; 0: it has none
    Group* groups_ = nullptr;
    uint32_t* open_ = nullptr;  // the groups that have a free slot
    Node* due_ = nullptr;       // from due_next_ to due_end_, some perhaps cancelled since
    Order last_order_ = due_order;
    uint32_t end_ = root;
    uint32_t scheduled_ = 0;  // how many nodes are timers; the others were cancelled
    uint32_t due_next_ = 0;
    uint32_t due_end_ = 0;
    uint32_t due_left_ = 0;  // how many of due_ are still due
    uint32_t open_count_ = 0;
    uint32_t capacity_ = 0;
    uint32_t chunk_count_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
