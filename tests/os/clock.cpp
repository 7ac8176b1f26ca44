// SPDX-License-Identifier: BSL-1.0
#include <rondo/os/clock.hpp>

#include "support/catch.hpp"

using namespace rondo;

TEST_CASE("the monotonic clock never goes back") {
    Instant last = monotonic_now();
    for (int i = 0; i < 1000; ++i) {
        const Instant now = monotonic_now();
        REQUIRE(now >= last);
        last = now;
    }
}

TEST_CASE("the monotonic clock is CLOCK_MONOTONIC, to the nanosecond") {
    timespec time{};
    const Instant before = monotonic_now();
    clock_gettime(CLOCK_MONOTONIC, &time);
    const Instant after = monotonic_now();
    const Instant middle(int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec);
    CHECK(before <= middle);
    CHECK(middle <= after);
}

TEST_CASE("a wait keeps its nanoseconds") {
    const timespec wait = wait_timespec(Duration(3'000'000'007));
    CHECK(wait.tv_sec == 3);
    CHECK(wait.tv_nsec == 7);
}

TEST_CASE("a wait of no length is zero") {
    const timespec wait = wait_timespec(Duration());
    CHECK(wait.tv_sec == 0);
    CHECK(wait.tv_nsec == 0);
}

TEST_CASE("a huge wait is cut to what every kernel takes") {
    CHECK(wait_timespec(Duration::max()).tv_sec == 100'000'000);
    CHECK(wait_timespec(Duration::seconds(99'999'999)).tv_sec == 99'999'999);
}
