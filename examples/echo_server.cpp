// SPDX-License-Identifier: BSL-1.0
// Sends back what it receives. Try it: echo_server --port 7000, then: nc 127.0.0.1 7000
#include "examples/echo_server.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--poller NAME]");
    const auto at = options.port();
    return example::with_loop(options, [&](auto& loop) {
        example::EchoServer server(loop);
        return example::serve(loop, server, {at});
    });
}
