// SPDX-License-Identifier: BSL-1.0
#pragma once
// The hooks of a loop: tasks that run in every turn, right before it sleeps and right after it
// woke, in the order in which they were made. A hook may remove itself and others, make new ones
// (which run from the next turn on), and run a nested poll().

#include <stdint.h>

#include <utility>

#include <rondo/core/pool.hpp>
#include <rondo/loop/handlers.hpp>
#include <rondo/loop/turn_state.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// When a hook runs.
enum class HookTime : uint8_t { before_sleep, after_sleep };

template <Memory M>
struct HookRecord {
    BasicTask<M> task;
    HookTime time;
    uint64_t number;  // of making: a phase stops before hooks that it has made itself
    HookRecord* previous = nullptr;
    HookRecord* next = nullptr;
};

template <Memory M>
class Hooks {
public:
    using Record = HookRecord<M>;

    explicit Hooks(TurnState& state) noexcept : state_(state) {}

    /// nullptr if memory is out.
    [[gnu::cold]] Record* add(HookTime time, BasicTask<M>& task) noexcept {
        if (!task) return nullptr;
        Record* const record = pool_.create(Record{std::move(task), time, ++made_});
        if (record == nullptr) return nullptr;
        record->previous = last_;
        (last_ != nullptr ? last_->next : first_) = record;
        last_ = record;
        return record;
    }

    [[gnu::cold]] void remove(Record* record) noexcept {
        for (Cursor* cursor = cursors_; cursor != nullptr; cursor = cursor->outer_cursor) {
            if (cursor->next == record) cursor->next = record->next;
        }
        (record->previous != nullptr ? record->previous->next : first_) = record->next;
        (record->next != nullptr ? record->next->previous : last_) = record->previous;
        if (!state_.retire(record)) pool_.destroy(record);
    }

    /// Runs the hooks of one time, but none that is running in an outer turn.
    void run(HookTime time) {
        if (first_ == nullptr) return;
        const uint64_t limit = made_;
        Cursor cursor(state_, *this);
        cursor.next = first_;
        while (Record* const record = cursor.next) {
            cursor.next = record->next;
            if (record->number > limit) return;
            if (record->time != time || state_.running.contains(record)) continue;
            cursor.closure = record;
            record->task();
            static_cast<void>(cursor.settle());
        }
    }

    bool empty() const noexcept { return first_ == nullptr; }

    [[gnu::cold]] void clear() noexcept {
        while (first_ != nullptr) remove(first_);
    }

    /// CallFrame: the end of a hook that was removed while it ran.
    void destroy(const void* record) noexcept {
        pool_.destroy(static_cast<Record*>(const_cast<void*>(record)));
    }

private:
    struct Cursor : CallFrame<Hooks> {
        // Inlined, GCC 12 takes it for a pointer that is left dangling.
        [[gnu::noinline]] Cursor(TurnState& state, Hooks& hooks) noexcept
            : CallFrame<Hooks>(state, hooks), outer_cursor(hooks.cursors_), hooks_(hooks) {
            hooks.cursors_ = this;
        }
        ~Cursor() { hooks_.cursors_ = outer_cursor; }

        Record* next = nullptr;
        Cursor* const outer_cursor;

    private:
        Hooks& hooks_;
    };

    TurnState& state_;
    Pool<Record, M, 8> pool_;
    Record* first_ = nullptr;
    Record* last_ = nullptr;
    Cursor* cursors_ = nullptr;
    uint64_t made_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
