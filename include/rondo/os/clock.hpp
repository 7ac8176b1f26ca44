// SPDX-License-Identifier: BSL-1.0
#pragma once
// The clock that pollers of real kernels share, and a Duration in the form that their waits take.
//
// Monotonic and nothing else: the wall clock can go back, and a reactor has no use for the date.

#include <time.h>

#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI {

/// CLOCK_MONOTONIC.
/// Threads: any.
inline Instant monotonic_now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant(int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec);
}

/// A wait that isn't negative, as ppoll(2) and pselect(2) take it. Cut at 10^8 seconds, the most
/// that the BSDs' select(2) accepts: three years later the caller waits again.
inline timespec wait_timespec(Duration wait) noexcept {
    constexpr Duration most = Duration::seconds(100'000'000);
    const int64_t ns = (wait < most ? wait : most).ns();
    timespec result{};
    result.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
    result.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    return result;
}

}  // namespace rondo::inline RONDO_ABI
