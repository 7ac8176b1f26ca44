// SPDX-License-Identifier: BSL-1.0
// Repeats what it hears, closes who is quiet. Try it: idle_server --port 7000 --idle-ms 5000, then:
// nc 127.0.0.1 7000
#include "examples/idle_server.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--idle-ms N] [--poller NAME]");
    const auto at = options.port();
    const auto idle = rondo::Duration::milliseconds(options.number("--idle-ms", 60'000));
    return example::with_loop(options, [&](auto& loop) {
        example::IdleServer server(loop, idle);
        return example::serve(loop, server, {at});
    });
}
