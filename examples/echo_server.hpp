// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server that sends back what it receives. The library queues what a client is slow to read,
// stops reading from that client meanwhile, and ends the connection when the client has finished.

#include <chrono>
#include <cstdio>
#include <span>

#include <rondo/rondo.hpp>

namespace example {

template <class Loop>
class EchoServer {
public:
    // [server]
    explicit EchoServer(Loop& loop) : server_(loop) {
        server_.on_data([](auto& connection, std::span<const std::byte> bytes) {
            connection.send(bytes);  // leaves when this returns, without a copy
        });
        server_.on_close([](auto&, const rondo::Error& reason) {
            if (reason) std::fprintf(stderr, "%s\n", reason.message().c_str());
        });
    }

    auto listen(const rondo::Endpoint& at) { return server_.listen(at); }
    auto local() { return server_.local().value(); }
    void stop() { server_.drain(std::chrono::seconds(1)); }

private:
    rondo::Server<Loop> server_;
    // [/server]
};

}  // namespace example
