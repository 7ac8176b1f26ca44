// SPDX-License-Identifier: BSL-1.0
// Multicast and broadcast options, read back from the kernel where it lets itself be asked.

#include <rondo/os/socket_groups.hpp>

#include "os/socket_support.hpp"

using namespace sockets_test;

namespace {

constexpr uint32_t loopback = 1;  // the index of that interface on Linux

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    REQUIRE(getsockopt(fd, level, name, &value, &length) == 0);
    return value;
}

struct Udp {
    explicit Udp(const Endpoint& any) {
        auto opened = PosixSockets::open(any.family(), SocketKind::datagram);
        if (!opened) return;
        fd.reset(*opened);
        REQUIRE(PosixSockets::bind(fd.get(), any));
        port = PosixSockets::local(fd.get()).value().port();
    }
    Fd fd;
    uint16_t port = 0;
};

bool hears(int fd) {
    settle();
    std::byte buffer[16];
    rondo::Datagram from;
    return bool(PosixSockets::receive_from(fd, buffer, from));
}

const Endpoint group_v4 = Endpoint::parse("239.255.77.78:0").value();
const Endpoint group_v6 = Endpoint::parse("[ff01::4d:4e]:0").value();

}  // namespace

TEST_CASE("how to send to groups is set for both families") {
    const Udp v4(Endpoint::ipv4_any(0));
    const Udp v6(Endpoint::ipv6_any(0));
    for (const int hops : {0, 7, 255}) {
        CHECK(PosixSockets::set_multicast_hops(v4.fd.get(), Family::ipv4, hops));
        CHECK(option(v4.fd.get(), IPPROTO_IP, IP_MULTICAST_TTL) == hops);
    }
    for (const bool on : {false, true}) {
        CHECK(PosixSockets::set_multicast_loop(v4.fd.get(), Family::ipv4, on));
        CHECK(option(v4.fd.get(), IPPROTO_IP, IP_MULTICAST_LOOP) == on);
        CHECK(PosixSockets::set_broadcast(v4.fd.get(), on));
        CHECK(option(v4.fd.get(), SOL_SOCKET, SO_BROADCAST) == on);
    }
    if (!v6.fd) SKIP("no IPv6 here");
    CHECK(PosixSockets::set_multicast_hops(v6.fd.get(), Family::ipv6, 7));
    CHECK(option(v6.fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS) == 7);
    for (const bool on : {false, true}) {
        CHECK(PosixSockets::set_multicast_loop(v6.fd.get(), Family::ipv6, on));
        CHECK(option(v6.fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_LOOP) == on);
    }
    CHECK(PosixSockets::set_multicast_interface(v6.fd.get(), Family::ipv6, loopback));
    CHECK(option(v6.fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_IF) == static_cast<int>(loopback));
}

TEST_CASE("hops that are no octet are refused") {
    const Udp udp(Endpoint::ipv4_any(0));
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        CHECK(PosixSockets::set_multicast_hops(udp.fd.get(), family, -1).error() == EINVAL);
        CHECK(PosixSockets::set_multicast_hops(udp.fd.get(), family, 256).error() == EINVAL);
    }
}

TEST_CASE("a member of an IPv4 group hears it, from joining to leaving") {
    const Udp member(Endpoint::ipv4_any(0));
    const Udp sender(Endpoint::ipv4_any(0));
    const Endpoint to = group_v4.with_port(member.port);
    const auto joined = PosixSockets::join(member.fd.get(), group_v4, loopback);
    if (!joined) SKIP("no multicast here: " << joined.error().message().c_str());
    const auto set = PosixSockets::set_multicast_interface(sender.fd.get(), Family::ipv4, loopback);
    if (!set) SKIP("no interface by index here: " << set.error().message().c_str());
    CHECK(PosixSockets::join(member.fd.get(), group_v4, loopback).error() == EADDRINUSE);
    REQUIRE(PosixSockets::send_to(sender.fd.get(), bytes("x"), to));
    CHECK(hears(member.fd.get()));
    CHECK(PosixSockets::leave(member.fd.get(), group_v4, loopback));
    REQUIRE(PosixSockets::send_to(sender.fd.get(), bytes("x"), to));
    CHECK_FALSE(hears(member.fd.get()));
    CHECK(PosixSockets::leave(member.fd.get(), group_v4, loopback).error() == EADDRNOTAVAIL);
}

TEST_CASE("a member for one source hears no other") {
    const Udp member(Endpoint::ipv4_any(0));
    const Udp sender(Endpoint::ipv4_loopback(0));
    const Endpoint to = group_v4.with_port(member.port);
    const Endpoint stranger = Endpoint::ipv4(127, 0, 0, 9, 0);
    const auto joined = PosixSockets::join_source(member.fd.get(), group_v4, stranger, loopback);
    if (!joined) SKIP("no multicast here: " << joined.error().message().c_str());
    const auto set = PosixSockets::set_multicast_interface(sender.fd.get(), Family::ipv4, loopback);
    if (!set) SKIP("no interface by index here: " << set.error().message().c_str());
    REQUIRE(PosixSockets::send_to(sender.fd.get(), bytes("x"), to));
    CHECK_FALSE(hears(member.fd.get()));
    const Endpoint source = Endpoint::ipv4_loopback(0);
    REQUIRE(PosixSockets::join_source(member.fd.get(), group_v4, source, loopback));
    REQUIRE(PosixSockets::send_to(sender.fd.get(), bytes("x"), to));
    CHECK(hears(member.fd.get()));
    CHECK(PosixSockets::leave_source(member.fd.get(), group_v4, source, loopback));
    REQUIRE(PosixSockets::send_to(sender.fd.get(), bytes("x"), to));
    CHECK_FALSE(hears(member.fd.get()));
}

TEST_CASE("an IPv6 group is joined and left, by its scope or an index") {
    const Udp member(Endpoint::ipv6_any(0));
    if (!member.fd) SKIP("no IPv6 here");
    const Endpoint scoped = Endpoint::parse("[ff01::4d:4e%1]:0").value();
    const auto joined = PosixSockets::join(member.fd.get(), scoped, 0);
    if (!joined) SKIP("no IPv6 multicast here: " << joined.error().message().c_str());
    CHECK(PosixSockets::join(member.fd.get(), group_v6, loopback).error() == EADDRINUSE);
    CHECK(PosixSockets::leave(member.fd.get(), group_v6, loopback));
    CHECK(PosixSockets::leave(member.fd.get(), scoped, 0).error() == EADDRNOTAVAIL);
}

TEST_CASE("what is no group, no address or no interface is an error that names it") {
    const Udp udp(Endpoint::ipv4_any(0));
    const auto refused = PosixSockets::join(udp.fd.get(), Endpoint::ipv4_loopback(0), loopback);
    CHECK(refused.error().message() == "join 127.0.0.1:0: invalid argument");
    CHECK(PosixSockets::join(udp.fd.get(), Endpoint(), 0).error() == EINVAL);
    CHECK(PosixSockets::join(udp.fd.get(), Endpoint::unix_path("/x").value(), 0).error() == EINVAL);
    CHECK(PosixSockets::join(udp.fd.get(), group_v4, 0x7fffffff).error() == ENODEV);
    CHECK(PosixSockets::join(-1, group_v4, 0).error() == EBADF);
}
