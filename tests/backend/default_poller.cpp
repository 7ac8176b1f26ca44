// SPDX-License-Identifier: BSL-1.0
#include <rondo/backend/default_poller.hpp>

#include <type_traits>

#include "support/catch.hpp"

using namespace rondo;

TEST_CASE("the default poller is the best that the platform has") {
    STATIC_REQUIRE(Poller<DefaultPoller>);
#if RONDO_HAS_EPOLL
    STATIC_REQUIRE(std::is_same_v<DefaultPoller, EpollPoller>);
#else
    STATIC_REQUIRE(std::is_same_v<DefaultPoller, PollPoller>);
#endif
}
