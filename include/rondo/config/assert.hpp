// SPDX-License-Identifier: BSL-1.0
#pragma once
// RONDO_ASSERT(condition, "sentence") stops the program on a programming error and says what to do
// about it. It is on in every build. A failing system call, bad input or a lost peer is never an
// assertion: those are values of type Error.
//
// RONDO_NO_ASSERT removes the checks; define it for a whole program or not at all (it changes the
// inline namespace, so a mixture doesn't link). RONDO_ASSERT itself may be defined beforehand, the
// same in every file of a program; what it does must neither return nor throw.

#include <stdio.h>
#include <stdlib.h>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void assertion_failed(const char* sentence,
                                                                    const char* condition,
                                                                    const char* file, int line) {
    fprintf(stderr, "rondo: %s (%s) at %s:%d\n", sentence, condition, file, line);
    fflush(stderr);
    abort();
}

}  // namespace rondo::inline RONDO_ABI::detail

#ifndef RONDO_ASSERT
#ifdef RONDO_NO_ASSERT
#define RONDO_ASSERT(condition, sentence) static_cast<void>(0)
#else
#define RONDO_ASSERT(condition, sentence) \
    ((condition) ? static_cast<void>(0)   \
                 : ::rondo::detail::assertion_failed(sentence, #condition, __FILE__, __LINE__))
#endif
#endif
