// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/raise.hpp>

#include <errno.h>

#include <string>

#include "support/catch.hpp"

TEST_CASE("what is raised reads like the error's message", "[raise]") {
    const auto raised = [](const rondo::Error& error) -> std::string {
        try {
            rondo::detail::raise(error);
        } catch (const std::system_error& thrown) {
            CHECK(thrown.code() == std::error_code(error.code(), std::generic_category()));
            return thrown.what();
        }
    };
    CHECK(raised({EACCES, "listen", "*:80"}) == "listen *:80: Permission denied");
    CHECK(raised({EMFILE, "epoll_create1"}) == "epoll_create1: Too many open files");
}
