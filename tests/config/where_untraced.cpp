// SPDX-License-Identifier: BSL-1.0

#undef RONDO_TRACE_LOCATIONS

#include <rondo/config/where.hpp>

#include <string_view>
#include <type_traits>

#include "support/catch.hpp"

TEST_CASE("without RONDO_TRACE_LOCATIONS a place costs no byte and says nothing", "[config]") {
    STATIC_REQUIRE(std::is_empty_v<rondo::Where>);
    STATIC_REQUIRE(rondo::Where::here().line == 0);
    CHECK(std::string_view(rondo::Where::here().file).empty());
}
