// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the parts of a loop share: which handlers are running, what keeps run() going, and the one
// word that a turn looks at after each handler to learn whether anything unusual happened.

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include <rondo/backend/readiness.hpp>
#include <rondo/core/running.hpp>

namespace rondo::inline RONDO_ABI::detail {

// What the handlers of a descriptor are still to be told of an event; see dispatch.hpp. The
// deliveries of outer turns follow by `outer`.
struct Unheard {
    int fd;
    Interest directions;
    Unheard* outer;
};

struct TurnState {
    enum Attention : uint32_t {
        retired = 1,  // a running closure is to be destroyed when it returns
        stop = 2,     // stop() was called: finish the running handler, keep the rest
    };

    // Relaxed loads suffice in the turn: a stop from another thread is seen by a later handler, and
    // the sleeping protocol orders it against going to sleep.
    std::atomic<uint32_t> attention{0};
    Running running;
    Unheard* unheard = nullptr;
    size_t alive = 0;       // foreground watches, timers and children
    bool closing = false;   // the loop is being destroyed: calls do nothing
    bool sleeping = false;  // prepare() has been called: a foreign loop is waiting

    bool unusual() const noexcept { return attention.load(std::memory_order_relaxed) != 0; }
    bool stopped() const noexcept {
        return (attention.load(std::memory_order_relaxed) & stop) != 0;
    }
    void note(Attention what) noexcept { attention.fetch_or(what, std::memory_order_seq_cst); }
    void forget(Attention what) noexcept {
        attention.fetch_and(~uint32_t{what}, std::memory_order_seq_cst);
    }

    /// True if `closure` is running: its frame will destroy it.
    bool retire(const void* closure) noexcept {
        if (!running.retire(closure)) return false;
        note(retired);
        return true;
    }
};

/// Calls closures in a phase. Whatever way a call ends, a closure that was retired meanwhile is
/// destroyed by `Owner::destroy(closure)`.
template <class Owner>
class CallFrame : public Running::Frame {
public:
    CallFrame(TurnState& state, Owner& owner) noexcept
        : Running::Frame(state.running), state_(state), owner_(owner) {}
    ~CallFrame() {
        if (retired) finish();
    }

    /// After a call: false if the turn is to end here.
    bool settle() noexcept {
        if (retired) finish();
        closure = nullptr;
        return !state_.stopped();
    }

private:
    // `closure` is cleared first: a destructor that looks for running handlers must not find the
    // one that it belongs to.
    [[gnu::cold]] void finish() noexcept {
        const void* const finished = closure;
        closure = nullptr;
        retired = false;
        state_.forget(TurnState::retired);
        for (Running::Frame* f = outer; f != nullptr; f = f->outer) {
            if (f->retired) state_.note(TurnState::retired);
        }
        owner_.destroy(finished);
    }

    TurnState& state_;
    Owner& owner_;
};

}  // namespace rondo::inline RONDO_ABI::detail
