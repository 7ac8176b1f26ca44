// SPDX-License-Identifier: BSL-1.0
#pragma once
// Handler<R(Args...)>: a move-only callable, type-erased and stored in place, called through one
// function pointer. (std::function demands copies; std::move_only_function is C++23.)
//
// A callable may take all of the arguments or only the last few: a handler of (int fd, Readiness)
// also takes (Readiness) or nothing. What is larger than Capacity goes to the Memory policy; with
// InPlaceOnly as the policy it is a compile error. A handler whose allocation failed is empty.

#include <stddef.h>
#include <string.h>

#include <concepts>
#include <new>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/core/memory.hpp>

namespace rondo::inline RONDO_ABI {

/// In place of a Memory policy: a callable that doesn't fit is refused by the compiler.
struct InPlaceOnly {};

namespace detail {

template <class F, class... Args>
concept CallableWith = requires(F& f) { f(std::declval<Args>()...); };

// The tail of an argument list that F can be called with: the longest that fits.
template <class F, class... Args>
struct CallTail {
    static constexpr bool found = false;
};
template <class F>
    requires CallableWith<F>
struct CallTail<F> {
    static constexpr bool found = true;
    static decltype(auto) call(F& f) { return f(); }
};
template <class F, class First, class... Rest>
    requires CallableWith<F, First, Rest...>
struct CallTail<F, First, Rest...> {
    static constexpr bool found = true;
    static decltype(auto) call(F& f, First first, Rest... rest) {
        return f(static_cast<First&&>(first), static_cast<Rest&&>(rest)...);
    }
};
template <class F, class First, class... Rest>
    requires(!CallableWith<F, First, Rest...>)
struct CallTail<F, First, Rest...> {
    static constexpr bool found = CallTail<F, Rest...>::found;
    static decltype(auto) call(F& f, First, Rest... rest) {
        return CallTail<F, Rest...>::call(f, static_cast<Rest&&>(rest)...);
    }
};

template <class F, size_t Capacity>
inline constexpr bool fits_in_place = sizeof(F) <= Capacity && alignof(F) <= alignof(max_align_t) &&
                                      std::is_nothrow_move_constructible_v<F>;

}  // namespace detail

/// A callable that takes Args..., or only the last few of them.
template <class F, class... Args>
concept CallableWithTail = detail::CallTail<std::decay_t<F>, Args...>::found;

template <class Signature, size_t Capacity = 48, class M = Malloc>
class Handler;

namespace detail {

// A callable that can be seen to hold nothing makes an empty handler: a null pointer, an empty
// Handler, a std::function without a target. A lambda turns into a pointer, and is never empty.
template <class F>
bool holds_nothing(const F& callable) noexcept {
    if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) {
        return callable == nullptr;
    } else if constexpr (requires { static_cast<bool>(callable); } && !requires { +callable; }) {
        return !static_cast<bool>(callable);
    } else {
        return false;
    }
}

}  // namespace detail

/// Lifetime: owns the callable; destroyed with the handler, moved with it.
/// Threads: externally synchronised, as the callable itself.
/// Cost: one indirect call; no allocation for callables of up to Capacity bytes.
template <class R, class... Args, size_t Capacity, class M>
class Handler<R(Args...), Capacity, M> {
    static_assert(Capacity >= sizeof(void*), "a handler has room for a pointer at least");

public:
    Handler() noexcept = default;

    template <class F>
        requires(!std::derived_from<std::remove_cvref_t<F>, Handler>)
    Handler(F&& callable) noexcept(std::is_nothrow_constructible_v<std::decay_t<F>, F> &&
                                   detail::fits_in_place<std::decay_t<F>, Capacity>) {
        emplace(static_cast<F&&>(callable));
    }

    Handler(Handler&& other) noexcept { take(other); }
    Handler& operator=(Handler&& other) noexcept {
        if (this != &other) {
            // Destroyed last: the old callable may own `other`, and may use this handler.
            Handler old(static_cast<Handler&&>(*this));
            take(other);
        }
        return *this;
    }
    ~Handler() {
        if (manage_ != nullptr) manage_(storage_, nullptr);
    }

    /// False if there is nothing to call: default-constructed, moved from, made of a null pointer
    /// or of an empty Handler, or out of memory.
    explicit operator bool() const noexcept { return call_ != nullptr; }

    R operator()(Args... args) {
        RONDO_ASSERT(call_ != nullptr, "an empty handler was called: give it a callable first");
        return call(static_cast<Args&&>(args)...);
    }
    /// The same without a look whether there is something to call.
    R call(Args... args) { return call_(storage_, static_cast<Args&&>(args)...); }

    /// Destroys the callable, whose destructor finds this handler empty and may give it another.
    void reset() noexcept { const Handler old(static_cast<Handler&&>(*this)); }

private:
    template <class F>
    void emplace(F&& callable) {
        using Fn = std::decay_t<F>;
        static_assert(CallableWithTail<Fn, Args...>,
                      "a handler's callable takes its arguments, or only the last few of them");
        if (detail::holds_nothing<Fn>(callable)) return;
        if constexpr (!CallableWithTail<Fn, Args...>) {
            return;  // one error is enough
        } else if constexpr (detail::fits_in_place<Fn, Capacity>) {
            // Moving copies the whole storage, so all of it has a value.
            if constexpr (std::is_trivially_copyable_v<Fn>) memset(storage_, 0, Capacity);
            ::new (static_cast<void*>(storage_)) Fn(static_cast<F&&>(callable));
            call_ = &call_in_place<Fn>;
            if constexpr (!std::is_trivially_copyable_v<Fn>) manage_ = &manage_in_place<Fn>;
        } else {
            static_assert(
                !std::same_as<M, InPlaceOnly>,
                "this callable is too large to be stored in place (or its move may throw): "
                "capture less, or a pointer, or give the Handler more Capacity");
            if constexpr (!std::same_as<M, InPlaceOnly>)
                emplace_elsewhere<Fn>(static_cast<F&&>(callable));
        }
    }

    template <class Fn, class F>
    void emplace_elsewhere(F&& callable) {
        void* const memory = M::allocate(sizeof(Fn), alignof(Fn));
        if (memory == nullptr) return;
        struct Guard {
            void* memory;
            ~Guard() {
                if (memory != nullptr) M::release(memory, sizeof(Fn), alignof(Fn));
            }
        } guard{memory};
        Fn* const fn = ::new (memory) Fn(static_cast<F&&>(callable));
        guard.memory = nullptr;
        ::new (static_cast<void*>(storage_)) Fn*(fn);
        call_ = &call_elsewhere<Fn>;
        manage_ = &manage_elsewhere<Fn>;
    }

    template <class Fn>
    static R call_in_place(void* storage, Args... args) {
        return call<Fn>(*static_cast<Fn*>(storage), static_cast<Args&&>(args)...);
    }
    template <class Fn>
    static R call_elsewhere(void* storage, Args... args) {
        return call<Fn>(**static_cast<Fn**>(storage), static_cast<Args&&>(args)...);
    }
    template <class Fn>
    static R call(Fn& fn, Args&&... args) {
        using Tail = detail::CallTail<Fn, Args...>;
        if constexpr (std::is_void_v<R>) {
            static_cast<void>(Tail::call(fn, static_cast<Args&&>(args)...));
        } else {
            return Tail::call(fn, static_cast<Args&&>(args)...);
        }
    }

    // Moves the callable to raw storage at `to` and destroys the rest; only destroys if `to` is
    // null.
    template <class Fn>
    static void manage_in_place(void* from, void* to) noexcept {
        Fn* const fn = static_cast<Fn*>(from);
        if (to != nullptr) ::new (to) Fn(static_cast<Fn&&>(*fn));
        fn->~Fn();
    }
    template <class Fn>
    static void manage_elsewhere(void* from, void* to) noexcept {
        Fn* const fn = *static_cast<Fn**>(from);
        if (to != nullptr) {
            ::new (to) Fn*(fn);
        } else {
            fn->~Fn();
            M::release(fn, sizeof(Fn), alignof(Fn));
        }
    }

    void take(Handler& other) noexcept {
        call_ = std::exchange(other.call_, nullptr);
        manage_ = std::exchange(other.manage_, nullptr);
        if (manage_ != nullptr) {
            manage_(other.storage_, storage_);
        } else if (call_ != nullptr) {
            memcpy(storage_, other.storage_, Capacity);
        }
    }

    alignas(max_align_t) unsigned char storage_[Capacity];
    R (*call_)(void*, Args...) = nullptr;
    void (*manage_)(void*, void*) noexcept = nullptr;
};

static_assert(sizeof(void*) != 8 || sizeof(Handler<void()>) == 64, "a handler is one cache line");

}  // namespace rondo::inline RONDO_ABI
