// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/random.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/death.hpp"

using namespace rondo;
using rondo::sim::Delay;
using rondo::sim::Random;

// Checked against the generators' definition, written once more in another language.
TEST_CASE("a seed gives the same numbers on every compiler") {
    CHECK(Random(0).next() == 0x99EC5F36CB75F2B4);
    CHECK(Random(1).next() == 0xB3F2AF6D0FC710C5);
    Random random(2);
    uint64_t mixed = 0;
    for (int i = 0; i < 1000; ++i) mixed = mixed * 3 + random.next();
    CHECK(mixed == 0x9BC9E21E31C1EA74);
}

TEST_CASE("below() gives every number below its end and none above") {
    Random random(3);
    for (const uint64_t end : {uint64_t{1}, uint64_t{2}, uint64_t{7}, uint64_t{1000}}) {
        std::vector<size_t> seen(end);
        for (uint64_t i = 0; i < end * 100; ++i) ++seen.at(random.below(end));
        for (const size_t count : seen) CHECK(count > 50);
    }
    CHECK(random.below(uint64_t{1} << 40U) < uint64_t{1} << 40U);
    const auto death = dies([&] { random.below(0); });
    CHECK(death.message.find("there is no number below 0") != std::string::npos);
}

TEST_CASE("a chance is taken as often as it says; that of 0 costs no number") {
    Random random(4);
    Random same(4);
    CHECK_FALSE(random.chance(0));
    CHECK(random.next() == same.next());
    size_t taken = 0;
    for (int i = 0; i < 10'000; ++i) {
        if (random.chance(0.25)) ++taken;
    }
    CHECK(taken > 2300);
    CHECK(taken < 2700);
    CHECK(random.chance(1));
}

TEST_CASE("a delay is never outside of its bounds, and its mean is what it says") {
    Random random(5);
    const Delay delay{Duration::milliseconds(1), Duration::milliseconds(5), Duration::seconds(1)};
    Duration sum;
    Duration longest;
    constexpr int count = 20'000;
    for (int i = 0; i < count; ++i) {
        const Duration drawn = random.in(delay);
        REQUIRE(drawn >= delay.min);
        REQUIRE(drawn <= delay.max);
        longest = std::max(longest, drawn);
        sum = sum + drawn;
    }
    CHECK(sum.ns() / count > Duration::microseconds(4800).ns());
    CHECK(sum.ns() / count < Duration::microseconds(5200).ns());
    CHECK(longest > Duration::milliseconds(25));
    CHECK(random.in({Duration(7), Duration(7), Duration(7)}) == Duration(7));
    CHECK(random.in({Duration(), Duration::seconds(1), Duration::seconds(1)}) ==
          Duration::seconds(1));
}

TEST_CASE("a delay that contradicts itself is refused") {
    Random random(6);
    const auto death = dies([&] { random.in({Duration(2), Duration(1), Duration(3)}); });
    CHECK(death.message.find("a delay has min <= mean <= max") != std::string::npos);
}
