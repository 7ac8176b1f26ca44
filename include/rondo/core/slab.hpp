// SPDX-License-Identifier: BSL-1.0
#pragma once
// Slab<T>: objects behind keys. A key is an index and a generation, so one that outlives its object
// finds nothing, even when the place was used again; the objects themselves never move.
//
// It refuses to order or to search: a key is the only way in, for_each the only way through.

#include <stddef.h>
#include <stdint.h>

#include <utility>

#include <rondo/core/array.hpp>
#include <rondo/core/pool.hpp>

namespace rondo::inline RONDO_ABI {

/// Names one object of a Slab. The default key names none.
struct SlabKey {
    uint32_t index = 0;
    uint32_t generation = 0;

    explicit operator bool() const noexcept { return generation != 0; }
    friend bool operator==(SlabKey, SlabKey) noexcept = default;
};

/// Lifetime: owns its objects and destroys what is left.
/// Threads: externally synchronised.
/// Cost: insert, find and erase are O(1).
template <class T, Memory M = Malloc>
class Slab {
public:
    Slab() noexcept = default;
    ~Slab() { clear(); }

    /// A key that tests false if memory is out. The constructor of T may use the slab; if it
    /// throws, the slab is as before.
    template <class... Args>
    SlabKey insert(Args&&... args) {
        if (free_ == none) {
            if (!entries_.push_back(Entry{})) return {};
            free_ = static_cast<uint32_t>(entries_.size() - 1);
        }
        Taken taken{*this, free_};
        free_ = entries_[free_].next_free;
        T* const object = pool_.create(std::forward<Args>(args)...);
        if (object == nullptr) return {};
        const uint32_t index = std::exchange(taken.index, none);
        Entry& entry = entries_[index];
        entry.object = object;
        ++entry.generation;
        ++size_;
        return {index, entry.generation};
    }

    /// The object, or nullptr if it is gone.
    T* find(SlabKey key) noexcept {
        if (key.index >= entries_.size()) return nullptr;
        Entry& entry = entries_[key.index];
        return entry.generation == key.generation && live(entry) ? entry.object : nullptr;
    }

    /// Takes the object out and destroys it. Its destructor may use the slab, and finds its own key
    /// stale. False if it is gone already.
    bool erase(SlabKey key) noexcept {
        T* const object = find(key);
        if (object == nullptr) return false;
        Entry& entry = entries_[key.index];
        ++entry.generation;
        entry.object = nullptr;
        give_back(key.index);
        --size_;
        pool_.destroy(object);
        return true;
    }

    /// Calls f(key, object) for each; f may erase and insert, and may or may not see what it
    /// inserts.
    template <class F>
    void for_each(F&& f) {
        for (uint32_t i = 0; i < entries_.size(); ++i) {
            if (live(entries_[i])) f(SlabKey{i, entries_[i].generation}, *entries_[i].object);
        }
    }

    /// Destroys every object, also what their destructors insert.
    void clear() noexcept {
        while (size_ != 0) {
            for (uint32_t i = 0; i < entries_.size(); ++i) erase({i, entries_[i].generation});
        }
    }

    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

private:
    static constexpr uint32_t none = UINT32_MAX;

    struct Entry {
        T* object = nullptr;
        uint32_t generation = 0;  // odd: in use
        uint32_t next_free = none;
    };
    // An entry between the free list and its object.
    struct Taken {
        Slab& slab;
        uint32_t index;
        ~Taken() {
            if (index != none) slab.give_back(index);
        }
    };

    void give_back(uint32_t index) noexcept {
        entries_[index].next_free = free_;
        free_ = index;
    }
    static bool live(const Entry& entry) noexcept { return entry.generation % 2 == 1; }

    Array<Entry, M> entries_;
    Pool<T, M, 16> pool_;
    uint32_t free_ = none;
    size_t size_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
