// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/error_code.hpp>

#include <errno.h>

#include "support/catch.hpp"

TEST_CASE("an error becomes a std::error_code that compares with std::errc", "[error]") {
    const std::error_code code = rondo::to_error_code(rondo::Error(EADDRINUSE, "bind", "*:80"));
    CHECK(code == std::errc::address_in_use);
    CHECK(code.value() == EADDRINUSE);
    CHECK(code.category() == std::generic_category());
}

TEST_CASE("a NameError becomes the errno that comes next to it", "[error]") {
    using rondo::to_error_code;
    CHECK(to_error_code(rondo::Error(rondo::no_such_name, "resolve")).value() == ENXIO);
    CHECK(to_error_code(rondo::Error(rondo::name_server_silent, "resolve")).value() == EAGAIN);
}

TEST_CASE("no error becomes a std::error_code that tests false", "[error]") {
    CHECK_FALSE(rondo::to_error_code(rondo::Error()));
}
