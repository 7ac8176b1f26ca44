// SPDX-License-Identifier: BSL-1.0

#include "build/odr.hpp"

#include <rondo/config/version.hpp>
#include <string_view>

#include "support/catch.hpp"

TEST_CASE("two translation units that include everything see one version", "[build]") {
    CHECK(std::string_view(rondo_test::version_seen_by_a()) == RONDO_VERSION);
    CHECK(std::string_view(rondo_test::version_seen_by_b()) == RONDO_VERSION);
}
