// SPDX-License-Identifier: BSL-1.0
#include <rondo/backend/readiness.hpp>

#include "support/catch.hpp"

using namespace rondo;

TEST_CASE("flags combine and can be asked for") {
    Interest interest = Interest::read | Interest::edge;
    CHECK(any(interest, Interest::edge | Interest::write));
    CHECK_FALSE(any(interest, Interest::write));
    CHECK_FALSE(any(interest, Interest::none));
    interest |= Interest::write;
    interest &= ~Interest::read;
    CHECK(interest == (Interest::write | Interest::edge));
    CHECK((interest ^ Interest::edge) == Interest::write);
}

TEST_CASE("the complement of a flag stays among the flags") {
    STATIC_REQUIRE(static_cast<int>(~Interest::none) == 0x7f);
    STATIC_REQUIRE(~~Interest::read == Interest::read);
}

TEST_CASE("an interest falls apart into directions and modes") {
    constexpr Interest all = ~Interest::none & ~static_cast<Interest>(0x08);
    STATIC_REQUIRE(directions(all) == (Interest::read | Interest::priority | Interest::write));
    STATIC_REQUIRE(modes(all) == (Interest::edge | Interest::oneshot | Interest::write_first));
    STATIC_REQUIRE((directions(all) | modes(all)) == all);
    STATIC_REQUIRE(directions(modes(all)) == Interest::none);
}

TEST_CASE("directions and readiness use the same bits") {
    const auto same = [](Interest a, Readiness b) {
        return static_cast<uint8_t>(a) == static_cast<uint8_t>(b);
    };
    CHECK(same(Interest::read, Readiness::readable));
    CHECK(same(Interest::priority, Readiness::priority));
    CHECK(same(Interest::write, Readiness::writable));
}

TEST_CASE("a token keeps a descriptor and its generation") {
    constexpr Token token(0x7fffffff, 0xfffffffe);
    STATIC_REQUIRE(token.fd() == 0x7fffffff);
    STATIC_REQUIRE(token.generation() == 0xfffffffe);
    STATIC_REQUIRE(Token::from_bits(token.bits()) == token);
    STATIC_REQUIRE(Token(7, 1) != Token(7, 2));
    STATIC_REQUIRE(Token(7, 1) != Token(8, 1));
}

TEST_CASE("a negative descriptor doesn't spill into the generation") {
    STATIC_REQUIRE(Token(-1, 5).generation() == 5);
    STATIC_REQUIRE(Token(-1, 5).fd() == -1);
}

TEST_CASE("no descriptor has the token of a wake-up") {
    STATIC_REQUIRE(Token::wake_up().fd() == -1);
    STATIC_REQUIRE(Token(0x7fffffff, 0xffffffff) != Token::wake_up());
}
