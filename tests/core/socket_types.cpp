// SPDX-License-Identifier: BSL-1.0
// Values without behaviour: only what a user relies on when he leaves them as they are.

#include <rondo/core/socket_types.hpp>

#include <rondo/core/child_status.hpp>

#include "support/catch.hpp"

TEST_CASE("a descriptor that nobody filled in is none", "[socket_types]") {
    CHECK(rondo::FdPair().first == -1);
    CHECK(rondo::FdPair().second == -1);
    CHECK(rondo::Accepted().fd == -1);
    CHECK(rondo::Accepted().peer == rondo::Endpoint());
    CHECK(rondo::ChildStatus().pid == -1);
}

TEST_CASE("options that nobody filled in ask for nothing unusual", "[socket_types]") {
    const rondo::ListenOptions listen;
    CHECK(listen.backlog == 511);
    CHECK_FALSE(listen.reuse_port);
    CHECK_FALSE(listen.dual_stack);
    CHECK(listen.unix_mode == 0);
    CHECK(rondo::ConnectOptions().source == nullptr);
    CHECK(rondo::KeepAlive().idle > rondo::KeepAlive().interval);
}
