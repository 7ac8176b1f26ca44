// SPDX-License-Identifier: BSL-1.0
#pragma once
// TaskNode: one closure that waits to run, in one cache line. A link, one function pointer that
// runs and destroys (or only destroys) the closure, and 48 bytes for the closure itself. A closure
// that is larger, or aligned to more than 16, costs one allocation, and the node holds a pointer to
// it.
//
// One pointer instead of a table of two, because a task is run once and destroyed in the same
// breath. A node doesn't own itself: who takes it out of a list calls run() or discard(), once, and
// gives the empty node back to its pool.

#include <stddef.h>

#include <new>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/config/version.hpp>
#include <rondo/core/handler.hpp>
#include <rondo/core/memory.hpp>

namespace rondo::inline RONDO_ABI::detail {

struct alignas(64) TaskNode {
    static constexpr size_t capacity = 48;
    static constexpr size_t alignment = 16;

    TaskNode* next;
    void (*operate)(TaskNode*, bool run);
    union {
        alignas(alignment) unsigned char closure[capacity];
        void* outside;    // a closure too large for the node
        TaskNode* below;  // while free: the next bundle of the pool
    };

    /// True if a closure of this type needs no allocation.
    template <class F>
    static constexpr bool fits = sizeof(F) <= capacity && alignof(F) <= alignment;

    /// Builds the closure into an empty node. False: out of memory; the node is empty and `f` as it
    /// was. What the closure's constructor throws leaves the node empty.
    template <Memory M, class F>
    bool fill(F&& f) {
        using Closure = std::decay_t<F>;
        static_assert(std::is_invocable_v<Closure&>,
                      "a task is called without arguments: void(), such as [] { ... }");
        RONDO_ASSERT(!holds_nothing<Closure>(f), "an empty task was given: give it a callable");
        if constexpr (fits<Closure>) {
            ::new (static_cast<void*>(closure)) Closure(std::forward<F>(f));
            operate = &operate_inside<Closure>;
        } else {
            void* place = M::allocate(sizeof(Closure), alignof(Closure));
            if (place == nullptr) return false;
            Block<M, Closure> block{place};
            ::new (place) Closure(std::forward<F>(f));
            outside = std::exchange(block.place, nullptr);
            operate = &operate_outside<M, Closure>;
        }
        return true;
    }

    /// Calls the closure and destroys it, also if it throws. The node is empty afterwards.
    void run() { operate(this, true); }
    /// Destroys the closure without calling it. The node is empty afterwards.
    void discard() { operate(this, false); }

private:
    template <Memory M, class Closure>
    struct Block {
        void* place;
        ~Block() {
            if (place != nullptr) M::release(place, sizeof(Closure), alignof(Closure));
        }
    };

    template <class Closure>
    static void call(Closure* closure, bool run) {
        struct Last {
            Closure* closure;
            ~Last() { closure->~Closure(); }
        } last{closure};
        if (run) static_cast<void>((*closure)());
    }

    template <class Closure>
    static void operate_inside(TaskNode* node, bool run) {
        call(std::launder(reinterpret_cast<Closure*>(node->closure)), run);
    }

    template <Memory M, class Closure>
    static void operate_outside(TaskNode* node, bool run) {
        Block<M, Closure> block{node->outside};
        call(static_cast<Closure*>(block.place), run);
    }
};

static_assert(sizeof(void*) != 8 || sizeof(TaskNode) == 64, "a task is one cache line");

/// A FIFO of nodes.
class TaskList {
public:
    bool empty() const noexcept { return head_ == nullptr; }

    void append(TaskNode* node) noexcept { append(node, node); }

    /// Appends a chain; `last->next` is overwritten.
    void append(TaskNode* first, TaskNode* last) noexcept {
        last->next = nullptr;
        if (head_ == nullptr) {
            head_ = first;
        } else {
            tail_->next = first;
        }
        tail_ = last;
    }

    /// Moves everything out of `other` to the end of this list.
    void append(TaskList& other) noexcept {
        if (other.empty()) return;
        append(std::exchange(other.head_, nullptr), other.tail_);
    }

    /// The first node, taken out; nullptr if there is none.
    TaskNode* pop() noexcept {
        TaskNode* node = head_;
        if (node != nullptr) head_ = node->next;
        return node;
    }

private:
    TaskNode* head_ = nullptr;
    TaskNode* tail_ = nullptr;  // meaningful only while head_ is set
};

}  // namespace rondo::inline RONDO_ABI::detail
