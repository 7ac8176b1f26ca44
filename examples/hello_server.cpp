// SPDX-License-Identifier: BSL-1.0
// The shortest whole server, which sends back what it receives. Try it: hello_server 7000, then:
// nc 127.0.0.1 7000
// [hello]
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <rondo/rondo.hpp>

int main(int argc, char** argv) {
    const auto port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7000);
    rondo::EventLoop<rondo::DefaultPoller> loop;
    rondo::Server server(loop);
    server.on_data([](auto& connection, std::span<const std::byte> bytes) {
        connection.send(bytes);  // leaves when this returns, without a copy
    });
    if (const auto listening = server.listen(rondo::Endpoint::ipv4_loopback(port)); !listening) {
        std::fprintf(stderr, "%s\n", listening.error().message().c_str());
        return 1;
    }
    const auto stop = [&] { server.drain(rondo::Duration::seconds(1)); };
    const auto watch = loop.on_signal(SIGINT, stop).value();  // for as long as `watch` lives
    std::printf("listening on %s\n", server.local().value().text().c_str());
    std::fflush(stdout);
    loop.run();  // until it is drained
}
// [/hello]
