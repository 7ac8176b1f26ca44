// SPDX-License-Identifier: BSL-1.0
// A small Redis. Try it: kv_server --port 7000, then: redis-cli -p 7000 set greeting hello
#include "examples/kv/server.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(
        argc, argv,
        "[--port N] [--bind ADDRESS,...] [--requirepass WORD] [--maxclients N] [--timeout SECONDS] "
        "[--max-output BYTES] [--max-bulk BYTES] [--backlog N] [--poller NAME]");
    const example::kv::Settings settings{
        .password = std::string(options.text("--requirepass", "")),
        .clients_max = options.count("--maxclients", 10'000),
        .output_max = options.count("--max-output", 256 << 20),
        .bulk_max = options.number("--max-bulk", 64 << 20, 1),
        .timeout = options.number("--timeout", 0),
        .backlog = static_cast<int>(options.number("--backlog", 511, 1, 65535))};
    const auto addresses = options.addresses(!settings.password.empty());
    return example::with_loop(options, [&](auto& loop) {
        example::warn_of_limits(settings.clients_max, settings.backlog);
        example::kv::Server server(loop, settings);
        return example::serve(loop, server, addresses);
    });
}
