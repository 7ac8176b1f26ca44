// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/io_result.hpp>

#include <type_traits>

#include "support/catch.hpp"

using rondo::IoResult;

TEST_CASE("a count, also of zero bytes, is a success", "[io_result]") {
    CHECK(IoResult{12, 0});
    CHECK(IoResult{0, 0});
    CHECK(IoResult());
    CHECK_FALSE(IoResult{12, 0}.would_block());
}

TEST_CASE("would-block is told apart from failure", "[io_result]") {
    CHECK_FALSE(IoResult{0, EAGAIN});
    CHECK(IoResult{0, EAGAIN}.would_block());
    CHECK(IoResult{0, EWOULDBLOCK}.would_block());
    CHECK_FALSE(IoResult{0, ECONNRESET}.would_block());
}

TEST_CASE("an I/O result becomes an error with the call and the descriptor", "[io_result]") {
    const IoResult reset{0, ECONNRESET};
    CHECK(reset.error("read", 5).message() == "read fd 5: connection reset by peer");
    CHECK_FALSE(IoResult{3, 0}.error("read", 5));
}

TEST_CASE("an I/O result is returned in two registers", "[io_result]") {
    STATIC_REQUIRE(std::is_trivially_copyable_v<IoResult>);
    STATIC_REQUIRE(sizeof(IoResult) <= 2 * sizeof(size_t));
}
