// SPDX-License-Identifier: BSL-1.0
#pragma once
// Where memory comes from. A Memory policy is a stateless type with two static functions, so that a
// program can count, limit or replace what the library allocates at compile time and at no cost.
//
// allocate() answers nullptr when there is nothing left; it never throws.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <concepts>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

/// A source of memory. `alignment` is a power of two of up to 16 KiB, and must be honoured: a task
/// finds the head of its slab by its own address.
template <class M>
concept Memory = requires(void* address, size_t size, size_t alignment) {
    { M::allocate(size, alignment) } noexcept -> std::same_as<void*>;
    { M::release(address, size, alignment) } noexcept;
};

/// The C library's heap.
struct Malloc {
    static void* allocate(size_t size, size_t alignment) noexcept {
        if (alignment <= alignof(max_align_t)) return malloc(size);
        if (size > SIZE_MAX - alignment) return nullptr;
        return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    }
    static void release(void* address, size_t, size_t) noexcept { free(address); }
};

}  // namespace rondo::inline RONDO_ABI
