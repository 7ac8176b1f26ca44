// SPDX-License-Identifier: BSL-1.0
// Sends datagrams back. Try it: udp_echo --port 7000, then: nc -u 127.0.0.1 7000
#include "examples/udp_echo.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--poller NAME]");
    const auto at = options.port();
    return example::with_loop(options, [&](auto& loop) {
        example::UdpEcho server(loop);
        return example::serve(loop, server, {at});
    });
}
