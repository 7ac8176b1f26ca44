// SPDX-License-Identifier: BSL-1.0
// Talks to a server. Try it: echo_server --port 7000, then: tcp_client --host localhost --port 7000
#include "examples/tcp_client.hpp"

#include <rondo/thread/worker_pool.hpp>

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "--port N [--host NAME] [--poller NAME]");
    const auto host = options.text("--host", "localhost");
    const auto port = static_cast<uint16_t>(options.number("--port", 0, 0, 65535));
    return example::with_loop(options, [&](auto& loop) {
        rondo::WorkerPool pool(loop, {.threads = 1});
        example::TcpClient client(loop, pool);
        client.connect(host, port);
        const int status = example::run_until_signal(loop, [&] { client.stop(); });
        return client.failed() ? 1 : status;
    });
}
