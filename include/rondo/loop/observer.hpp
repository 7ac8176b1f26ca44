// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a loop tells about itself while it runs. An observer is a type with these functions, given
// as a template parameter; NoObserver, the default, leaves nothing of them in the program.

#include <stddef.h>

#include <concepts>

#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI {

/// Called on the loop's thread; must not throw, and must not call the loop.
template <class O>
concept LoopObserver =
    std::default_initializable<O> && requires(O& observer, Instant deadline, size_t count) {
        { observer.will_wait(deadline) } noexcept;  // Instant::min(): without blocking
        { observer.has_waited(count) } noexcept;    // events that the poller gave
        { observer.has_turned(count) } noexcept;    // handlers that the turn has run
    };

/// Sees nothing and costs nothing.
struct NoObserver {
    static void will_wait(Instant) noexcept {}
    static void has_waited(size_t) noexcept {}
    static void has_turned(size_t) noexcept {}
};

}  // namespace rondo::inline RONDO_ABI
