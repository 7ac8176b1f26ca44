// SPDX-License-Identifier: BSL-1.0
#pragma once
// The timer part of a loop: a heap of deadlines and, for each, a record of one cache line that
// holds the closure, up to 32 bytes of it in place. A timer that fires once and one that fires at a
// fixed rate differ only in their period.
//
// It reads no clock: the loop tells it what time it is.

#include <stddef.h>
#include <stdint.h>

#include <new>
#include <type_traits>
#include <utility>

#include <rondo/config/where.hpp>
#include <rondo/core/timer_heap.hpp>
#include <rondo/loop/handlers.hpp>
#include <rondo/loop/turn_state.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// One timer. `call` returns after how long it wants to be called again.
struct TimerRecord {
    static constexpr size_t capacity = 32;
    enum Flag : uint32_t { background = 1, cancelled = 2 };  // cancelled: while it ran

    alignas(16) unsigned char storage[capacity];
    Duration (*call)(void* storage, TimerId id, uint64_t missed);
    void (*destroy)(void* storage) noexcept;  // null: nothing to do
    int64_t period_ns;                        // 0: not periodic
    uint32_t flags;
    [[no_unique_address]] Where where;
};

#ifndef RONDO_TRACE_LOCATIONS
static_assert(sizeof(void*) != 8 || sizeof(TimerRecord) == 64, "a timer is one cache line");
#endif

template <Memory M>
class Timers {
public:
    explicit Timers(TurnState& state) noexcept : state_(state) {}

    /// A key that tests false if memory is out.
    template <class Rule, class F>
    TimerId start(F&& f, Instant deadline, int64_t period_ns, Where where) {
        RONDO_ASSERT(!holds_nothing<std::decay_t<F>>(f),
                     "an empty timer handler was given: give it a callable");
        const auto [record, key] = heap_.acquire();
        if (record == nullptr) return {};
        Building building{heap_, key.slot};
        if (!build<Rule>(*record, static_cast<F&&>(f))) return {};
        building.slot = heap_.npos;
        if (record->destroy != nullptr) heap_.mark(key.slot, true);
        record->period_ns = period_ns;
        record->flags = 0;
        record->where = where;
        heap_.schedule(key.slot, deadline);
        ++state_.alive;
        return key;
    }

    /// True if a run was prevented.
    bool cancel(TimerId id) noexcept {
        if (!valid(id)) return false;
        const bool prevented = heap_.unschedule(id.slot);
        leave(id.slot);
        TimerRecord& record = heap_.record(id.slot);
        if (!state_.running.contains(&record)) {
            end(id.slot);
        } else {  // it ends when it returns
            record.flags |= TimerRecord::cancelled;
            heap_.revoke(id.slot);
        }
        return prevented;
    }

    /// False if the timer is gone.
    bool rearm(TimerId id, Instant deadline) noexcept {
        if (!valid(id)) return false;
        heap_.reschedule(id.slot, deadline);
        return true;
    }

    /// Instant::max() if it is gone or has no next run.
    Instant deadline(TimerId id) noexcept {
        if (!valid(id) || heap_.state(id.slot) == TimerState::idle) return Instant::max();
        return heap_.deadline(id.slot);
    }

    bool valid(TimerId id) const noexcept { return heap_.live(id); }

    void set_background(TimerId id, bool on) noexcept {
        if (!valid(id)) return;
        TimerRecord& record = heap_.record(id.slot);
        if (((record.flags & TimerRecord::background) != 0) == on) return;
        record.flags ^= TimerRecord::background;
        heap_.mark(id.slot, on || record.destroy != nullptr);
        on ? --state_.alive : ++state_.alive;
    }

    Instant earliest() noexcept { return heap_.earliest(); }
    bool has_rest() const noexcept { return heap_.due_left(); }
    /// Nothing to wait for: those that there may be are scheduled never.
    bool idle() const noexcept { return heap_.not_before() == Instant::max(); }

    /// Runs what is due, in order. `clock()` tells the time; it is read once for the due set, and
    /// once more after a handler that wants to be called again.
    template <class Clock>
    size_t run(Clock&& clock) {
        if (!heap_.due_left()) {
            if (idle()) return 0;
            due_at_ = clock();
            if (heap_.take_due(due_at_) == 0) return 0;
        }
        size_t ran = 0;
        Firing firing(state_, *this);
        while ((firing.slot = heap_.next_due()) != heap_.npos) {
            if (firing.outer != nullptr && state_.running.contains(&heap_.record(firing.slot))) {
                // Running in an outer turn: not entered again, but due until it has returned.
                heap_.schedule(firing.slot, heap_.deadline(firing.slot));
                continue;
            }
            ++ran;
            if (!fire(firing, clock)) break;
        }
        return ran;
    }

    /// Calls f(id, record) for every timer.
    template <class F>
    void for_each(F&& f) {
        heap_.for_each([&](uint32_t slot) { f(heap_.key(slot), heap_.record(slot)); });
    }

    /// Destroys what timers capture. Their destructors may cancel, which then does nothing.
    void clear() noexcept {
        heap_.for_each([this](uint32_t slot) { end_closure(slot); });
    }

private:
    // One level of running timers; whatever way a handler ends, its timer is brought to rest.
    struct Firing : Running::Frame {
        Firing(TurnState& state, Timers& timers) noexcept
            : Running::Frame(state.running), timers_(timers) {}
        ~Firing() {
            if (closure != nullptr) timers_.finish(*this, never, Instant());
        }
        uint32_t slot = TimerHeap<TimerRecord, M>::npos;

    private:
        Timers& timers_;
    };

    struct Building {
        TimerHeap<TimerRecord, M>& heap;
        uint32_t slot;
        ~Building() {
            if (slot != heap.npos) heap.release(slot);
        }
    };

    // False if the turn is to end here.
    template <class Clock>
    bool fire(Firing& firing, Clock& clock) {
        const uint32_t slot = firing.slot;
        TimerRecord& record = heap_.record(slot);
        uint64_t missed = 0;
        if (record.period_ns != 0) {
            // Armed before the call: what is thrown leaves it armed, and the handler may re-arm or
            // cancel it like any other.
            const Duration period(record.period_ns);
            const Instant deadline = heap_.deadline(slot);
            if (due_at_ > deadline) missed = static_cast<uint64_t>((due_at_ - deadline) / period);
            heap_.schedule(slot, deadline + period * static_cast<int64_t>(missed) + period);
        }
        firing.closure = &record;
        const Duration again = record.call(record.storage, heap_.key(slot), missed);
        finish(firing, again, again == never ? Instant() : clock());
        return !state_.stopped();
    }

    // The handler of `firing` is done: schedule its timer again, leave it as it is scheduled, or
    // end it.
    void finish(Firing& firing, Duration again, Instant now) noexcept {
        const uint32_t slot = firing.slot;
        TimerRecord& record = heap_.record(slot);
        firing.closure = nullptr;
        if ((record.flags & TimerRecord::cancelled) == 0) {
            if (again != never) return heap_.schedule(slot, now + again);
            if (heap_.state(slot) != TimerState::idle) return;
            leave(slot);
        }
        end(slot);
    }

    // Most timers are marked neither as background nor as having something to destroy, and can be
    // cancelled without a look at their record, which is often out of the cache.
    void leave(uint32_t slot) noexcept {
        if (heap_.marked(slot) && (heap_.record(slot).flags & TimerRecord::background) != 0) return;
        --state_.alive;
    }
    void end(uint32_t slot) noexcept {
        if (heap_.marked(slot)) end_closure(slot);
        heap_.release(slot);
    }

    // The closure's destructor may use the loop, and finds its own id stale.
    [[gnu::noinline]] void end_closure(uint32_t slot) noexcept {
        TimerRecord& record = heap_.record(slot);
        heap_.revoke(slot);
        if (auto* const destroy = std::exchange(record.destroy, nullptr)) destroy(record.storage);
    }

    template <class Rule, class Fn>
    static Duration invoke(Fn& fn, TimerId id, uint64_t missed) {
        if constexpr (std::is_same_v<Rule, TickRule>) {
            static_cast<void>(CallTail<Fn, Tick>::call(fn, Tick{id, missed}));
            return never;
        } else if constexpr (std::is_void_v<decltype(CallTail<Fn, TimerId>::call(fn, id))>) {
            CallTail<Fn, TimerId>::call(fn, id);
            return never;
        } else {
            return CallTail<Fn, TimerId>::call(fn, id);
        }
    }

    template <class Rule, class F>
    bool build(TimerRecord& record, F&& f) {
        using Fn = std::decay_t<F>;
        if constexpr (!Rule::template check<F>()) {
            return false;
        } else if constexpr (fits_in_place<Fn, TimerRecord::capacity>) {
            ::new (static_cast<void*>(record.storage)) Fn(static_cast<F&&>(f));
            record.call = [](void* storage, TimerId id, uint64_t missed) {
                return invoke<Rule>(*static_cast<Fn*>(storage), id, missed);
            };
            record.destroy = nullptr;
            if constexpr (!std::is_trivially_destructible_v<Fn>) {
                record.destroy = [](void* storage) noexcept { static_cast<Fn*>(storage)->~Fn(); };
            }
            return true;
        } else {
            return build_elsewhere<Rule, Fn>(record, static_cast<F&&>(f));
        }
    }

    template <class Rule, class Fn, class F>
    bool build_elsewhere(TimerRecord& record, F&& f) {
        struct Block {
            void* memory = M::allocate(sizeof(Fn), alignof(Fn));
            ~Block() {
                if (memory != nullptr) M::release(memory, sizeof(Fn), alignof(Fn));
            }
        } block;
        if (block.memory == nullptr) return false;
        ::new (static_cast<void*>(record.storage))
            Fn*(::new (block.memory) Fn(static_cast<F&&>(f)));
        block.memory = nullptr;
        record.call = [](void* storage, TimerId id, uint64_t missed) {
            return invoke<Rule>(**static_cast<Fn**>(storage), id, missed);
        };
        record.destroy = [](void* storage) noexcept {
            Fn* const fn = *static_cast<Fn**>(storage);
            fn->~Fn();
            M::release(fn, sizeof(Fn), alignof(Fn));
        };
        return true;
    }

    TurnState& state_;
    TimerHeap<TimerRecord, M> heap_;
    Instant due_at_;
};

}  // namespace rondo::inline RONDO_ABI::detail
