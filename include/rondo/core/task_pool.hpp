// SPDX-License-Identifier: BSL-1.0
#pragma once
// Where task nodes come from and go back to. TaskPool is shared by all threads of a queue and hands
// out bundles, chains of up to 255 free nodes; TaskCache is one thread's own bundle and needs the
// pool once per bundle, so that a post touches no shared line but the queue's head.
//
// Nodes come back in whole slabs: the consumer only counts, and when a slab's last node is back the
// slab is a bundle again, in the order of its addresses. (Chained in the order in which they ran,
// the nodes of several producers mix for good, and posts get slower with every round: measured.) A
// slab stays out while one of its tasks waits.
//
// Bundles are pushed with one compare-and-swap and popped under a spin lock, held for three
// instructions: with one popper at a time the bundle on top can't leave and come back behind its
// back (ABA). Slabs are given back to the system when the pool dies.

#include <stddef.h>

#include <atomic>
#include <new>
#include <utility>

#include <rondo/config/platform.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/core/task_node.hpp>

namespace rondo::inline RONDO_ABI::detail {

/// Tells the processor that this is a loop that waits for another one.
inline void spin_pause() noexcept { RONDO_SPIN_PAUSE(); }

template <Memory M>
class TaskPool {
public:
    static constexpr size_t bundle_size = 255;  // with its head, a slab is 16 KiB

    TaskPool() noexcept = default;
    TaskPool(const TaskPool&) = delete;
    TaskPool& operator=(const TaskPool&) = delete;

    /// Every node must be empty by now.
    ~TaskPool() {
        Slab* slab = slabs_.load(std::memory_order_relaxed);
        while (slab != nullptr) {
            M::release(std::exchange(slab, slab->next), sizeof(Slab), alignof(Slab));
        }
    }

    /// A chain of at least one free node, ended by nullptr; nullptr: out of memory.
    /// Threads: any.
    TaskNode* pop_bundle() noexcept {
        lock();
        TaskNode* bundle = pop_locked();
        unlock();
        return bundle != nullptr ? bundle : new_slab();
    }

    /// Gives a chain, ended by nullptr, back.
    /// Threads: any.
    void push_bundle(TaskNode* first) noexcept {
        // release: whoever pops the bundle must see its links.
        TaskNode* top = free_.load(std::memory_order_relaxed);
        do {
            first->below = top;
        } while (!free_.compare_exchange_weak(top, first, std::memory_order_release,
                                              std::memory_order_relaxed));
    }

    /// One node, for threads without a cache; nullptr: out of memory.
    /// Threads: any.
    TaskNode* pop_node() noexcept {
        lock();
        if (loose_ == nullptr) loose_ = pop_locked();
        TaskNode* node = loose_;
        if (node != nullptr) loose_ = node->next;
        unlock();
        if (node != nullptr) return node;

        node = new_slab();  // not under the lock: allocating takes long
        if (node != nullptr) push_bundle(node->next);
        return node;
    }

    /// Threads: any.
    void push_node(TaskNode* node) noexcept {
        node->next = nullptr;
        push_bundle(node);
    }

    /// Gives a node back that has been through the queue, and is empty by now.
    /// Threads: the consumer.
    void give_back(TaskNode* node) noexcept {
        constexpr auto mask = ~static_cast<uintptr_t>(sizeof(Slab) - 1);
        Slab* const slab = reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(node) & mask);
        if (++slab->returned != bundle_size) return;
        slab->returned = 0;
        push_bundle(chain(*slab));
    }

    /// In the child after fork: frees the lock that a thread of the parent may have held.
    void abandon() noexcept { unlock(); }

private:
    // Aligned to its size, so that a node's address tells its slab.
    struct alignas(16384) Slab {
        Slab* next;
        size_t returned;  // the consumer's: nodes that are back, while others are out
        TaskNode nodes[bundle_size];
    };
    static_assert(sizeof(Slab) == 16384);

    // All nodes of a slab, in the order of their addresses.
    static TaskNode* chain(Slab& slab) noexcept {
        for (size_t i = 0; i + 1 < bundle_size; ++i) slab.nodes[i].next = &slab.nodes[i + 1];
        slab.nodes[bundle_size - 1].next = nullptr;
        return slab.nodes;
    }

    void lock() noexcept {
        while (locked_.exchange(true, std::memory_order_acquire)) {
            while (locked_.load(std::memory_order_relaxed)) spin_pause();
        }
    }
    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

    TaskNode* pop_locked() noexcept {
        // acquire: the links were written by the thread that pushed. Nobody else pops, so `top`
        // stays in the list, and its link unchanged, until the exchange succeeds.
        TaskNode* top = free_.load(std::memory_order_acquire);
        while (top != nullptr &&
               !free_.compare_exchange_weak(top, top->below, std::memory_order_acquire,
                                            std::memory_order_acquire)) {
        }
        return top;
    }

    [[gnu::cold, gnu::noinline]] TaskNode* new_slab() noexcept {
        void* place = M::allocate(sizeof(Slab), alignof(Slab));
        if (place == nullptr) return nullptr;
        RONDO_ASSERT(reinterpret_cast<uintptr_t>(place) % alignof(Slab) == 0,
                     "the Memory policy must honour the alignment that it is asked for");
        Slab* slab = ::new (place) Slab;
        slab->returned = 0;
        static_cast<void>(chain(*slab));

        // relaxed: only the destructor reads the list, and dropping the last reference orders it.
        slab->next = slabs_.load(std::memory_order_relaxed);
        while (!slabs_.compare_exchange_weak(slab->next, slab, std::memory_order_relaxed)) {
        }
        return slab->nodes;
    }

    std::atomic<TaskNode*> free_{nullptr};  // a stack of bundles, linked by `below`
    std::atomic<Slab*> slabs_{nullptr};
    TaskNode* loose_ = nullptr;  // under the lock
    std::atomic<bool> locked_{false};
};

/// One thread's free nodes.
/// Threads: one at a time. The pool is an argument, not a member: a cache is one word.
template <Memory M>
class TaskCache {
public:
    TaskCache() noexcept = default;
    TaskCache(TaskCache&& other) noexcept : top_(std::exchange(other.top_, nullptr)) {}
    TaskCache& operator=(TaskCache&&) = delete;

    void swap(TaskCache& other) noexcept { std::swap(top_, other.top_); }

    /// A free node; nullptr: out of memory.
    TaskNode* take(TaskPool<M>& pool) noexcept {
        if (top_ == nullptr) top_ = pool.pop_bundle();
        if (top_ == nullptr) return nullptr;
        TaskNode* node = top_;
        top_ = node->next;
        return node;
    }

    /// Puts a node back that was taken and then not used.
    void untake(TaskNode* node) noexcept {
        node->next = top_;
        top_ = node;
    }

    /// Gives everything back.
    void flush(TaskPool<M>& pool) noexcept {
        if (top_ != nullptr) pool.push_bundle(std::exchange(top_, nullptr));
    }

private:
    TaskNode* top_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail
