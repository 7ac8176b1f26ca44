// SPDX-License-Identifier: BSL-1.0
// Sends back what it receives, on all processors. Try it: loop_group_echo --port 7000 --threads 4
#include "examples/loop_group_echo.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--threads N] [--handover] [--poller NAME]");
    const auto at = options.port();
    const auto threads = static_cast<size_t>(options.number("--threads", 0, 0, 1024));
    const bool handover = options.flag("--handover");
    return example::with_loop(options, [&]<class Loop>(Loop& loop) {
        example::LoopGroupEcho<Loop> server(loop, threads, handover);
        return example::serve(loop, server, {at});
    });
}
