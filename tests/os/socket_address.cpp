// SPDX-License-Identifier: BSL-1.0
// SocketAddress: every Endpoint survives the way through a sockaddr, and nothing else gets in.

#include <rondo/os/socket_address.hpp>

#include <string>

#include "support/catch.hpp"

using rondo::Endpoint;
using rondo::detail::SocketAddress;

namespace {

Endpoint there_and_back(const Endpoint& at) {
    SocketAddress address;
    REQUIRE(address.assign(at) == 0);
    return address.endpoint();
}

SocketAddress unix_address(std::string_view raw) {
    sockaddr_un native{};
    native.sun_family = AF_UNIX;
    memcpy(native.sun_path, raw.data(), raw.size());
    SocketAddress address;
    memcpy(address.data(), &native, sizeof native);
    address.length() = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + raw.size());
    return address;
}

}  // namespace

TEST_CASE("an endpoint survives the way through a sockaddr") {
    const std::string longest(Endpoint::max_path, 'p');
    for (const std::string& text :
         {std::string("1.2.3.4:5"), std::string("[::1]:65535"), std::string("[fe80::1%3]:80"),
          std::string("unix:/a/b"), std::string("unix:@name"), "unix:" + longest,
          "unix:@" + longest}) {
        CAPTURE(text);
        const Endpoint at = *Endpoint::parse(text);
        CHECK(there_and_back(at) == at);
    }
}

TEST_CASE("a sockaddr has its numbers in network byte order") {
    SocketAddress address;
    REQUIRE(address.assign(Endpoint::ipv4(1, 2, 3, 4, 0x1234)) == 0);
    sockaddr_in native{};
    memcpy(&native, address.data(), sizeof native);
    CHECK(address.length() == sizeof native);
    CHECK(native.sin_port == htons(0x1234));
    CHECK(native.sin_addr.s_addr == htonl(0x01020304));
}

TEST_CASE("what names no place can't become a sockaddr") {
    SocketAddress address;
    CHECK(address.assign(Endpoint()) == EINVAL);
    CHECK(address.assign(Endpoint::unix_unnamed()) == EINVAL);
}

TEST_CASE("an address that the kernel didn't fill in is none") {
    SocketAddress address;
    CHECK_FALSE(address.endpoint());
    address.length() = 0;
    CHECK_FALSE(address.endpoint());
    REQUIRE(address.assign(Endpoint::ipv4_any(80)) == 0);
    address.length() = 0;
    CHECK_FALSE(address.endpoint());
}

TEST_CASE("odd Unix addresses are read within their bounds") {
    CHECK(unix_address("").endpoint() == Endpoint::unix_unnamed());
    CHECK(unix_address(std::string(1, '\0')).endpoint() == Endpoint::unix_unnamed());
    CHECK(unix_address("/a").endpoint().path() == "/a");  // no terminator
    CHECK(unix_address("@a").endpoint().text() == "unix:./@a");

    // 108 bytes fill sun_path without a terminator, and the length told may be more than there is.
    const std::string full(sizeof sockaddr_un{}.sun_path, 'p');
    CHECK(unix_address(full).endpoint() == Endpoint::unix_unnamed());
    SocketAddress beyond = unix_address(full);
    beyond.length() = sizeof(sockaddr_storage) + 100;
    CHECK(beyond.endpoint() == Endpoint::unix_unnamed());
    std::string abstract = full;
    abstract[0] = '\0';
    beyond = unix_address(abstract);
    beyond.length() = sizeof(sockaddr_storage) + 100;
    CHECK(beyond.endpoint().path() == full.substr(1));
}
