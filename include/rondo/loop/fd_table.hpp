// SPDX-License-Identifier: BSL-1.0
#pragma once
// The table of watched descriptors: one small hot record per number, in pages that never move, with
// a pointer to its closure. Finding a slot is two loads; a slot is a third of a cache line.
//
// It only remembers. What a slot means, and who may change it, is in descriptors.hpp.

#include <stddef.h>
#include <stdint.h>

#include <new>

#include <rondo/backend/readiness.hpp>
#include <rondo/config/where.hpp>
#include <rondo/core/array.hpp>
#include <rondo/loop/handlers.hpp>

namespace rondo::inline RONDO_ABI::detail {

// What reaches a handler follows from the enabled directions, the low three bits of an interest,
// that aren't mute, the next two. Hang-up and error wake every direction, read-closed wakes
// reading.
struct AcceptTable {
    uint8_t by[32] = {};

    constexpr AcceptTable() noexcept {
        for (unsigned i = 0; i < 32; ++i) {
            const unsigned reading = (i & 0x08U) != 0 ? 0 : i & 0x03U;
            const unsigned writing = (i & 0x10U) != 0 ? 0 : i & 0x04U;
            const unsigned over = (reading != 0 ? 0x38U : 0) | (writing != 0 ? 0x18U : 0);
            by[i] = static_cast<uint8_t>(reading | writing | over);
        }
    }
};
inline constexpr AcceptTable accept_table{};

/// One descriptor number. `read` is null if it isn't registered.
template <Memory M>
struct FdSlot {
    enum Flag : uint8_t {
        queued = 0x01,      // in the list of changes
        forced = 0x02,      // tell the poller even if the interest is what it has already
        fresh = 0x04,       // registered or removed since the last wait: old events are expected
        mute_read = 0x08,   // got a new handler since the last wait
        mute_write = 0x10,  //
        failed = 0x20,      // a merged change failed; the handler is to hear of it
        background = 0x40,  // doesn't keep run() going
        internal = 0x80,    // belongs to the loop itself, not shown as the user's
    };

    static constexpr uint32_t first_generation = 1;

    BasicIoHandler<M>* read = nullptr;  // also called for writing unless `write` is there
    BasicIoHandler<M>* write = nullptr;
    uint32_t generation = first_generation;
    Interest interest = Interest::none;  // as wanted
    Interest applied = Interest::none;   // as the poller has it
    uint8_t plain = 0;                   // readiness that goes straight to `read`
    uint8_t flags = 0;
    [[no_unique_address]] Where where;

    bool registered() const noexcept { return read != nullptr; }
    /// True for plain level-triggered interest: what isn't delivered now is reported again.
    bool simple() const noexcept {
        return !rondo::any(interest, Interest::edge | Interest::oneshot);
    }
    bool has(unsigned flag) const noexcept { return (flags & flag) != 0; }
    void set(unsigned flag) noexcept { flags = static_cast<uint8_t>(flags | flag); }
    void clear(unsigned flag) noexcept { flags = static_cast<uint8_t>(flags & ~flag); }

    /// What reaches a handler now.
    uint8_t accepts() const noexcept {
        const unsigned mutes = flags & (mute_read | mute_write);
        return accept_table.by[static_cast<unsigned>(directions(interest)) | mutes];
    }
    void refresh() noexcept {
        const bool one_for_all = write == nullptr && !rondo::any(interest, Interest::oneshot);
        plain = one_for_all ? accepts() : uint8_t{0};
    }
};

#ifndef RONDO_TRACE_LOCATIONS
static_assert(sizeof(void*) != 8 || sizeof(FdSlot<Malloc>) == 24);
#endif

/// Threads: externally synchronised.
/// Cost: find is two loads; a page holds 256 slots and lives as long as the table.
template <Memory M>
class FdTable {
public:
    using Slot = FdSlot<M>;

    FdTable() noexcept = default;
    ~FdTable() {
        for (Page* page : pages_) {
            if (page != nullptr) M::release(page, sizeof(Page), alignof(Page));
        }
    }

    /// The slot of a number, or nullptr if its page isn't there.
    Slot* find(int fd) noexcept {
        const auto number = static_cast<unsigned>(fd);
        const size_t page = number / page_size;
        if (page >= pages_.size() || pages_[page] == nullptr) [[unlikely]]
            return nullptr;
        return &pages_[page]->slots[number % page_size];
    }

    /// The slot of a number >= 0; nullptr if memory is out.
    [[gnu::cold, gnu::noinline]] Slot* make(int fd) noexcept {
        const size_t page = static_cast<unsigned>(fd) / page_size;
        if (page >= pages_.size() && !pages_.resize(page + 1)) return nullptr;
        if (pages_[page] == nullptr) {
            void* const memory = M::allocate(sizeof(Page), alignof(Page));
            if (memory == nullptr) return nullptr;
            pages_[page] = ::new (memory) Page;
        }
        return find(fd);
    }

    /// Calls f(fd, slot) for every registered descriptor.
    template <class F>
    [[gnu::cold]] void for_each(F&& f) {
        for (size_t page = 0; page < pages_.size(); ++page) {
            if (pages_[page] == nullptr) continue;
            for (size_t i = 0; i < page_size; ++i) {
                Slot& slot = pages_[page]->slots[i];
                if (slot.registered()) f(static_cast<int>(page * page_size + i), slot);
            }
        }
    }

private:
    static constexpr size_t page_size = 256;
    struct Page {
        Slot slots[page_size];
    };

    Array<Page*, M> pages_;
};

}  // namespace rondo::inline RONDO_ABI::detail
