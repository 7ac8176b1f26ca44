// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/error.hpp>

#include <errno.h>

#include <string>
#include <type_traits>

#include "support/catch.hpp"

using rondo::Error;

TEST_CASE("an error names the call, its object and the reason", "[error]") {
    const Error error(EACCES, "listen", "127.0.0.1:80");
    CHECK(error.message() == "listen 127.0.0.1:80: permission denied");
    CHECK(error.code() == EACCES);
    CHECK(std::string(error.call()) == "listen");
    CHECK(error.object() == "127.0.0.1:80");
    CHECK(error);
}

TEST_CASE("an error without an object names the call and the reason", "[error]") {
    CHECK(Error(ENOMEM, "epoll_create1").message() == "epoll_create1: cannot allocate memory");
}

TEST_CASE("an error on a descriptor names its number", "[error]") {
    CHECK(Error::on_fd(EBADF, "epoll_ctl", 7).message() == "epoll_ctl fd 7: bad file descriptor");
    CHECK(Error::on_fd(EBADF, "read", -1).object() == "fd -1");
}

TEST_CASE("a default-constructed error means that nothing failed", "[error]") {
    const Error none;
    CHECK_FALSE(none);
    CHECK(none == 0);
    CHECK(none.message() == "no error");
    CHECK(none.object().empty());
}

TEST_CASE("an error keeps a copy of its object, cut to 51 bytes", "[error]") {
    std::string path(51, 'p');
    const Error whole(ENOENT, "bind", path);
    const Error cut(ENOENT, "bind", path + "more");
    CHECK(whole.object() == path);
    CHECK(cut.object() == path);
    path.assign(51, 'x');
    CHECK(whole.object() == std::string(51, 'p'));
}

TEST_CASE("errors are equal when the system's number is", "[error]") {
    CHECK(Error(EPIPE, "write") == Error(EPIPE, "writev", "fd 3"));
    CHECK(Error(EPIPE, "write") != Error(EBADF, "write"));
    CHECK(Error(EADDRINUSE, "bind") == EADDRINUSE);
    CHECK(EADDRINUSE == Error(EADDRINUSE, "bind"));
}

TEST_CASE("a number that the system doesn't know still makes a message", "[error]") {
    CHECK_THAT(std::string(Error(99999, "ioctl").message().c_str()), ContainsSubstring("99999"));
}

TEST_CASE("the longest message is cut, not overrun", "[error]") {
    const std::string call(300, 'c');
    const Error error(EACCES, call.c_str(), "object");
    CHECK(error.message().size() == 191);
}

TEST_CASE("an error is one cache line that is copied like an int", "[error]") {
    STATIC_REQUIRE(std::is_trivially_copyable_v<Error>);
    STATIC_REQUIRE((sizeof(void*) != 8 || sizeof(Error) == 64));
}
