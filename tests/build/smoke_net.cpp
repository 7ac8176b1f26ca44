// SPDX-License-Identifier: BSL-1.0
// A little of net: what must work in every way of building the library.

#include <rondo/backend/default_poller.hpp>
#include <rondo/net/listener.hpp>

#include "support/catch.hpp"

TEST_CASE("a listener hands over a connection, in every build", "[smoke][kernel]") {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    auto& sockets = loop.sockets();
    int accepted = 0;
    rondo::Listener listener(loop, [&](int fd, const rondo::Endpoint&) {
        ++accepted;
        sockets.close(fd);
        loop.stop();
    });
    REQUIRE(listener.listen(rondo::Endpoint::ipv4_loopback(0)));
    const auto at = listener.local();
    REQUIRE(at);
    const auto client = sockets.connect_to(*at, {});
    REQUIRE(client);
    loop.run();
    CHECK(accepted == 1);
    sockets.close(*client);
}
