// SPDX-License-Identifier: BSL-1.0
#pragma once
// Pool<T>: objects of one type in large chunks, with addresses that never change. A freed place is
// taken again first; memory goes back to the system with the pool.
//
// It doesn't know which places are in use: whoever owns the objects destroys them.

#include <stddef.h>

#include <new>
#include <utility>

#include <rondo/core/memory.hpp>

namespace rondo::inline RONDO_ABI {

/// Lifetime: every object must have been destroyed before the pool.
/// Threads: externally synchronised.
/// Cost: create and destroy are a few instructions; one allocation per ChunkSize objects.
template <class T, Memory M = Malloc, size_t ChunkSize = 64>
class Pool {
public:
    Pool() noexcept = default;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
        while (chunks_ != nullptr) {
            Chunk* const next = chunks_->next;
            M::release(chunks_, sizeof(Chunk), alignof(Chunk));
            chunks_ = next;
        }
    }

    /// nullptr if memory is out, and `args` are as before. The constructor of T may use the pool;
    /// if it throws, the place is free again.
    template <class... Args>
    T* create(Args&&... args) {
        if (free_ == nullptr && !grow()) return nullptr;
        Taken taken{*this, free_};
        free_ = free_->next_free;
        T* const object =
            ::new (static_cast<void*>(taken.place->bytes)) T(std::forward<Args>(args)...);
        taken.place = nullptr;
        return object;
    }

    /// The destructor of T may use the pool.
    void destroy(T* object) noexcept {
        object->~T();
        give_back(reinterpret_cast<Place*>(object));
    }

private:
    union Place {
        Place* next_free;
        alignas(T) unsigned char bytes[sizeof(T)];
    };
    struct Chunk {
        Place places[ChunkSize];
        Chunk* next;
    };

    // A place between the free list and its object.
    struct Taken {
        Pool& pool;
        Place* place;
        ~Taken() {
            if (place != nullptr) pool.give_back(place);
        }
    };

    void give_back(Place* place) noexcept {
        place->next_free = free_;
        free_ = place;
    }

    [[gnu::cold, gnu::noinline]] bool grow() noexcept {
        void* const memory = M::allocate(sizeof(Chunk), alignof(Chunk));
        if (memory == nullptr) return false;
        Chunk* const chunk = ::new (memory) Chunk;
        chunk->next = chunks_;
        chunks_ = chunk;
        for (size_t i = ChunkSize; i-- > 0;) give_back(&chunk->places[i]);
        return true;
    }

    Place* free_ = nullptr;
    Chunk* chunks_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI
