// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a user may hand to a loop: one named concept per kind of callback, and one type-erased
// handler each, which says in a sentence what it expects when a callable doesn't fit. A handler may
// always take fewer arguments, from the left: an I/O handler is called with (fd, readiness),
// (readiness) or ().

#include <stdint.h>

#include <concepts>
#include <type_traits>

#include <rondo/backend/readiness.hpp>
#include <rondo/core/child_status.hpp>
#include <rondo/core/handler.hpp>
#include <rondo/core/time.hpp>
#include <rondo/core/timer_heap.hpp>

namespace rondo::inline RONDO_ABI {

/// Names one timer. Tests false if it never was one; harmless once its timer is gone.
using TimerId = TimerKey;

/// What a periodic timer may be told.
struct Tick {
    TimerId id;
    uint64_t missed = 0;  ///< ticks that were skipped since the last call, because it came late
};

namespace detail {

// What a timer handler may return.
template <class R>
concept AgainAfter = std::is_void_v<R> || std::convertible_to<R, Duration>;

}  // namespace detail

template <class F>
concept IoCallable = CallableWithTail<F, int, Readiness>;
template <class F>
concept TaskCallable = CallableWithTail<F>;
template <class F>
concept TimerCallable = CallableWithTail<F, TimerId> && requires(std::decay_t<F>& f, TimerId id) {
    requires detail::AgainAfter<decltype(detail::CallTail<std::decay_t<F>, TimerId>::call(f, id))>;
};
template <class F>
concept TickCallable = CallableWithTail<F, Tick> && requires(std::decay_t<F>& f, Tick tick) {
    { detail::CallTail<std::decay_t<F>, Tick>::call(f, tick) } -> std::same_as<void>;
};
template <class F>
concept SignalCallable = CallableWithTail<F, int>;
template <class F>
concept ChildCallable = CallableWithTail<F, ChildStatus>;

namespace detail {

struct IoRule {
    template <class F>
    static constexpr bool check() {
        static_assert(IoCallable<F>,
                      "an I/O handler is called as f(), f(rondo::Readiness) or f(int fd, "
                      "rondo::Readiness)");
        return IoCallable<F>;
    }
};
struct TaskRule {
    template <class F>
    static constexpr bool check() {
        static_assert(TaskCallable<F>, "a task is called as f()");
        return TaskCallable<F>;
    }
};
struct TimerRule {
    template <class F>
    static constexpr bool check() {
        static_assert(
            TimerCallable<F>,
            "a timer handler is called as f() or f(rondo::TimerId); it returns nothing, or "
            "a rondo::Duration after which it is called again");
        return TimerCallable<F>;
    }
};
struct TickRule {
    template <class F>
    static constexpr bool check() {
        static_assert(TickCallable<F>,
                      "a periodic handler is called as f() or f(rondo::Tick), and returns nothing; "
                      "cancel(tick.id) ends it");
        return TickCallable<F>;
    }
};
struct SignalRule {
    template <class F>
    static constexpr bool check() {
        static_assert(SignalCallable<F>, "a signal handler is called as f() or f(int signal)");
        return SignalCallable<F>;
    }
};
struct ChildRule {
    template <class F>
    static constexpr bool check() {
        static_assert(ChildCallable<F>,
                      "a child handler is called as f() or f(rondo::ChildStatus)");
        return ChildCallable<F>;
    }
};

}  // namespace detail

/// A Handler whose compile error for a wrong callable is one sentence.
template <class Signature, class Rule, Memory M>
struct CheckedHandler : Handler<Signature, 48, M> {
    using Base = Handler<Signature, 48, M>;

    CheckedHandler() noexcept = default;
    template <class F>
        requires(!std::derived_from<std::remove_cvref_t<F>, Base>)
    CheckedHandler(F&& callable) : Base(checked<F>(callable)) {}

private:
    template <class F>
    static decltype(auto) checked(std::remove_reference_t<F>& callable) {
        RONDO_ASSERT(!detail::holds_nothing<std::decay_t<F>>(callable),
                     "an empty handler was given: give it a callable");
        if constexpr (Rule::template check<F>()) {
            return static_cast<F&&>(callable);
        } else {
            return Base();
        }
    }
};

/// Called when a descriptor is ready.
template <Memory M = Malloc>
using BasicIoHandler = CheckedHandler<void(int, Readiness), detail::IoRule, M>;
/// Called once when it is its turn, or by a hook in every turn.
template <Memory M = Malloc>
using BasicTask = CheckedHandler<void(), detail::TaskRule, M>;
/// Called when a signal has arrived.
template <Memory M = Malloc>
using BasicSignalHandler = CheckedHandler<void(int), detail::SignalRule, M>;
/// Called when a child process has ended.
template <Memory M = Malloc>
using BasicChildHandler = CheckedHandler<void(ChildStatus), detail::ChildRule, M>;

}  // namespace rondo::inline RONDO_ABI
