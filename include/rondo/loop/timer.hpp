// SPDX-License-Identifier: BSL-1.0
#pragma once
// Timer: a timer that ends with its owner and can be armed again and again. Arming it anew replaces
// what it was armed for; its handler never starts once it is replaced, cancelled or destroyed.

#include <utility>

#include <rondo/config/assert.hpp>
#include <rondo/config/where.hpp>
#include <rondo/loop/handlers.hpp>

namespace rondo::inline RONDO_ABI {

/// Move-only owner of at most one pending timer; `typename Loop::Timer` is the name to use.
/// Lifetime: must not outlive the loop (asserted).
/// Threads: loop thread.
template <class Loop>
class [[nodiscard("keep it: the timer ends with it")]] BasicTimer {
public:
    BasicTimer() noexcept = default;
    explicit BasicTimer(Loop& loop) noexcept : loop_(&loop) { loop_->count_handle(+1); }
    BasicTimer(BasicTimer&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), id_(std::exchange(other.id_, {})) {}
    BasicTimer& operator=(BasicTimer&& other) noexcept {
        if (this != &other) {
            // Ended last: what its closure captures may own this timer.
            const BasicTimer old(std::move(*this));
            loop_ = std::exchange(other.loop_, nullptr);
            id_ = std::exchange(other.id_, {});
        }
        return *this;
    }
    ~BasicTimer() { reset(); }

    /// Calls the handler once, `delay` from now.
    /// Errors: false if memory is out; what it was armed for stands.
    template <class F>
    bool after(Duration delay, F&& handler, Where where = Where::here()) {
        return take(loop().after(delay, static_cast<F&&>(handler), where));
    }
    /// Calls the handler once, at `deadline`.
    template <class F>
    bool at(Instant deadline, F&& handler, Where where = Where::here()) {
        return take(loop().at(deadline, static_cast<F&&>(handler), where));
    }
    /// Calls the handler at a fixed rate.
    template <class F>
    bool every(Duration period, F&& handler, Where where = Where::here()) {
        return take(loop().every(period, static_cast<F&&>(handler), where));
    }

    /// Moves the deadline, with the handler it has. False if it isn't armed.
    bool rearm(Duration delay) noexcept { return loop_ != nullptr && loop_->rearm(id_, delay); }
    bool rearm(Instant deadline) noexcept {
        return loop_ != nullptr && loop_->rearm(id_, deadline);
    }

    /// True if a run was prevented.
    bool cancel() noexcept { return loop_ != nullptr && loop_->cancel(std::exchange(id_, {})); }

    /// True while a run is to come.
    bool armed() const noexcept {
        return loop_ != nullptr && loop_->deadline(id_) != Instant::max();
    }
    TimerId id() const noexcept { return id_; }

private:
    Loop& loop() const noexcept {
        RONDO_ASSERT(loop_ != nullptr, "arm a Timer that EventLoop::timer() has made");
        return *loop_;
    }

    // The old timer ends last: what its closure captures may own this one.
    bool take(TimerId started) noexcept {
        if (!started) return false;
        loop_->cancel(std::exchange(id_, started));
        return true;
    }

    void reset() noexcept {
        if (loop_ == nullptr) return;
        Loop* const loop = std::exchange(loop_, nullptr);
        loop->count_handle(-1);
        loop->cancel(std::exchange(id_, {}));
    }

    Loop* loop_ = nullptr;
    TimerId id_;
};

}  // namespace rondo::inline RONDO_ABI
