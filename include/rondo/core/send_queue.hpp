// SPDX-License-Identifier: BSL-1.0
#pragma once
// SendQueue: bytes on their way out, in the order in which they were sent. What is copied gathers
// in chunks of 4 KiB, so that many small replies leave in few pieces; a string or a vector that is
// moved in is queued as it is. gather() names the pieces for one writev, consume() drops what has
// been written.
//
// Chunks come from a pool that the queues of one loop share: a queue that is empty holds no memory,
// and after warm-up small replies need no allocation.

#include <stddef.h>
#include <string.h>

#include <concepts>
#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/core/memory.hpp>
#include <rondo/core/socket_types.hpp>

namespace rondo::inline RONDO_ABI {

/// What can be queued without a copy when it is moved in: it owns contiguous bytes, or values that
/// are as good as bytes. A view doesn't own what it shows.
template <class Owner>
concept OwnsBytes =
    !std::is_reference_v<Owner> && !std::is_const_v<Owner> &&
    !std::is_trivially_copyable_v<Owner> && std::is_nothrow_move_constructible_v<Owner> &&
    requires(const Owner& owner) {
        { owner.size() } -> std::convertible_to<size_t>;
        requires std::is_pointer_v<decltype(owner.data())>;
        requires std::is_trivially_copyable_v<std::remove_pointer_t<decltype(owner.data())>>;
    };

namespace detail {

/// One piece of a queue. `end` destroys it; a chunk, whose bytes follow it, has none.
struct SendPiece {
    SendPiece* next;
    const std::byte* begin;
    size_t size;
    size_t room;  // behind the bytes of a chunk
    void (*end)(SendPiece*) noexcept;
    size_t allocated;
};

}  // namespace detail

/// Free chunks for the queues of one thread.
/// Lifetime: must outlive the queues that use it.
/// Threads: externally synchronised.
template <Memory M = Malloc>
class SendPool {
public:
    static constexpr size_t chunk_bytes = 4096;
    static constexpr size_t kept_max = 64;  // chunks that are kept for the next time

    SendPool() noexcept = default;
    SendPool(const SendPool&) = delete;
    SendPool& operator=(const SendPool&) = delete;
    ~SendPool() {
        while (free_ != nullptr) {
            Piece* const piece = free_;
            free_ = piece->next;
            M::release(piece, chunk_bytes, alignof(Piece));
        }
    }

    /// An empty chunk with room for `bytes` at least; nullptr if memory is out.
    detail::SendPiece* take(size_t bytes) noexcept {
        if (bytes <= chunk_room && free_ != nullptr) {
            Piece* const piece = free_;
            free_ = piece->next;
            --kept_;
            return reset(piece, chunk_bytes);
        }
        if (bytes > SIZE_MAX / 2) return nullptr;
        const size_t size = bytes <= chunk_room ? chunk_bytes : bytes + sizeof(Piece);
        void* const memory = M::allocate(size, alignof(Piece));
        return memory == nullptr ? nullptr : reset(::new (memory) Piece, size);
    }
    void give_back(detail::SendPiece* piece) noexcept {
        if (piece->allocated != chunk_bytes || kept_ == kept_max) {
            M::release(piece, piece->allocated, alignof(Piece));
            return;
        }
        piece->next = free_;
        free_ = piece;
        ++kept_;
    }

private:
    using Piece = detail::SendPiece;
    static constexpr size_t chunk_room = chunk_bytes - sizeof(Piece);

    static Piece* reset(Piece* piece, size_t allocated) noexcept {
        *piece = {nullptr, reinterpret_cast<std::byte*>(piece + 1),
                  0,       allocated - sizeof(Piece),
                  nullptr, allocated};
        return piece;
    }

    Piece* free_ = nullptr;
    size_t kept_ = 0;
};

/// Lifetime: clear() it before it is destroyed (asserted); the pool is an argument, not a member.
/// Threads: externally synchronised.
/// Cost: append copies; append_owned moves; gather is O(pieces).
template <Memory M = Malloc>
class SendQueue {
public:
    using Pool = SendPool<M>;

    SendQueue() noexcept = default;
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;
    ~SendQueue() { RONDO_ASSERT(first_ == nullptr, "clear a SendQueue before its end"); }

    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    /// Copies `bytes` to the end. False: memory is out, and nothing changed.
    bool append(Pool& pool, std::span<const std::byte> bytes) noexcept {
        const size_t room = first_ != nullptr ? last_->room : 0;
        const size_t fitting = bytes.size() < room ? bytes.size() : room;
        Piece* more = nullptr;
        if (fitting < bytes.size()) {
            more = pool.take(bytes.size() - fitting);
            if (more == nullptr) return false;
        }
        if (fitting != 0) fill(last_, bytes.first(fitting));
        if (more != nullptr) {
            fill(more, bytes.subspan(fitting));
            link(more);
        }
        return true;
    }

    /// Takes `owner` over and sends the bytes that it owns. False: memory is out, and `owner` is as
    /// before.
    template <OwnsBytes Owner>
    bool append_owned(Owner&& owner) noexcept {
        if (owner.size() == 0) return true;
        void* const memory = M::allocate(sizeof(Owned<Owner>), alignof(Owned<Owner>));
        if (memory == nullptr) return false;
        auto* const piece = ::new (memory) Owned<Owner>{{}, static_cast<Owner&&>(owner)};
        const auto& kept = std::as_const(piece->owner);
        const auto bytes = std::as_bytes(std::span(kept.data(), static_cast<size_t>(kept.size())));
        static_cast<Piece&>(*piece) = {nullptr, bytes.data(),           bytes.size(),
                                       0,       &Owned<Owner>::destroy, sizeof(Owned<Owner>)};
        size_ += bytes.size();
        link(piece);
        return true;
    }

    /// Names the first pieces, as many as fit into `parts`. Returns how many.
    size_t gather(std::span<ConstBuffer> parts) const noexcept {
        size_t count = 0;
        for (const Piece* piece = first_; piece != nullptr && count < parts.size();
             piece = piece->next) {
            parts[count++] = {piece->begin, piece->size};
        }
        return count;
    }

    /// Drops `count` bytes from the front. Owners end last: their destructors may use the queue.
    [[gnu::noinline]] void consume(Pool& pool, size_t count) noexcept {
        RONDO_ASSERT(count <= size_, "more bytes were consumed than there are");
        size_ -= count;
        Piece* piece = first_;
        while (first_ != nullptr && count >= first_->size) {
            count -= first_->size;
            first_ = first_->next;
        }
        const Piece* const rest = first_;
        if (first_ != nullptr) {
            first_->begin += count;
            first_->size -= count;
        }
        while (piece != rest) {
            Piece* const next = piece->next;
            piece->end != nullptr ? piece->end(piece) : pool.give_back(piece);
            piece = next;
        }
    }

    void clear(Pool& pool) noexcept { consume(pool, size_); }

private:
    using Piece = detail::SendPiece;

    template <class Owner>
    struct Owned : Piece {
        Owner owner;

        static void destroy(Piece* piece) noexcept {
            auto* const self = static_cast<Owned*>(piece);
            self->~Owned();
            M::release(self, sizeof(Owned), alignof(Owned));
        }
    };

    void fill(Piece* piece, std::span<const std::byte> bytes) noexcept {
        memcpy(const_cast<std::byte*>(piece->begin) + piece->size, bytes.data(), bytes.size());
        piece->size += bytes.size();
        piece->room -= bytes.size();
        size_ += bytes.size();
    }

    void link(Piece* piece) noexcept {
        (first_ != nullptr ? last_->next : first_) = piece;
        last_ = piece;
    }

    Piece* first_ = nullptr;
    Piece* last_ = nullptr;  // meaningful only while first_ is set
    size_t size_ = 0;
};

}  // namespace rondo::inline RONDO_ABI
