// SPDX-License-Identifier: BSL-1.0
#pragma once
// The version of rondo, written here and nowhere else: CMake, Meson and the package recipes read
// these three lines.
//
// RONDO_ABI names the inline namespace that everything lives in. Two plug-ins of one process that
// were built with different versions, or with a macro that changes what the code does, therefore
// never run each other's functions.

#define RONDO_VERSION_MAJOR 0
#define RONDO_VERSION_MINOR 1
#define RONDO_VERSION_PATCH 0

#define RONDO_DETAIL_STR2(x) #x
#define RONDO_DETAIL_STR(x) RONDO_DETAIL_STR2(x)
#define RONDO_DETAIL_ABI4(major, minor, patch, suffix) v##major##_##minor##_##patch##suffix
#define RONDO_DETAIL_ABI3(major, minor, patch, suffix) \
    RONDO_DETAIL_ABI4(major, minor, patch, suffix)

/// The version as text: "0.1.0".
#define RONDO_VERSION                     \
    RONDO_DETAIL_STR(RONDO_VERSION_MAJOR) \
    "." RONDO_DETAIL_STR(RONDO_VERSION_MINOR) "." RONDO_DETAIL_STR(RONDO_VERSION_PATCH)

#if defined(RONDO_NO_ASSERT) && defined(RONDO_TRACE_LOCATIONS)
#define RONDO_DETAIL_SUFFIX _unchecked_traced
#elif defined(RONDO_NO_ASSERT)
#define RONDO_DETAIL_SUFFIX _unchecked
#elif defined(RONDO_TRACE_LOCATIONS)
#define RONDO_DETAIL_SUFFIX _traced
#else
#define RONDO_DETAIL_SUFFIX
#endif

/// The inline namespace of this version and of the macros that it was built with.
#define RONDO_ABI                                                                    \
    RONDO_DETAIL_ABI3(RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH, \
                      RONDO_DETAIL_SUFFIX)
