// SPDX-License-Identifier: BSL-1.0
#pragma once
// Where task nodes come from and go back to. TaskPool is shared by all threads of a queue and hands
// out bundles, chains of up to 256 free nodes; TaskCache is one thread's own share and needs the
// pool once per bundle, so that a post touches no shared line but the queue's head.
//
// Bundles are pushed with one compare-and-swap. They are popped under a spin lock, held for three
// instructions: with one popper at a time the bundle on top can't leave and come back behind its
// back (ABA), and none of them can walk off with everything that is free, which bounds the memory
// by the largest number of tasks that ever waited plus one bundle per cache. Slabs are never given
// back before the pool dies.

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
    static constexpr size_t bundle_size = 256;

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

    /// In the child after fork: frees the lock that a thread of the parent may have held.
    void abandon() noexcept { unlock(); }

private:
    struct Slab {
        Slab* next;
        TaskNode nodes[bundle_size];
    };

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
        Slab* slab = ::new (place) Slab;
        for (size_t i = 0; i + 1 < bundle_size; ++i) slab->nodes[i].next = &slab->nodes[i + 1];
        slab->nodes[bundle_size - 1].next = nullptr;

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

/// One thread's free nodes: the bundle in use and at most one spare, so that taking and giving back
/// at a boundary doesn't reach the pool each time.
/// Threads: one at a time. The pool is an argument, not a member: an empty cache is two words.
template <Memory M>
class TaskCache {
public:
    TaskCache() noexcept = default;
    TaskCache(TaskCache&& other) noexcept { swap(other); }
    TaskCache& operator=(TaskCache&&) = delete;

    void swap(TaskCache& other) noexcept {
        std::swap(top_, other.top_);
        std::swap(spare_, other.spare_);
        std::swap(size_, other.size_);
    }

    /// A free node; nullptr: out of memory.
    TaskNode* take(TaskPool<M>& pool) noexcept {
        if (top_ == nullptr && !refill(pool)) return nullptr;
        TaskNode* node = top_;
        top_ = node->next;
        --size_;
        return node;
    }

    /// Gives an empty node back.
    void put(TaskPool<M>& pool, TaskNode* node) noexcept {
        if (size_ == TaskPool<M>::bundle_size) {
            if (spare_ != nullptr) pool.push_bundle(spare_);
            spare_ = std::exchange(top_, nullptr);
            size_ = 0;
        }
        node->next = top_;
        top_ = node;
        ++size_;
    }

    /// Gives everything back.
    void flush(TaskPool<M>& pool) noexcept {
        if (top_ != nullptr) pool.push_bundle(std::exchange(top_, nullptr));
        if (spare_ != nullptr) pool.push_bundle(std::exchange(spare_, nullptr));
        size_ = 0;
    }

private:
    [[gnu::noinline]] bool refill(TaskPool<M>& pool) noexcept {
        top_ = spare_ != nullptr ? std::exchange(spare_, nullptr) : pool.pop_bundle();
        size_ = TaskPool<M>::bundle_size;  // it may hold fewer, never more
        return top_ != nullptr;
    }

    TaskNode* top_ = nullptr;
    TaskNode* spare_ = nullptr;
    size_t size_ = 0;  // at least as many as hang on top_
};

}  // namespace rondo::inline RONDO_ABI::detail
