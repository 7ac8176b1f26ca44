// SPDX-License-Identifier: BSL-1.0
// An echo server by rondo, as its README has it. The library reads no more of a connection while
// over a megabyte of it isn't sent, and ends it when all is sent.
#include <cstdio>
#include <cstdlib>

#ifdef ECHO_PARTS  // only what it needs
#include <rondo/backend/epoll_poller.hpp>
#include <rondo/net/server.hpp>
#else
#include <rondo/rondo.hpp>
#endif

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    rondo::EventLoop<rondo::EpollPoller> loop;
    rondo::Server server(loop);
    server.on_data([](auto& connection, std::span<const std::byte> bytes) {
        connection.send(bytes);  // leaves when this returns, without a copy
    });
    const auto port = static_cast<uint16_t>(std::atoi(argv[1]));
    if (const auto listening = server.listen(rondo::Endpoint::ipv4_loopback(port)); !listening) {
        std::fprintf(stderr, "%s\n", listening.error().message().c_str());
        return 1;
    }
    std::puts("listening");
    std::fflush(stdout);
    loop.run();
}
