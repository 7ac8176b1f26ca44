// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/running.hpp>

#include "support/catch.hpp"

using rondo::detail::Running;

TEST_CASE("a closure that isn't running is its owner's to destroy", "[running]") {
    Running running;
    const int closure = 0;
    CHECK_FALSE(running.any());
    CHECK_FALSE(running.contains(&closure));
    CHECK_FALSE(running.retire(&closure));
}

TEST_CASE("a closure that is running is destroyed by its frame", "[running]") {
    Running running;
    const int closure = 0;
    const int other = 0;
    Running::Frame frame(running);
    frame.closure = &closure;
    CHECK(running.any());
    CHECK(running.contains(&closure));
    CHECK_FALSE(running.retire(&other));
    CHECK_FALSE(frame.retired);
    CHECK(running.retire(&closure));
    CHECK(frame.retired);
}

TEST_CASE("a nested turn retires a closure of the outer one", "[running]") {
    Running running;
    const int outer_closure = 0;
    const int inner_closure = 0;
    Running::Frame outer(running);
    outer.closure = &outer_closure;
    {
        Running::Frame inner(running);
        inner.closure = &inner_closure;
        CHECK(inner.outer == &outer);
        CHECK(running.retire(&outer_closure));
        CHECK(outer.retired);
        CHECK_FALSE(inner.retired);
    }
    CHECK(running.contains(&outer_closure));
    CHECK_FALSE(running.contains(&inner_closure));
}

TEST_CASE("frames end with their scope, also when something is thrown", "[running]") {
    Running running;
    const int closure = 0;
    const auto call = [&] {
        Running::Frame frame(running);
        frame.closure = &closure;
        throw 42;
    };
    CHECK_THROWS_AS(call(), int);
    CHECK_FALSE(running.any());
}
