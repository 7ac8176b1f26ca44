// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/outcome.hpp>

#include <memory>
#include <stdexcept>

#include "support/catch.hpp"
#include "support/death.hpp"

using rondo::Outcome;

TEST_CASE("an outcome holds what a job returned") {
    Outcome<std::unique_ptr<int>> outcome;
    CHECK_FALSE(outcome);
    outcome.run(*[] { return +[] { return std::make_unique<int>(7); }; }());
    REQUIRE(outcome);
    CHECK_FALSE(outcome.exception());
    CHECK(**outcome == 7);
    Outcome<std::unique_ptr<int>> moved(std::move(outcome));
    CHECK(*moved.value() == 7);
}

TEST_CASE("an outcome of a job that returns nothing tells that it has returned") {
    Outcome<void> outcome;
    CHECK_FALSE(outcome);
    auto job = [] {};
    outcome.run(job);
    CHECK(outcome);
    outcome.value();
}

TEST_CASE("an outcome holds what a job threw, and value() throws it again") {
    Outcome<int> outcome;
    auto job = []() -> int { throw std::runtime_error("no"); };
    outcome.run(job);
    CHECK_FALSE(outcome);
    CHECK(outcome.exception());
    CHECK_THROWS_AS(outcome.value(), std::runtime_error);
    const auto death = dies([&] { static_cast<void>(*outcome); });
    CHECK(death.aborted);
    CHECK_THAT(death.message, ContainsSubstring("before you take it"));
}
