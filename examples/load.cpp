// SPDX-License-Identifier: BSL-1.0
// Asks upper_server, or with --echo any server that echoes, and checks every byte. Try it:
// upper_server --port 7000, then: load --port 7000
#include "examples/load.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv,
                             "--port N [--echo] [--connections|pipeline|size|messages|seconds N]");
    const example::Plan plan{options.port(),
                             options.count("--connections", 50),
                             options.count("--pipeline", 1),
                             options.count("--size", 64),
                             options.count("--messages", 1'000'000'000),
                             options.flag("--echo"),
                             rondo::Duration::seconds(options.number("--seconds", 1'000'000'000))};
    return example::with_loop(options, [&](auto& loop) {
        example::Load load(loop, plan);
        const auto print = [&](const char* end) { load.tally().print(loop.now(), end); };
        if (example::on_terminal()) loop.every(rondo::Duration::seconds(1), [=] { print("  \r"); });
        const int status = example::run_until_signal(loop, [&] { load.finish(); });
        print("\n");
        return load.tally().errors == 0 ? status : 1;
    });
}
