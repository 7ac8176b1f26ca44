// SPDX-License-Identifier: BSL-1.0
// Hashes files for its clients. Try it: hash_files --port 7000, then: nc 127.0.0.1 7000, and say
// hash README.md
#include "examples/hash_files.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv,
                             "[--port N] [--poller NAME] [--root DIR] [--threads N] [--jobs N] "
                             "[--grace-ms N]");
    const auto at = options.port();
    const auto root = options.text("--root", ".");
    const auto threads = options.count("--threads", 4);
    const auto jobs = options.count("--jobs", 1024);
    const auto grace = rondo::Duration::milliseconds(options.number("--grace-ms", 1000));
    std::error_code failed;
    if (!std::filesystem::is_directory(root, failed))
        return example::report({ENOTDIR, "hash_files", root});
    return example::with_loop(options, [&](auto& loop) {
        example::HashServer server(loop, root, {threads, jobs, grace});
        return example::serve(loop, server, {at});
    });
}
