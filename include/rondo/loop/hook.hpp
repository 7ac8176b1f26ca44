// SPDX-License-Identifier: BSL-1.0
#pragma once
// Hook: a task that runs in every turn for as long as its owner lives.

#include <utility>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

/// Move-only owner of one before-sleep or after-sleep task; `typename Loop::Hook` is the name to
/// use.
/// Lifetime: must not outlive the loop (asserted). Tests false if memory was out.
/// Threads: loop thread.
template <class Loop>
class [[nodiscard("keep it: the hook ends with it")]] BasicHook {
public:
    BasicHook() noexcept = default;
    BasicHook(Loop& loop, typename Loop::HookRecord* record) noexcept
        : loop_(record != nullptr ? &loop : nullptr), record_(record) {
        if (loop_ != nullptr) loop_->count_handle(+1);
    }
    BasicHook(BasicHook&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), record_(other.record_) {}
    BasicHook& operator=(BasicHook&& other) noexcept {
        if (this != &other) {
            // Ended last: what its closure captures may own this hook.
            const BasicHook old(std::move(*this));
            loop_ = std::exchange(other.loop_, nullptr);
            record_ = other.record_;
        }
        return *this;
    }
    ~BasicHook() { reset(); }

    explicit operator bool() const noexcept { return loop_ != nullptr; }

    /// Ends it now; if it is running, it ends when it returns.
    void reset() noexcept {
        if (loop_ == nullptr) return;
        Loop* const loop = std::exchange(loop_, nullptr);
        loop->count_handle(-1);
        loop->end_hook(record_);
    }

private:
    Loop* loop_ = nullptr;
    typename Loop::HookRecord* record_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI
