// SPDX-License-Identifier: BSL-1.0
#pragma once
// The version of rondo, written here and nowhere else: CMake, Meson and the package recipes read
// these three lines.
//
// RONDO_ABI names the inline namespace that everything lives in. Two plug-ins of one process that
// were built with different versions, with a macro that changes what the code does, or one with and
// one without exceptions, therefore never run each other's functions.

#if __cplusplus < 202002L
#error "rondo is written in C++20: compile with -std=c++20 or later"
#endif

#define RONDO_VERSION_MAJOR 0
#define RONDO_VERSION_MINOR 1
#define RONDO_VERSION_PATCH 0

#define RONDO_DETAIL_STR2(x) #x
#define RONDO_DETAIL_STR(x) RONDO_DETAIL_STR2(x)
#define RONDO_DETAIL_JOIN2(major, minor, patch, a, b, c) v##major##_##minor##_##patch##a##b##c
#define RONDO_DETAIL_JOIN(major, minor, patch, a, b, c) \
    RONDO_DETAIL_JOIN2(major, minor, patch, a, b, c)

/// The version as text: "0.1.0".
#define RONDO_VERSION                     \
    RONDO_DETAIL_STR(RONDO_VERSION_MAJOR) \
    "." RONDO_DETAIL_STR(RONDO_VERSION_MINOR) "." RONDO_DETAIL_STR(RONDO_VERSION_PATCH)

#ifdef RONDO_NO_ASSERT
#define RONDO_DETAIL_ASSERT _unchecked
#else
#define RONDO_DETAIL_ASSERT
#endif
#ifdef RONDO_TRACE_LOCATIONS
#define RONDO_DETAIL_TRACE _traced
#else
#define RONDO_DETAIL_TRACE
#endif
#ifdef __cpp_exceptions
#define RONDO_DETAIL_RAISE
#else
#define RONDO_DETAIL_RAISE _noexcept
#endif

/// The inline namespace of this version and of the macros that it was built with.
#define RONDO_ABI                                                                    \
    RONDO_DETAIL_JOIN(RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH, \
                      RONDO_DETAIL_ASSERT, RONDO_DETAIL_TRACE, RONDO_DETAIL_RAISE)
