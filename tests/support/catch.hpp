// SPDX-License-Identifier: BSL-1.0
#pragma once
// Catch2 in one line, whichever of 2.13 and 3.x is installed. It hides the three names that differ:
// Approx, ContainsSubstring and SKIP. Where Catch has no SKIP (before 3.3) it prints "n.a." with
// the reason, is counted for catch_main.cpp, and leaves the case, which must then be a plain one.
//
// Benchmarks don't belong here: Catch's differ between the versions, and ours compare in pairs.

#if __has_include(<catch2/catch_test_macros.hpp>)

#include <catch2/catch_approx.hpp>
#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/catch_tostring.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_adapters.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using Catch::Approx;

#else

#include <catch2/catch.hpp>

namespace Catch::Matchers {
inline auto ContainsSubstring(const std::string& text) { return Contains(text); }
}  // namespace Catch::Matchers

#endif

using Catch::Matchers::ContainsSubstring;

namespace rondo_test {
/// How often the SKIP below was reached. Catch's own, where there is one, isn't counted here.
inline int skips = 0;
}  // namespace rondo_test

#ifndef SKIP
#include <cstdio>
#define SKIP(reason)                                            \
    do {                                                        \
        Catch::ReusableStringStream rondo_reason;               \
        rondo_reason << reason;                                 \
        std::printf("n.a. (%s)\n", rondo_reason.str().c_str()); \
        ++rondo_test::skips;                                    \
        SUCCEED("n.a.");                                        \
        return;                                                 \
    } while (false)
#endif
