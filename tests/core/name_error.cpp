// SPDX-License-Identifier: BSL-1.0
#include <rondo/core/error.hpp>
#include <rondo/core/name_error.hpp>

#include "support/catch.hpp"

using namespace rondo;

TEST_CASE("an error of a name prints as a sentence") {
    const auto told = [](int code) {
        return std::string(Error(code, "resolve", "example.org").message().view());
    };
    CHECK(told(no_such_name) == "resolve example.org: no such name");
    CHECK(told(no_such_address) == "resolve example.org: the name has no such address");
    CHECK(told(name_server_silent) == "resolve example.org: the name server doesn't answer");
    CHECK(told(name_server_failed) == "resolve example.org: the name server failed");
}

TEST_CASE("an error of a name has an errno for who knows nothing else") {
    for (const int code : {no_such_name, no_such_address, name_server_silent, name_server_failed}) {
        CHECK(detail::errno_of(code) > 0);
    }
    CHECK(detail::errno_of(EPIPE) == EPIPE);
}
