// SPDX-License-Identifier: BSL-1.0
#pragma once
// Watch: a registration that ends with its owner. It names a descriptor and the generation of its
// registration, or a signal or child watch; if the registration is gone already, its end does
// nothing.

#include <stdint.h>

#include <utility>

#include <rondo/backend/readiness.hpp>
#include <rondo/config/assert.hpp>
#include <rondo/core/slab.hpp>

namespace rondo::inline RONDO_ABI {

/// Move-only owner of one registration; `typename Loop::Watch` is the name to use.
/// Lifetime: must not outlive the loop (asserted). Its handler never starts again once it is
/// destroyed.
/// Threads: loop thread.
template <class Loop>
class [[nodiscard("keep it: the registration ends with it")]] BasicWatch {
public:
    /// What it watches.
    enum class Kind : uint8_t { none, fd, signal, child };

    BasicWatch() noexcept = default;
    BasicWatch(Loop& loop, Kind kind, SlabKey key) noexcept : loop_(&loop), key_(key), kind_(kind) {
        loop_->count_handle(+1);
    }
    BasicWatch(BasicWatch&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)),
          key_(other.key_),
          kind_(std::exchange(other.kind_, Kind::none)) {}
    BasicWatch& operator=(BasicWatch&& other) noexcept {
        if (this != &other) {
            // Ended last: what its closure captures may own this watch.
            const BasicWatch old(std::move(*this));
            loop_ = std::exchange(other.loop_, nullptr);
            key_ = other.key_;
            kind_ = std::exchange(other.kind_, Kind::none);
        }
        return *this;
    }
    ~BasicWatch() { reset(); }

    /// True while the registration stands.
    explicit operator bool() const noexcept {
        return loop_ != nullptr && loop_->watching(kind_, key_);
    }

    /// The descriptor; -1 for a signal or child watch.
    int fd() const noexcept { return kind_ == Kind::fd ? static_cast<int>(key_.index) : -1; }

    /// Changes the interest; merged with other changes before the next wait.
    void modify(Interest interest) noexcept {
        RONDO_ASSERT(kind_ == Kind::fd && *this, "modify: this watch has no descriptor registered");
        loop_->modify(fd(), interest);
    }

    /// Whether it keeps run() going; signal watches never do.
    void set_background(bool background) noexcept {
        if (*this) loop_->set_watch_background(kind_, key_, background);
    }

    /// Ends the registration now.
    void reset() noexcept {
        if (loop_ == nullptr) return;
        Loop* const loop = std::exchange(loop_, nullptr);
        const Kind kind = std::exchange(kind_, Kind::none);
        loop->count_handle(-1);
        loop->end_watch(kind, key_);
    }

    /// Gives up ownership of a descriptor's registration, which stays until it is removed by its
    /// number.
    /// Errors: asserts that it isn't a signal or child, which nothing else could end.
    void release() noexcept {
        RONDO_ASSERT(loop_ == nullptr || kind_ == Kind::fd,
                     "release: a signal or child watch ends only with its Watch");
        if (loop_ != nullptr) std::exchange(loop_, nullptr)->count_handle(-1);
        kind_ = Kind::none;
    }

private:
    Loop* loop_ = nullptr;
    SlabKey key_;  // {descriptor, generation of the registration} for a descriptor
    Kind kind_ = Kind::none;
};

}  // namespace rondo::inline RONDO_ABI
