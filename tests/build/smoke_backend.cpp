// SPDX-License-Identifier: BSL-1.0
// A little of backend: what must work in every way of building the library.

#include <rondo/backend/default_poller.hpp>

#include "support/catch.hpp"

TEST_CASE("the default poller opens, wakes and waits, in every build", "[smoke][kernel]") {
    auto poller = rondo::DefaultPoller::open();
    REQUIRE(poller);
    rondo::DefaultPoller::Event events[4];
    const rondo::Instant before = poller->now();
    REQUIRE(poller->wait(events, before + rondo::Duration::milliseconds(1)));
    CHECK(poller->now() >= before + rondo::Duration::milliseconds(1));
    poller->wake();
    CHECK(poller->wait(events, rondo::Instant::max()));
}
