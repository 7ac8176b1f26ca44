// SPDX-License-Identifier: BSL-1.0
#pragma once
// Array<T>: a growable array of trivially copyable values whose memory comes from a Memory policy
// and whose growth can fail without losing anything. (std::vector throws, and needs libstdc++.)

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <new>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/core/memory.hpp>

namespace rondo::inline RONDO_ABI {

/// Threads: externally synchronised.
/// Cost: push_back is amortised O(1); the array never shrinks.
template <class T, Memory M = Malloc>
class Array {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    Array() noexcept = default;
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    Array(Array&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Array& operator=(Array&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~Array() { release(); }

    /// Room for `count` elements; false if memory is out, with everything as before.
    bool reserve(size_t count) noexcept { return count <= capacity_ || grow(count); }

    /// False if memory is out.
    bool push_back(const T& value) noexcept {
        const T copy = value;
        if (!reserve(size_ + 1)) return false;
        ::new (static_cast<void*>(data_ + size_)) T(copy);
        ++size_;
        return true;
    }

    /// Makes it `count` elements long, the new ones value-initialised; false if memory is out.
    bool resize(size_t count) noexcept {
        if (!reserve(count)) return false;
        for (size_t i = size_; i < count; ++i) ::new (static_cast<void*>(data_ + i)) T();
        size_ = count;
        return true;
    }

    void clear() noexcept { size_ = 0; }
    /// Drops the elements from `count` on.
    void truncate(size_t count) noexcept { size_ = count < size_ ? count : size_; }

    T& operator[](size_t index) noexcept { return data_[index]; }
    const T& operator[](size_t index) const noexcept { return data_[index]; }
    T* data() noexcept { return data_; }
    T* begin() noexcept { return data_; }
    T* end() noexcept { return data_ + size_; }
    size_t size() const noexcept { return size_; }
    size_t capacity() const noexcept { return capacity_; }
    bool empty() const noexcept { return size_ == 0; }

private:
    [[gnu::cold, gnu::noinline]] bool grow(size_t count) noexcept {
        size_t capacity = capacity_ + capacity_ / 2;
        if (capacity < count) capacity = count;
        if (capacity < 8) capacity = 8;
        if (capacity > SIZE_MAX / sizeof(T)) return false;
        void* const memory = M::allocate(capacity * sizeof(T), alignof(T));
        if (memory == nullptr) return false;
        if (size_ != 0) memcpy(memory, static_cast<const void*>(data_), size_ * sizeof(T));
        release();
        data_ = static_cast<T*>(memory);
        capacity_ = capacity;
        return true;
    }

    void release() noexcept {
        if (data_ == nullptr) return;
        M::release(static_cast<void*>(data_), capacity_ * sizeof(T), alignof(T));
    }

    T* data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
