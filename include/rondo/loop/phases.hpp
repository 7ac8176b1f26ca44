// SPDX-License-Identifier: BSL-1.0
#pragma once
// The parts of a turn, for callers that want only some of them.

#include <stdint.h>

#include <rondo/backend/readiness.hpp>

namespace rondo::inline RONDO_ABI {

/// Which parts of a turn to run. Only a turn with `io` waits; only one with `hooks` runs hooks.
enum class Phases : uint8_t { io = 1, timers = 2, tasks = 4, hooks = 8, all = 15 };

template <>
inline constexpr bool is_flags<Phases> = true;

}  // namespace rondo::inline RONDO_ABI
