// SPDX-License-Identifier: BSL-1.0
// A little of net: what must work in every way of building the library.

#include <rondo/backend/default_poller.hpp>
#include <rondo/net/connector.hpp>
#include <rondo/net/framing.hpp>
#include <rondo/net/listener.hpp>
#include <rondo/net/server.hpp>
#include <rondo/net/udp_socket.hpp>

#include <string>

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

TEST_CASE("a client and a server talk in lines, in every build", "[smoke][kernel]") {
    using Loop = rondo::EventLoop<rondo::DefaultPoller>;
    Loop loop;
    rondo::Server<Loop> server(loop);
    server.on_data(rondo::delimited("\n", [](auto& connection, std::string_view line) {
        connection.send(std::string(line) + "!\n");
    }));
    REQUIRE(server.listen(rondo::Endpoint::ipv4_loopback(0)));
    rondo::Connections<Loop> clients(loop);
    std::string heard;
    clients.on_open([](auto& connection) { connection.send("one\ntwo\n"); });
    clients.on_data(rondo::delimited("\n", [&](auto& connection, std::string_view line) {
        heard += line;
        if (line == "two!") connection.close();
    }));
    clients.on_close([&](auto&, const rondo::Error&) { server.drain(rondo::never); });
    rondo::Connector connector(loop);
    REQUIRE(connector.connect(*server.local(), [&](rondo::Result<int> fd) {
        REQUIRE(fd);
        REQUIRE(clients.adopt(*fd));
    }));
    loop.run();
    CHECK(heard == "one!two!");
}

TEST_CASE("a datagram comes back, in every build", "[smoke][kernel]") {
    rondo::EventLoop<rondo::DefaultPoller> loop;
    rondo::UdpSocket server(loop);
    rondo::UdpSocket client(loop);
    server.on_datagram([&](std::span<const std::byte> bytes, const rondo::Datagram& from) {
        REQUIRE(server.send(bytes, from.peer));
    });
    size_t heard = 0;
    client.on_datagram([&](std::span<const std::byte> bytes, const rondo::Datagram&) {
        heard = bytes.size();
        loop.stop();
    });
    REQUIRE(server.bind(rondo::Endpoint::ipv4_loopback(0)));
    REQUIRE(client.connect(*server.local()));
    REQUIRE(client.send("hello"));
    loop.run();
    CHECK(heard == 5);
}
