// SPDX-License-Identifier: BSL-1.0
#pragma once
// DatagramQueue: copies of datagrams on their way out, each with its address, in one ring of fixed
// size. The ring is allocated once, at the first datagram, and bounds everything: what doesn't fit
// is refused, because datagrams may be lost and memory may not grow.
//
// A datagram is never cut in two: one that doesn't fit behind the last begins at the front.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/core/endpoint.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/core/socket_types.hpp>

namespace rondo::inline RONDO_ABI {

/// Lifetime: owns its bytes; what gather() shows is good until it is popped.
/// Threads: externally synchronised.
/// Cost: O(bytes) to push, O(1) to pop.
template <Memory M = Malloc>
class DatagramQueue {
    struct Record {
        Endpoint to;
        uint32_t size;
    };

public:
    /// What each datagram takes of the ring beside its bytes, which are rounded up to 4.
    static constexpr size_t overhead = sizeof(Record);

    /// `bytes_max` bounds the ring, the overhead included.
    explicit DatagramQueue(size_t bytes_max) noexcept : capacity_(bytes_max) {}
    DatagramQueue(const DatagramQueue&) = delete;
    DatagramQueue& operator=(const DatagramQueue&) = delete;
    ~DatagramQueue() { clear(); }

    /// Copies a datagram to the back. Answers 0, ENOBUFS if there is no room, or ENOMEM; then
    /// nothing changed.
    [[nodiscard]] int push(std::span<const std::byte> bytes, const Endpoint& to) noexcept {
        if (bytes.size() > capacity_ || bytes.size() > UINT32_MAX) return ENOBUFS;
        const size_t need = taken_by(bytes.size());
        size_t at = end_;
        if (begin_ < end_ || count_ == 0) {
            if (need > capacity_ - end_) {
                if (need > begin_) return ENOBUFS;
                at = 0;
            }
        } else if (need > begin_ - end_) {
            return ENOBUFS;
        }
        if (ring_ == nullptr) {
            ring_ = static_cast<std::byte*>(M::allocate(capacity_, alignof(max_align_t)));
            if (ring_ == nullptr) return ENOMEM;
        }
        if (at != end_) wrap_ = end_;
        ::new (static_cast<void*>(ring_ + at)) Record{to, static_cast<uint32_t>(bytes.size())};
        if (!bytes.empty()) memcpy(ring_ + at + sizeof(Record), bytes.data(), bytes.size());
        end_ = at + need;
        ++count_;
        return 0;
    }

    /// Names the first datagrams, as many as `out` has room for; answers how many.
    size_t gather(std::span<OutDatagram> out) const noexcept {
        const size_t count = count_ < out.size() ? count_ : out.size();
        size_t at = begin_;
        for (size_t i = 0; i < count; ++i) {
            const Record& record = *record_at(at);
            out[i] = {ring_ + at + sizeof(Record), record.size, &record.to};
            at = behind(at);
        }
        return count;
    }

    /// Drops the first `count` datagrams.
    void pop(size_t count) noexcept {
        RONDO_ASSERT(count <= count_, "more datagrams were popped than there are");
        for (size_t i = 0; i < count; ++i) begin_ = behind(begin_);
        count_ -= count;
        if (count_ == 0) begin_ = end_ = 0;
    }

    /// Drops all datagrams and gives the memory back.
    void clear() noexcept {
        if (ring_ != nullptr) M::release(ring_, capacity_, alignof(max_align_t));
        ring_ = nullptr;
        begin_ = end_ = count_ = 0;
    }

    size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }

private:
    static size_t taken_by(size_t bytes) noexcept {
        return sizeof(Record) + (bytes + alignof(Record) - 1) / alignof(Record) * alignof(Record);
    }
    const Record* record_at(size_t at) const noexcept {
        return std::launder(reinterpret_cast<const Record*>(ring_ + at));
    }
    // Where the next one begins. Unless the ring is wrapped, nobody asks behind the last.
    size_t behind(size_t at) const noexcept {
        const size_t next = at + taken_by(record_at(at)->size);
        return end_ <= begin_ && next == wrap_ ? 0 : next;
    }

    const size_t capacity_;
    std::byte* ring_ = nullptr;
    size_t begin_ = 0;
    size_t end_ = 0;
    size_t wrap_ = 0;  // where the datagrams of the upper part end, once there are some in front
    size_t count_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
