// SPDX-License-Identifier: BSL-1.0
#pragma once
// Which thread this is, as a number to compare: what the check "is this the loop's thread?" costs
// is what every public call of a loop costs. Where the compiler knows the register that points at
// the thread's block it is one instruction; pthread_self(3) is a call.
//
// It refuses to be a thread's name: a number is used again after its thread has ended.
//
// Beside it, whether there is any other thread to tell this one from.

#include <pthread.h>
#include <stdint.h>

#include <bit>

#include <rondo/config/platform.hpp>
#include <rondo/config/version.hpp>

#if RONDO_HAS_SINGLE_THREADED
#include <sys/single_threaded.h>
#endif

namespace rondo::inline RONDO_ABI::detail {

// Asked of ELF systems only: elsewhere a compiler may know the name and have no code for it.
#if defined(__ELF__) && defined(__has_builtin)
#if __has_builtin(__builtin_thread_pointer)
#define RONDO_DETAIL_HAS_THREAD_POINTER 1
#endif
#endif
#ifndef RONDO_DETAIL_HAS_THREAD_POINTER
#define RONDO_DETAIL_HAS_THREAD_POINTER 0
#endif

/// Never 0, and different for each two threads alive.
/// Threads: any.
inline uintptr_t thread_token() noexcept {
#if RONDO_DETAIL_HAS_THREAD_POINTER
    return reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
#else
    return std::bit_cast<uintptr_t>(pthread_self());
#endif
}

/// True if no other thread exists now. False where it isn't known: glibc 2.32 and newer tell, and
/// only until the first thread is made.
inline bool single_threaded() noexcept {
#if RONDO_HAS_SINGLE_THREADED
    return __libc_single_threaded != 0;
#else
    return false;
#endif
}

}  // namespace rondo::inline RONDO_ABI::detail
