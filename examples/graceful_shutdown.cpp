// SPDX-License-Identifier: BSL-1.0
// Stops when all work is done. Try it: graceful_shutdown --port 7000, nc 127.0.0.1 7000, Ctrl-C
#include "examples/graceful_shutdown.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--work-ms N] [--grace-ms N] [--poller NAME]");
    const auto at = options.port();
    const auto work = rondo::Duration::milliseconds(options.number("--work-ms", 2000));
    const auto grace = rondo::Duration::milliseconds(options.number("--grace-ms", 10'000));
    return example::with_loop(options, [&](auto& loop) {
        example::SlowServer server(loop, work, grace);
        return example::serve(loop, server, {at});
    });
}
