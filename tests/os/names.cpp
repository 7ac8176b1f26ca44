// SPDX-License-Identifier: BSL-1.0
// Only names that need no network: numbers, and the machine's own.
#include <rondo/os/names.hpp>

#include "support/catch.hpp"

using namespace rondo;
using rondo::detail::name_code;
using rondo::detail::resolve_name;

TEST_CASE("getaddrinfo's numbers become endpoints with the port", "[kernel]") {
    Endpoint found[4];
    REQUIRE(*resolve_name("127.0.0.1", 80, Family::none, found) == 1);
    CHECK(found[0] == Endpoint::ipv4_loopback(80));
    REQUIRE(*resolve_name("::1", 443, Family::none, found) == 1);
    CHECK(found[0] == Endpoint::ipv6_loopback(443));
}

TEST_CASE("localhost is this machine, in the family that is asked for", "[kernel]") {
    Endpoint found[4];
    const auto count = resolve_name("localhost", 80, Family::ipv4, found);
    REQUIRE(count);
    REQUIRE(*count >= 1);
    for (size_t i = 0; i < *count; ++i) {
        CHECK(found[i].family() == Family::ipv4);
        CHECK(found[i].address()[0] == 127);
    }
}

TEST_CASE("what getaddrinfo says becomes a code that an Error can tell") {
    CHECK(name_code(EAI_NONAME) == no_such_name);
    CHECK(name_code(EAI_AGAIN) == name_server_silent);
    CHECK(name_code(EAI_FAIL) == name_server_failed);
    CHECK(name_code(EAI_MEMORY) == ENOMEM);
    errno = EMFILE;
    CHECK(name_code(EAI_SYSTEM) == EMFILE);
    Endpoint found[1];
    const auto wrong = resolve_name("::1", 80, Family::ipv4, found);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code() < 0);
    CHECK(wrong.error().object() == "::1");
}
