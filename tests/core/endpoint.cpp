// SPDX-License-Identifier: BSL-1.0
// Endpoint: what it reads, what it refuses, and that it reads back what it prints.

#include <rondo/core/endpoint.hpp>

#include <arpa/inet.h>

#include <cstdint>
#include <random>
#include <string>
#include <type_traits>

#include "support/catch.hpp"

using rondo::Endpoint;
using rondo::Family;

static_assert(std::is_trivially_copyable_v<Endpoint>);
static_assert(Endpoint::ipv4_loopback(80).with_port(81) == Endpoint::ipv4(127, 0, 0, 1, 81));
static_assert(Endpoint::ipv6_any(1).is_any() && !Endpoint::ipv6_loopback(1).is_any());
static_assert(!Endpoint() && Endpoint() == Endpoint());

namespace {

std::string printed(const char* text) {
    const auto at = Endpoint::parse(text);
    if (!at) return at.error() == EINVAL ? "EINVAL" : at.error().message().c_str();
    return at->text().c_str();
}

Endpoint ipv6(std::initializer_list<uint16_t> groups, uint16_t port, uint32_t scope = 0) {
    uint8_t bytes[16] = {};
    size_t i = 0;
    for (const uint16_t group : groups) {
        bytes[i++] = static_cast<uint8_t>(group >> 8);
        bytes[i++] = static_cast<uint8_t>(group & 0xff);
    }
    return Endpoint::ipv6(bytes, port, scope);
}

}  // namespace

TEST_CASE("an IPv4 endpoint reads as four numbers and a port") {
    const auto at = Endpoint::parse("10.20.30.255:65535");
    REQUIRE(at);
    CHECK(*at == Endpoint::ipv4(10, 20, 30, 255, 65535));
    CHECK(at->family() == Family::ipv4);
    CHECK(at->port() == 65535);
    CHECK(at->address().size() == 4);
    CHECK(at->address()[3] == 255);
    CHECK(at->path().empty());
    CHECK(printed("127.0.0.1:80") == "127.0.0.1:80");
    CHECK(printed("0.0.0.0:0") == "0.0.0.0:0");
}

TEST_CASE("a star is every IPv4 address") {
    CHECK(*Endpoint::parse("*:8080") == Endpoint::ipv4_any(8080));
    CHECK(printed("*:8080") == "0.0.0.0:8080");
}

TEST_CASE("an IPv6 endpoint prints in the canonical form of RFC 5952") {
    CHECK(printed("[::1]:80") == "[::1]:80");
    CHECK(printed("[::]:80") == "[::]:80");
    CHECK(printed("[0:0:0:0:0:0:0:0]:80") == "[::]:80");
    CHECK(printed("[2001:0DB8:0:0:0:0:2:1]:80") == "[2001:db8::2:1]:80");
    CHECK(printed("[2001:db8:0:1:1:1:1:1]:80") == "[2001:db8:0:1:1:1:1:1]:80");
    CHECK(printed("[2001:0:0:1:0:0:0:1]:80") == "[2001:0:0:1::1]:80");
    CHECK(printed("[2001:db8:0:0:1:0:0:1]:80") == "[2001:db8::1:0:0:1]:80");
    CHECK(printed("[1:2:3:4:5:6:7::]:80") == "[1:2:3:4:5:6:7:0]:80");
    CHECK(printed("[::2:3:4:5:6:7:8]:80") == "[0:2:3:4:5:6:7:8]:80");
    CHECK(printed("[1::]:80") == "[1::]:80");
    CHECK(printed("[::ffff:192.0.2.1]:80") == "[::ffff:192.0.2.1]:80");
    CHECK(printed("[::ffff:c000:201]:80") == "[::ffff:192.0.2.1]:80");
    CHECK(printed("[64:ff9b::192.0.2.33]:80") == "[64:ff9b::c000:221]:80");
    CHECK(printed("[1:2:3:4:5:6:1.2.3.4]:80") == "[1:2:3:4:5:6:102:304]:80");
}

TEST_CASE("a link-local endpoint carries the number of its interface") {
    const auto at = Endpoint::parse("[fe80::1%2]:80");
    REQUIRE(at);
    CHECK(at->scope() == 2);
    CHECK(*at == ipv6({0xfe80, 0, 0, 0, 0, 0, 0, 1}, 80, 2));
    CHECK(*at != ipv6({0xfe80, 0, 0, 0, 0, 0, 0, 1}, 80, 3));
    CHECK(printed("[fe80::1%4294967295]:80") == "[fe80::1%4294967295]:80");
}

TEST_CASE("a Unix endpoint is a path or an abstract name") {
    const auto path = Endpoint::parse("unix:/run/x.sock");
    REQUIRE(path);
    CHECK(path->family() == Family::unix_path);
    CHECK(path->path() == "/run/x.sock");
    CHECK_FALSE(path->is_abstract());
    CHECK(path->port() == 0);
    CHECK(path->with_port(80) == *path);
    CHECK(path->address().empty());

    const auto name = Endpoint::parse("unix:@x");
    REQUIRE(name);
    CHECK(name->is_abstract());
    CHECK(name->path() == "x");
    CHECK(*name != *Endpoint::unix_path("x"));
    CHECK(name->text() == "unix:@x");
}

TEST_CASE("a file whose name begins with @ is never taken for an abstract name") {
    const auto at = Endpoint::unix_path("@x");
    REQUIRE(at);
    CHECK_FALSE(at->is_abstract());
    CHECK(at->text() == "unix:./@x");
    CHECK(*Endpoint::parse(at->text()) == *at);
}

namespace {

constexpr const char* not_endpoints[] = {
    "",
    ":",
    ":80",
    "80",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:x",
    "127.0.0.1:80 ",
    " 127.0.0.1:80",
    "127.0.0.1:+80",
    "127.0.0.1:-1",
    "127.0.0.1:65536",
    "127.0.0.1:080",
    "127.0.0.1:00",
    "127.0.0.1:99999999999999999999",
    "127.0.0.1:80:80",
    "127.0.0:80",
    "127.0.0.1.1:80",
    "127.0.0.256:80",
    "127.0.0.01:80",
    "0x7f.0.0.1:80",
    "127.0.0.:80",
    "127..0.1:80",
    "localhost:80",
    "*",
    "*:",
    "*80",
    "**:80",
    "::1:80",
    "[::1]",
    "[::1]80",
    "[::1]:",
    "[::1:80",
    "[]:80",
    "[:]:80",
    "[:::]:80",
    "[1:2:3:4:5:6:7]:80",
    "[1:2:3:4:5:6:7:8:9]:80",
    "[1:2:3:4:5:6:7:8::]:80",
    "[::1:2:3:4:5:6:7:8]:80",
    "[1::2::3]:80",
    "[1:]:80",
    "[:1]:80",
    "[::1:]:80",
    "[12345::]:80",
    "[g::]:80",
    "[::1.2.3]:80",
    "[::1.2.3.4.5]:80",
    "[::1.2.3.4:5]:80",
    "[::1.2.3.04]:80",
    "[1:2:3:4:5:6:7:1.2.3.4]:80",
    "[1.2.3.4]:80",
    "[fe80::1%]:80",
    "[fe80::1%0]:80",
    "[fe80::1%01]:80",
    "[fe80::1%eth0]:80",
    "[fe80::1%4294967296]:80",
    "unix",
    "unix:",
    "unix:@",
    "none",
    "tcp:127.0.0.1:80",
};

}  // namespace

TEST_CASE("what isn't exactly an endpoint is refused, and the error names it") {
    for (const char* const text : not_endpoints) {
        CAPTURE(text);
        const auto at = Endpoint::parse(text);
        REQUIRE_FALSE(at);
        CHECK(at.error() == EINVAL);
        CHECK(at.error().object() == text);
    }
    CHECK(Endpoint::parse("localhost:80").error().message() ==
          "parse endpoint localhost:80: invalid argument");
}

TEST_CASE("a NUL is refused in a path, but an abstract name may hold any byte") {
    using namespace std::string_view_literals;
    CHECK(Endpoint::unix_path("/a\0b"sv).error() == EINVAL);
    CHECK(Endpoint::parse("unix:/a\0b"sv).error() == EINVAL);
    CHECK(Endpoint::parse("127.0.0.1:80\0"sv).error() == EINVAL);
    const auto name = Endpoint::unix_abstract("a\0b"sv);
    REQUIRE(name);
    CHECK(name->path() == "a\0b"sv);
    CHECK(*Endpoint::parse(name->text()) == *name);
}

TEST_CASE("a path that is too long is refused, not cut") {
    const std::string longest(Endpoint::max_path, 'p');
    const auto path = Endpoint::parse("unix:" + longest);
    REQUIRE(path);
    CHECK(path->path() == longest);
    CHECK(path->text().view() == "unix:" + longest);
    CHECK(Endpoint::parse("unix:@" + longest)->text().view() == "unix:@" + longest);

    CHECK(Endpoint::parse("unix:p" + longest).error() == ENAMETOOLONG);
    CHECK(Endpoint::parse("unix:@p" + longest).error() == ENAMETOOLONG);
    CHECK(Endpoint::unix_path("p" + longest).error() == ENAMETOOLONG);
    CHECK(Endpoint::unix_path("@" + longest.substr(2)).error() == ENAMETOOLONG);
    CHECK(Endpoint::unix_abstract("p" + longest).error() == ENAMETOOLONG);
}

TEST_CASE("endpoints differ by family, address, port and scope") {
    CHECK(Endpoint::ipv4_any(80) != Endpoint::ipv4_any(81));
    CHECK(Endpoint::ipv4_any(80) != Endpoint::ipv4_loopback(80));
    CHECK(Endpoint::ipv4_any(80) != Endpoint::ipv6_any(80));
    CHECK(Endpoint::ipv4_any(0) != Endpoint());
    CHECK(Endpoint::unix_unnamed() != Endpoint());
    CHECK(*Endpoint::unix_path("/a") != *Endpoint::unix_path("/ab"));
}

TEST_CASE("a mapped IPv4 peer can be seen as what it is") {
    const Endpoint mapped = *Endpoint::parse("[::ffff:1.2.3.4]:80");
    CHECK(mapped.unmapped() == Endpoint::ipv4(1, 2, 3, 4, 80));
    CHECK(Endpoint::ipv6_loopback(80).unmapped() == Endpoint::ipv6_loopback(80));
    CHECK(Endpoint::ipv4_any(80).unmapped() == Endpoint::ipv4_any(80));
}

TEST_CASE("the endpoints that parse() can't read print as words") {
    CHECK(Endpoint().text() == "none");
    CHECK(Endpoint::unix_unnamed().text() == "unix:");
    rondo::Text<8> cut("x");
    Endpoint::ipv4_loopback(80).print(cut);
    CHECK(cut == "x127.0.");
}

TEST_CASE("every endpoint reads back what it prints, and IPv6 prints as the C library does") {
    std::mt19937 random(20240229);  // NOLINT: the same sequence in every run
    const auto number = [&random](uint32_t below) {
        return static_cast<uint32_t>(random() % below);
    };
    for (int round = 0; round < 20000; ++round) {
        const auto port = static_cast<uint16_t>(number(65536));
        Endpoint at;
        uint8_t bytes[16];
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
        std::string name(1 + number(Endpoint::max_path), '\0');
        switch (number(4)) {
            case 0:
                at = Endpoint::ipv4(bytes[0], bytes[1], bytes[2], bytes[3], port);
                break;
            case 1: {
                // Zero groups often, so that runs of every length and place occur.
                for (int i = 0; i < 8; ++i) {
                    if (number(3) != 0) bytes[2 * i] = bytes[2 * i + 1] = 0;
                }
                at = Endpoint::ipv6(bytes, port,
                                    number(2) != 0 ? 0 : static_cast<uint32_t>(random()));
                char expected[INET6_ADDRSTRLEN];
                REQUIRE(inet_ntop(AF_INET6, bytes, expected, sizeof expected) != nullptr);
                // RFC 5952 leaves the long-deprecated IPv4-compatible form out; the C library
                // doesn't.
                const std::string brackets = '[' + std::string(expected);
                if (brackets.find('.') == std::string::npos) {
                    CHECK(at.text().view().substr(0, brackets.size()) == brackets);
                }
                break;
            }
            case 2:
                for (char& c : name) c = static_cast<char>(random());
                at = *Endpoint::unix_abstract(name);
                break;
            default:
                for (char& c : name) c = static_cast<char>(1 + number(255));
                name[0] = '/';
                at = *Endpoint::unix_path(name);
        }
        const auto again = Endpoint::parse(at.text());
        CAPTURE(at.text().c_str());
        REQUIRE(again);
        REQUIRE(*again == at);
    }
}
