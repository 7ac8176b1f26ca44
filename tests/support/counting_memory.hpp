// SPDX-License-Identifier: BSL-1.0
#pragma once
// A Memory policy that tests look into: it counts, fails on demand, fills fresh memory with
// rubbish, and notices a release whose address, size or alignment isn't that of the allocation.
// Each Tag has counters of its own, so tests don't disturb each other; threads may share one.

#include <stddef.h>
#include <string.h>

#include <map>
#include <mutex>

#include <rondo/core/memory.hpp>

namespace rondo::test {

template <int Tag>
struct CountingMemory {
    static void* allocate(size_t size, size_t alignment) noexcept {
        const std::lock_guard lock(mutex_);
        if (countdown_ > 0 && --countdown_ == 0) {
            ++refused_;
            if (from_then_on_) countdown_ = 1;
            return nullptr;
        }
        void* const address = Malloc::allocate(size, alignment);
        if (address == nullptr) return nullptr;
        memset(address, 0xa5, size);
        blocks_[address] = Block{size, alignment};
        ++allocations_;
        bytes_ += size;
        return address;
    }

    static void release(void* address, size_t size, size_t alignment) noexcept {
        const std::lock_guard lock(mutex_);
        const auto block = blocks_.find(address);
        if (block == blocks_.end() || block->second.size != size ||
            block->second.alignment != alignment) {
            ++mismatched_;
            return;
        }
        memset(address, 0x5a, size);
        blocks_.erase(block);
        bytes_ -= size;
        Malloc::release(address, size, alignment);
    }

    /// The k-th allocation from now fails, and only that (1: the next one).
    static void fail_after(int k) { arm(k, false); }
    /// The k-th allocation from now fails, and every later one.
    static void fail_from(int k) { arm(k, true); }
    static void never_fail() { arm(0, false); }

    /// Allocations that succeeded so far.
    static size_t allocations() { return read(allocations_); }
    /// Allocations that were made to fail so far.
    static size_t refused() { return read(refused_); }
    /// Releases that don't fit what was allocated; never anything but 0.
    static size_t mismatched() { return read(mismatched_); }
    /// Bytes in use.
    static size_t bytes() { return read(bytes_); }
    /// Blocks in use.
    static size_t held() {
        const std::lock_guard lock(mutex_);
        return blocks_.size();
    }

private:
    struct Block {
        size_t size;
        size_t alignment;
    };

    static void arm(int k, bool from_then_on) {
        const std::lock_guard lock(mutex_);
        countdown_ = k;
        from_then_on_ = from_then_on;
    }
    static size_t read(const size_t& counter) {
        const std::lock_guard lock(mutex_);
        return counter;
    }

    static inline std::mutex mutex_;
    static inline std::map<void*, Block> blocks_;
    static inline int countdown_ = 0;  // 0: nothing fails
    static inline bool from_then_on_ = false;
    static inline size_t allocations_ = 0;
    static inline size_t refused_ = 0;
    static inline size_t mismatched_ = 0;
    static inline size_t bytes_ = 0;
};

/// Runs `attempt(k)` with the first, second, ... allocation made to fail, until one attempt needs
/// no more; that last one runs without a failure. Says how many failures there were.
template <class Counting, class Attempt>
int with_each_allocation_failing(Attempt&& attempt) {
    for (int k = 1;; ++k) {
        const size_t before = Counting::refused();
        Counting::fail_after(k);
        attempt(k);
        Counting::never_fail();
        if (Counting::refused() == before) return k - 1;
    }
}

}  // namespace rondo::test
