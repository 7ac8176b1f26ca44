// SPDX-License-Identifier: BSL-1.0
#pragma once
// Buffer: bytes in one piece, appended at the back and consumed from the front. It holds what a
// parser couldn't use yet: a frame is always contiguous, and an empty buffer holds no memory.
//
// It refuses to be a ring (a frame would come in two pieces) and never shrinks while it holds
// bytes.

#include <stddef.h>
#include <string.h>

#include <cstddef>
#include <span>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/core/memory.hpp>

namespace rondo::inline RONDO_ABI {

/// Lifetime: owns its bytes; a span of them is good until the next append or consume.
/// Threads: externally synchronised.
/// Cost: append is amortised O(bytes); consume is O(1).
template <Memory M = Malloc>
class Buffer {
public:
    Buffer() noexcept = default;
    Buffer(Buffer&& other) noexcept
        : bytes_(std::exchange(other.bytes_, nullptr)),
          begin_(std::exchange(other.begin_, 0)),
          end_(std::exchange(other.end_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        Buffer taken(std::move(other));
        std::swap(bytes_, taken.bytes_);
        std::swap(begin_, taken.begin_);
        std::swap(end_, taken.end_);
        std::swap(capacity_, taken.capacity_);
        return *this;
    }
    ~Buffer() { clear(); }

    std::span<const std::byte> data() const noexcept { return {bytes_ + begin_, size()}; }
    size_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return begin_ == end_; }

    /// Copies `more` to the back. False: memory is out, and nothing changed.
    [[gnu::noinline]] bool append(std::span<const std::byte> more) noexcept {
        if (more.empty()) return true;
        if (!make_room(more.size())) return false;
        memcpy(bytes_ + end_, more.data(), more.size());
        end_ += more.size();
        return true;
    }

    /// Drops `count` bytes from the front.
    void consume(size_t count) noexcept {
        RONDO_ASSERT(count <= size(), "more bytes were consumed than there are");
        begin_ += count;
        if (begin_ == end_) clear();
    }

    /// Drops all bytes and gives the memory back.
    void clear() noexcept {
        if (bytes_ != nullptr) M::release(bytes_, capacity_, alignment);
        bytes_ = nullptr;
        begin_ = end_ = capacity_ = 0;
    }

private:
    static constexpr size_t alignment = alignof(max_align_t);
    static constexpr size_t capacity_min = 64;

    // Moves to the front what is there before it asks for memory: at most as many bytes as were
    // consumed since, so appending stays amortised.
    bool make_room(size_t count) noexcept {
        if (count <= capacity_ - end_) return true;
        const size_t held = size();
        if (count > SIZE_MAX / 2 - held) return false;
        if (held + count <= capacity_ && begin_ >= held) {
            memcpy(bytes_, bytes_ + begin_, held);
        } else {
            size_t capacity = capacity_ != 0 ? 2 * capacity_ : capacity_min;
            while (capacity < held + count) capacity *= 2;
            auto* const bytes = static_cast<std::byte*>(M::allocate(capacity, alignment));
            if (bytes == nullptr) return false;
            if (held != 0) memcpy(bytes, bytes_ + begin_, held);
            if (bytes_ != nullptr) M::release(bytes_, capacity_, alignment);
            bytes_ = bytes;
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = held;
        return true;
    }

    std::byte* bytes_ = nullptr;
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t capacity_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
