// SPDX-License-Identifier: BSL-1.0

#include <rondo/config/version.hpp>

#include <string>

#include "support/catch.hpp"

namespace rondo::inline RONDO_ABI {
struct Probe {};
}  // namespace rondo::inline RONDO_ABI

TEST_CASE("the version as text is made of its three numbers", "[config]") {
    const std::string expected = std::to_string(RONDO_VERSION_MAJOR) + "." +
                                 std::to_string(RONDO_VERSION_MINOR) + "." +
                                 std::to_string(RONDO_VERSION_PATCH);
    CHECK(RONDO_VERSION == expected);
}

TEST_CASE("the inline namespace names the version and the macros that change the code",
          "[config]") {
    std::string expected = "v" + std::to_string(RONDO_VERSION_MAJOR) + "_" +
                           std::to_string(RONDO_VERSION_MINOR) + "_" +
                           std::to_string(RONDO_VERSION_PATCH);
#ifdef RONDO_NO_ASSERT
    expected += "_unchecked";
#endif
#ifdef RONDO_TRACE_LOCATIONS
    expected += "_traced";
#endif
#ifndef __cpp_exceptions
    expected += "_noexcept";
#endif
    CHECK(RONDO_DETAIL_STR(RONDO_ABI) == expected);
}

TEST_CASE("what lives in the inline namespace is found in rondo", "[config]") {
    STATIC_REQUIRE(std::is_same_v<rondo::Probe, rondo::RONDO_ABI::Probe>);
}
