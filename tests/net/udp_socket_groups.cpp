// SPDX-License-Identifier: BSL-1.0
// Groups and broadcast, on every poller, and IPv6.

#include <rondo/net/udp_socket.hpp>

#include <string>
#include <vector>

#include <rondo/backend/default_poller.hpp>

#include "net/udp_rig.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

// The index of the loopback interface on Linux; the manual world has no interfaces.
constexpr uint32_t loopback = 1;

// What a socket sends to `group` reaches the members on this machine, while they are members. What
// the machine can't do is answered by an error, and says nothing.
template <class P>
Error talk_in_group(const Endpoint& any, const Endpoint& group) {
    UdpSite<P> site;
    if (auto bound = site.udp.bind(any, {.reuse_address = true}); !bound) return bound.error();
    const Endpoint to = group.with_port(site.udp.local().value().port());
    UdpSocket<typename UdpSite<P>::Loop> sender(site.rig.loop);
    REQUIRE(sender.bind(any));
    if (auto set = sender.set_multicast_interface(loopback); !set) return set.error();
    CHECK(sender.set_multicast_loop(true));
    CHECK(sender.set_multicast_hops(0));

    if (auto joined = site.udp.join(to, loopback); !joined) return joined.error();
    CHECK(site.udp.join(to, loopback).error() == EADDRINUSE);
    if (auto sent = sender.send("to all", to); !sent) return sent.error();
    site.turns();
    CHECK(site.heard == Texts{"to all"});
    REQUIRE(site.udp.leave(to, loopback));
    CHECK(site.udp.leave(to, loopback).error() == EADDRNOTAVAIL);
    REQUIRE(sender.send("to nobody", to));
    site.turns();
    CHECK(site.heard.size() == 1);
    return {};
}

const Endpoint group_v4 = Endpoint::parse("239.255.77.77:0").value();
const Endpoint group_v6 = Endpoint::parse("[ff01::4d:4d]:0").value();

template <class P>
Error talk_v4() {
    return talk_in_group<P>(Endpoint::ipv4_any(0), group_v4);
}
template <class P>
Error talk_v6() {
    return talk_in_group<P>(Endpoint::ipv6_any(0), group_v6);
}

}  // namespace

TEST_CASE("members of a group hear what is sent to it", "[udp]") {
    CHECK(talk_v4<ManualPoller>() == 0);
    CHECK(talk_v6<ManualPoller>() == 0);
}

TEST_CASE("members of a group hear what is sent to it over loopback", "[udp][kernel]") {
    for (const Error& error :
         {talk_v4<DefaultPoller>(), talk_v4<PollPoller>(), talk_v4<SelectPoller>()}) {
        if (error) SKIP("no multicast here: " << error.message().c_str());
    }
}

TEST_CASE("members of an IPv6 group hear what is sent to it over loopback", "[udp][kernel]") {
    for (const Error& error :
         {talk_v6<DefaultPoller>(), talk_v6<PollPoller>(), talk_v6<SelectPoller>()}) {
        if (error) SKIP("no IPv6 multicast here: " << error.message().c_str());
    }
}

KERNEL_CASE("a broadcast must be allowed first", "[udp]") {
    UdpSite<TestType> site;
    const Endpoint to = Endpoint::ipv4(127, 255, 255, 255, site.open(Endpoint::ipv4_any(0)).port());
    CHECK(site.udp.send("hello", to).error() == EACCES);
    REQUIRE(site.udp.set_broadcast(true));
    REQUIRE(site.udp.send("hello", to));
    site.turns();
    CHECK(site.heard == Texts{"hello"});
}

KERNEL_CASE("an address that is no group can't be joined", "[udp]") {
    UdpSite<TestType> site;
    site.open();
    const auto joined = site.udp.join(Endpoint::ipv4_loopback(0));
    CHECK(joined.error() == EINVAL);
    CHECK(joined.error().message().view().substr(0, 18) == "join 127.0.0.1:0: ");
    site.udp.close();
    CHECK(site.udp.join(group_v4).error() == EBADF);
}

TEST_CASE("IPv6 works like IPv4", "[udp][kernel]") {
    UdpSite<DefaultPoller> site;
    const auto bound = site.udp.bind(Endpoint::ipv6_loopback(0));
    if (!bound) SKIP("no IPv6 here: " << bound.error().message().c_str());
    const Endpoint at = site.udp.local().value();
    REQUIRE(site.udp.send("to myself", at));
    site.turns();
    CHECK(site.heard == Texts{"to myself"});
    CHECK(site.last.peer == at);
}
