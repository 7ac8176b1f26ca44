// SPDX-License-Identifier: BSL-1.0
#pragma once
// Binds the calling thread to one processor. It counts among the processors that the thread may run
// on, so that a container with the processors 4 to 7 has the numbers 0 to 3.
//
// It refuses to choose a processor, and to bind any other thread.

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include <rondo/config/platform.hpp>
#include <rondo/core/result.hpp>

namespace rondo::inline RONDO_ABI::detail {

inline Result<void> pin_thread(int cpu) noexcept {
    if (cpu < 0) return Error(EINVAL, "pin_thread");
#if RONDO_HAS_AFFINITY
    cpu_set_t allowed;
    const int asked = pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed);
    if (asked != 0) return Error(asked, "pthread_getaffinity_np");
    for (size_t number = 0; number < CPU_SETSIZE; ++number) {
        if (!CPU_ISSET(number, &allowed) || cpu-- != 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(number, &one);
        const int set = pthread_setaffinity_np(pthread_self(), sizeof one, &one);
        if (set != 0) return Error(set, "pthread_setaffinity_np");
        return {};
    }
    return Error(EINVAL, "pin_thread");
#else
    return Error(ENOTSUP, "pin_thread");
#endif
}

}  // namespace rondo::inline RONDO_ABI::detail
