// SPDX-License-Identifier: BSL-1.0
#pragma once
// Remote: what another thread holds in order to hand work to a loop. It is the fast door: each
// Remote keeps a private store of nodes, so a post is one compare-and-swap, and a wake-up is
// written only when the loop sleeps. Give every thread a Remote of its own, by copying.

#include <utility>

#include <rondo/core/post_queue.hpp>
#include <rondo/loop/handlers.hpp>

namespace rondo::inline RONDO_ABI {

/// Lifetime: may outlive the loop, and is told so.
/// Threads: any one thread at a time. A copy belongs to whoever it is given to.
template <Memory M = Malloc>
class [[nodiscard("keep it: the Remote ends with it")]] BasicRemote {
public:
    BasicRemote() noexcept = default;
    explicit BasicRemote(typename detail::PostQueue<M>::Producer producer) noexcept
        : producer_(std::move(producer)) {}

    /// Runs `task` once on the loop's thread, in the order of the posts of this Remote.
    /// Errors: loop_gone or no_memory; the task is then not queued, and never runs.
    /// Cost: one compare-and-swap; no allocation after warm-up for closures of up to 48 bytes.
    template <class F>
    PostStatus post(F&& task) {
        if constexpr (detail::TaskRule::check<F>()) {
            return producer_.post(static_cast<F&&>(task));
        } else {
            return PostStatus::no_memory;
        }
    }

    /// Whether it keeps run() going. A loop whose last foreground Remote goes may return from
    /// run().
    void set_background(bool background) noexcept { producer_.set_background(background); }

private:
    typename detail::PostQueue<M>::Producer producer_;
};

using Remote = BasicRemote<>;

}  // namespace rondo::inline RONDO_ABI
