// SPDX-License-Identifier: BSL-1.0
// A little of core: what must work in every way of building the library.

#include <rondo/core/handler.hpp>
#include <rondo/core/result.hpp>
#include <rondo/core/time.hpp>

#include "support/catch.hpp"

TEST_CASE("a result holds a value or an error, in every build", "[smoke]") {
    const rondo::Result<int> value = 7;
    REQUIRE(value);
    CHECK(*value == 7);
    const rondo::Result<int> failed = rondo::Error(ENOENT, "open", "nothing");
    CHECK_FALSE(failed);
    CHECK(failed.error().message().view().substr(0, 13) == "open nothing:");
}

TEST_CASE("a handler calls what it holds, in every build", "[smoke]") {
    int sum = 0;
    rondo::Handler<void(int)> handler = [&sum](int n) { sum += n; };
    handler(3);
    handler(4);
    CHECK(sum == 7);
}

TEST_CASE("time saturates, in every build", "[smoke]") {
    CHECK(rondo::Instant::max() + rondo::Duration::seconds(1) == rondo::Instant::max());
}
