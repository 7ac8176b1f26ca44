// SPDX-License-Identifier: BSL-1.0
// Two versions of the library in one program: each has a signal hub of its own, they pass signals
// on to each other, and together they leave no trace.

#include <string_view>

#include <rondo/os/posix_system.hpp>

#include "other_version.hpp"
#include "support/catch.hpp"
#include "system_support.hpp"

using namespace system_support;

TEST_CASE("two versions of the library watch one signal", "[signals]") {
    const Disposed guard(SIGUSR1);
    REQUIRE(std::string_view(OtherVersion::name()) != RONDO_DETAIL_STR(RONDO_ABI));
    rondo::PosixSystem ours;
    OtherVersion other;
    REQUIRE(ours.add_signal(SIGUSR1));
    REQUIRE(other.add_signal(SIGUSR1));
    raise(SIGUSR1);
    CHECK(ours.take_signals() == bit(SIGUSR1));
    CHECK(other.take_signals() == bit(SIGUSR1));

    SECTION("the one that came last leaves first") {
        other.remove_signal(SIGUSR1);
        raise(SIGUSR1);
        CHECK(ours.take_signals() == bit(SIGUSR1));
        CHECK(other.take_signals() == 0);
        ours.remove_signal(SIGUSR1);
        CHECK(is_default(SIGUSR1));
    }
    SECTION("the one that came first leaves first") {
        ours.remove_signal(SIGUSR1);
        raise(SIGUSR1);
        CHECK(ours.take_signals() == 0);
        CHECK(other.take_signals() == bit(SIGUSR1));
        REQUIRE(ours.add_signal(SIGUSR1));
        raise(SIGUSR1);
        CHECK(ours.take_signals() == bit(SIGUSR1));
        CHECK(other.take_signals() == bit(SIGUSR1));
    }
}
