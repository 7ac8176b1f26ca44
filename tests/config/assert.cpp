// SPDX-License-Identifier: BSL-1.0

#include <rondo/config/assert.hpp>

#include <string>

#include "support/catch.hpp"
#include "support/death.hpp"

namespace {

constexpr int half(int n) {
    return RONDO_ASSERT(n % 2 == 0, "only an even number has a half"), n / 2;
}

}  // namespace

TEST_CASE("an assertion that holds is silent, also at compile time", "[config]") {
    STATIC_REQUIRE(half(8) == 4);
    const auto death = dies([] { static_cast<void>(half(8)); });
    CHECK_FALSE(death.aborted);
    CHECK(death.message.empty());
}

#ifndef RONDO_NO_ASSERT

TEST_CASE("an assertion that fails tells the sentence, the condition and the place", "[config]") {
    int line = 0;
    const auto death = dies([&] { RONDO_ASSERT(line == 1, "count to one first"); });
    line = __LINE__ - 1;
    CHECK(death.aborted);
    CHECK(death.message == "rondo: count to one first (line == 1) at " + std::string(__FILE__) +
                               ":" + std::to_string(line) + "\n");
}

TEST_CASE("an assertion evaluates its condition once", "[config]") {
    int asked = 0;
    RONDO_ASSERT(++asked == 1, "once");
    CHECK(asked == 1);
}

#endif
