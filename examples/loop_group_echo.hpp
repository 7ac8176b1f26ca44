// SPDX-License-Identifier: BSL-1.0
#pragma once
// An echo server on several threads, each with a loop and connections of its own. Either every
// thread listens on the port and the kernel spreads the clients, or the main loop accepts and hands
// each descriptor to the thread with the fewest.

#include <memory>
#include <span>

#include <rondo/rondo.hpp>
#include <rondo/thread/loop_group.hpp>

namespace example {

template <class Loop>
class LoopGroupEcho {
public:
    LoopGroupEcho(Loop& loop, size_t threads, bool handover)
        : threads_(threads),
          handover_(handover),
          stay_(loop.remote()),
          listener_(loop, [this](int fd, const rondo::Endpoint&) { hand_over(fd); }) {}

    // Port 0 is chosen once, by the socket of the main loop; the others share what it got. Without
    // handover that socket must not listen on, or the kernel would give it clients too.
    rondo::Result<void> listen(const rondo::Endpoint& at) {
        if (auto done = listener_.listen(at, {.reuse_port = !handover_}); !done) return done;
        at_ = listener_.local().value();
        const bool share = !handover_;
        auto started = group_.start(
            [this, share, here = at_](Loop& loop,
                                      size_t index) -> rondo::Result<std::unique_ptr<Server>> {
                auto server = std::make_unique<Server>(loop);
                server->on_data([](auto& connection, std::span<const std::byte> bytes) {
                    connection.send(bytes);
                });
                if (!share) {
                    server->on_close(
                        [this, index](auto&, const rondo::Error&) { group_.finished(index); });
                    return server;
                }
                if (auto done = server->listen(here, {.reuse_port = true}); !done) {
                    return done.error();
                }
                return server;
            },
            {.threads = threads_});
        if (share || !started) listener_.close();
        return started;
    }

    rondo::Endpoint local() const { return at_; }

    // Each thread ends when its last client has, or after a second.
    void stop() {
        listener_.close();
        for (size_t i = 0; i < group_.size(); ++i) {
            group_.post(i, [](Server& server) { server.drain(rondo::Duration::seconds(1)); });
        }
        group_.release();
        group_.join();
        stay_ = {};
    }

private:
    using Server = rondo::Server<Loop>;

    void hand_over(int fd) {
        const size_t index = group_.least_loaded();
        group_.give(index, fd, [this, index](Server& server, int given) {
            if (server.adopt(given)) return;
            server.loop().sockets().close(given);
            group_.finished(index);
        });
    }

    const size_t threads_;
    const bool handover_;
    typename Loop::Remote stay_;  // keeps the main loop running, which waits for signals
    rondo::Endpoint at_;
    rondo::LoopGroup<Loop, Server> group_;
    rondo::Listener<Loop> listener_;
};

}  // namespace example
