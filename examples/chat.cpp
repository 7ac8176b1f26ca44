// SPDX-License-Identifier: BSL-1.0
// A room to talk in. Try it: chat --port 7000, then, twice: nc 127.0.0.1 7000
#include "examples/chat.hpp"

#include "examples/options.hpp"

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--port N] [--poller NAME]");
    const auto at = options.port();
    return example::with_loop(options, [&](auto& loop) {
        example::Chat chat(loop);
        return example::serve(loop, chat, {at});
    });
}
