// SPDX-License-Identifier: BSL-1.0
#pragma once
// Scratch: large buffers to read into, shared by everything on a loop. Whoever reads takes one for
// the length of a call; a nested turn that reads meanwhile gets another, so bytes that somebody is
// looking at never change. Buffers are kept for the next time: one for each level of nesting.

#include <stddef.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include <rondo/core/memory.hpp>

namespace rondo::inline RONDO_ABI::detail {

template <Memory M>
class Scratch {
    struct Block {
        Block* next;
    };

public:
    // As much as a socket holds: with less, bulk is cut into more system calls. On a page's start:
    // the kernel copies from page to page by `rep movsb`, which is up to nine times slower when the
    // target is a few bytes ahead of its source modulo 4096, as malloc's large blocks are.
    static constexpr size_t bytes = 256 * 1024;
    static constexpr size_t alignment = 4096;

    Scratch() noexcept = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        while (free_ != nullptr) {
            Block* const block = std::exchange(free_, free_->next);
            M::release(block, bytes, alignment);
        }
    }

    /// Holds one buffer; empty if memory is out, if default-constructed, or if moved from.
    /// Lifetime: must not outlive the Scratch.
    class Lease {
    public:
        Lease() noexcept = default;
        explicit Lease(Scratch& scratch) noexcept : scratch_(&scratch), block_(scratch.take()) {}
        Lease(Lease&& other) noexcept
            : scratch_(other.scratch_), block_(std::exchange(other.block_, nullptr)) {}
        Lease& operator=(Lease&& other) noexcept {
            std::swap(scratch_, other.scratch_);
            std::swap(block_, other.block_);
            return *this;
        }
        ~Lease() {
            if (block_ == nullptr) return;
            block_->next = scratch_->free_;
            scratch_->free_ = block_;
        }

        std::span<std::byte> span() const noexcept {
            return {reinterpret_cast<std::byte*>(block_), block_ != nullptr ? bytes : 0};
        }

    private:
        Scratch* scratch_ = nullptr;
        Block* block_ = nullptr;
    };

private:
    Block* take() noexcept {
        if (free_ != nullptr) return std::exchange(free_, free_->next);
        void* const memory = M::allocate(bytes, alignment);
        return memory == nullptr ? nullptr : ::new (memory) Block{nullptr};
    }

    Block* free_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail
