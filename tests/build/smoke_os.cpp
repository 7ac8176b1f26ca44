// SPDX-License-Identifier: BSL-1.0
// A little of os: what must work in every way of building the library.

#include <rondo/os/posix_sockets.hpp>

#include <span>

#include "support/catch.hpp"

TEST_CASE("bytes pass through a pair, in every build", "[smoke][kernel]") {
    rondo::PosixSockets sockets;
    const auto ends = sockets.pair(rondo::SocketKind::stream);
    REQUIRE(ends);
    const char sent[] = {'h', 'i'};
    CHECK(sockets.write(ends->first, std::as_bytes(std::span(sent))).bytes == 2);
    char received[8];
    CHECK(sockets.read(ends->second, std::as_writable_bytes(std::span(received))).bytes == 2);
    CHECK(sockets.read(ends->second, std::as_writable_bytes(std::span(received))).would_block());
    sockets.close(ends->first);
    sockets.close(ends->second);
}
