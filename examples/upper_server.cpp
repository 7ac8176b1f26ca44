// SPDX-License-Identifier: BSL-1.0
// Replies with the upper-cased text. Try it: upper_server --port 7000, then: nc 127.0.0.1 7000
#include "examples/upper_server.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--poller NAME] [--edge] [--buffer BYTES]");
    const auto at = options.port();
    const bool edge = options.flag("--edge");
    const auto buffer = options.count("--buffer", 16384);
    return example::with_loop(options, [&](auto& loop) {
        if (edge && !loop.poller().traits.edge) {
            return example::report({ENOTSUP, "edge-triggered watching", loop.poller().name()});
        }
        example::UpperServer server(loop, edge, buffer);
        return example::serve(loop, server, {at});
    });
}
