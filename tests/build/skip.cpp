// SPDX-License-Identifier: BSL-1.0
// Cases that skip, fail, or both; skip.sh says what each must come to.

#include "support/catch.hpp"

namespace {

struct FailsAtTheEnd {
    ~FailsAtTheEnd() { CHECK(reached); }
    bool reached = false;
};

}  // namespace

TEST_CASE("passes") { CHECK(true); }

TEST_CASE("skips") { SKIP("a reason"); }

TEST_CASE("skips once more") { SKIP("another reason"); }

TEST_CASE("fails and skips") {
    CHECK(false);
    SKIP("a reason");
}

TEST_CASE("skips and fails") {
    const FailsAtTheEnd at_the_end;
    SKIP("a reason");
}

TEST_CASE("fails one section and skips the other") {
    SECTION("fails") { CHECK(false); }
    SECTION("skips") { SKIP("a reason"); }
}

TEST_CASE("fails four times") {
    for (int i = 0; i < 4; ++i) CHECK(i < 0);
}

TEST_CASE("says n.a. (like a skip) and fails") {
    WARN("n.a. (a reason)");
    CHECK(false);
}
