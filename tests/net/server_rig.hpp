// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server that echoes, and clients that are plain sockets.

#include <rondo/net/server.hpp>

#include <string>
#include <string_view>

#include "net/connection_rig.hpp"

namespace rondo::test {

template <class P>
struct EchoSite {
    using Loop = EventLoop<P>;

    explicit EchoSite(const ConnectionOptions& options = {}, ListenerLimits limits = {})
        : server(rig.loop, options, limits) {
        server.on_open([this](auto&) { ++opened; });
        server.on_data(
            [](auto& connection, std::span<const std::byte> bytes) { connection.send(bytes); });
        server.on_close([this](auto&, const Error&) { ++closed; });
        server.listen(Endpoint::ipv4_loopback(0)).value();
    }
    int connect() {
        return rig.own(rig.loop.sockets().connect_to(server.local().value(), {}).value());
    }
    void say(int fd, std::string_view text) {
        REQUIRE(rig.loop.sockets().write(fd, std::as_bytes(std::span(text))).bytes == text.size());
    }
    std::string hear(int fd, size_t size) {
        std::string all;
        std::byte bytes[256];
        while (all.size() < size) {
            const IoResult got = rig.loop.sockets().read(fd, bytes);
            if (got) all += text_of(std::span(bytes).first(got.bytes));
            if (!got) rig.loop.run_once();
        }
        return all;
    }

    Rig<P> rig;
    Server<Loop> server;
    size_t opened = 0;
    size_t closed = 0;
};

}  // namespace rondo::test
