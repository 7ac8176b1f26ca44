// SPDX-License-Identifier: BSL-1.0
// rondo inside somebody else's loop, here poll(2) on standard input. Try it: embed, and type lines
#include <poll.h>

#include <thread>

#include "examples/options.hpp"

namespace {

template <class Loop>
int run_foreign_loop(Loop& loop) {
    for (;;) {
        // [embed]
        const rondo::Instant deadline = loop.prepare();
        pollfd fds[] = {{loop.native_handle(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        const int ready = poll(fds, 2, example::poll_timeout(loop.poller().now(), deadline));
        if (ready < 0 && errno != EINTR) return example::report({errno, "poll"});
        loop.poll();  // also after an interruption: each prepare() is followed by a poll()
        // [/embed]
        if (ready <= 0 || fds[1].revents == 0) continue;
        char text[4096];
        const auto got = loop.sockets().read(STDIN_FILENO, std::as_writable_bytes(std::span(text)));
        if (!got) return example::report(got.error("read", STDIN_FILENO));
        if (got.bytes == 0) return 0;
        example::say("the foreign loop read: %.*s", static_cast<int>(got.bytes), &text[0]);
    }
}

template <class Loop>
int embed(Loop& loop) {
    if constexpr (rondo::HasNativeHandle<typename Loop::Poller>) {
        int ticks = 0;
        loop.every(rondo::Duration::milliseconds(100),
                   [&] { example::say("rondo: tick %d\n", ++ticks); });
        std::jthread other([remote = loop.remote()]() mutable {
            remote.post([] { example::say("rondo: %s\n", "a task from another thread"); });
        });
        return run_foreign_loop(loop);
    } else {
        return example::report({ENOTSUP, "embedding", Loop::Poller::name()});
    }
}

}  // namespace

int main(int argc, char** argv) {
    example::Options options(argc, argv, "[--poller NAME]");
    return example::with_loop(options, [](auto& loop) { return embed(loop); });
}
