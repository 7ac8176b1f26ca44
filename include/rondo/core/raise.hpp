// SPDX-License-Identifier: BSL-1.0
#pragma once
// The one place where rondo throws: std::system_error from Result::value() and from the
// constructor of EventLoop that opens its own poller. Built without exceptions, the same calls stop
// the program with the same sentence.
//
// <system_error> costs nothing here: <atomic>, which the posting queue needs, brings it along in
// libstdc++.

#include <stdio.h>
#include <stdlib.h>

#include <rondo/config/platform.hpp>
#include <rondo/core/error.hpp>

#if RONDO_HAS_EXCEPTIONS
#include <system_error>
#endif

namespace rondo::inline RONDO_ABI::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void raise(const Error& error) {
#if RONDO_HAS_EXCEPTIONS
    Text<192> what(error.call());
    if (!error.object().empty()) what.append(" ").append(error.object());
    throw std::system_error(detail::errno_of(error.code()), std::generic_category(), what.c_str());
#else
    fprintf(stderr, "rondo: %s; check the Result before you take its value\n",
            error.message().c_str());
    fflush(stderr);
    abort();
#endif
}

}  // namespace rondo::inline RONDO_ABI::detail
