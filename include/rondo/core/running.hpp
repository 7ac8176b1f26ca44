// SPDX-License-Identifier: BSL-1.0
#pragma once
// Which closures are running: the one mechanism that lets a handler destroy itself. Whoever calls a
// closure opens a frame on its stack and notes the closure there. Whoever wants to destroy a
// closure asks retire() first: if it is running, in this or in an outer turn, its frame is marked
// and destroys it when it returns; otherwise it is destroyed on the spot.
//
// Frames are as deep as turns are nested, so the search is a comparison or two.

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI::detail {

class Running {
public:
    /// One level of calling. `closure` is what runs now; null between calls.
    struct Frame {
        explicit Frame(Running& running) noexcept : running_(running), outer(running.top_) {
            running.top_ = this;
        }
        Frame(const Frame&) = delete;
        Frame& operator=(const Frame&) = delete;
        ~Frame() { running_.top_ = outer; }

    private:
        Running& running_;

    public:
        Frame* const outer;
        const void* closure = nullptr;
        bool retired = false;
    };

    /// True if some frame is calling something: a handler is on the stack.
    bool any() const noexcept { return top_ != nullptr; }

    /// True if `closure` is running in this or an outer turn.
    bool contains(const void* closure) const noexcept { return find(closure) != nullptr; }

    /// True if `closure` is running: its frame destroys it. False: the caller does.
    bool retire(const void* closure) noexcept {
        Frame* const frame = find(closure);
        if (frame == nullptr) return false;
        frame->retired = true;
        return true;
    }

private:
    Frame* find(const void* closure) const noexcept {
        for (Frame* frame = top_; frame != nullptr; frame = frame->outer) {
            if (frame->closure == closure) return frame;
        }
        return nullptr;
    }

    Frame* top_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail
