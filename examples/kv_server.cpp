// SPDX-License-Identifier: BSL-1.0
// A small Redis. Try it: kv_server --port 7000, then: redis-cli -p 7000 set greeting hello
#include "examples/kv/server.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(
        argc, argv,
        "[--port N] [--bind ADDRESS,...] [--requirepass WORD] [--maxclients N] "
        "[--timeout SECONDS] [--max-output BYTES] [--max-bulk BYTES] "
        "[--backlog N] [--poller NAME]");
    example::kv::Settings settings;
    settings.password = options.text("--requirepass", "");
    settings.clients_max = options.count("--maxclients", 10'000);
    settings.timeout = options.number("--timeout", 0);
    settings.output_max = options.count("--max-output", 256 << 20);
    settings.bulk_max = options.count("--max-bulk", 64 << 20);
    settings.backlog = static_cast<int>(options.number("--backlog", 511, 1, 65535));
    const auto bound = options.addresses(!settings.password.empty());
    return example::with_loop(options, [&](auto& loop) {
        example::warn_of_limits(settings.clients_max, settings.backlog);
        example::kv::KvServer server(loop, settings);
        for (size_t i = 1; i < bound.size(); ++i) {
            if (const auto more = server.listen(bound[i]); !more) {
                return example::report(more.error());
            }
        }
        return example::serve(loop, server, bound[0]);
    });
}
