// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server as rondo's documentation gives it: a Server whose on_data sends what it is shown.
// All options are the defaults: the listener accepts at most 16 clients per turn.

#include <cstdio>
#include <cstdlib>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/backend/poll_poller.hpp>
#include <rondo/net/server.hpp>

#include "bench/echo/server.hpp"

namespace bench {

[[noreturn]] inline void fail(const rondo::Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
    std::exit(1);
}

template <class Poller>
void serve_rondo(int listener, size_t clients) {
    using Loop = rondo::EventLoop<Poller>;
    Loop loop;
    rondo::Server<Loop> server(loop);
    size_t gone = 0;
    server.on_data([](auto& connection, auto bytes) { connection.send(bytes); });
    server.on_close([&](auto&, const rondo::Error& reason) {
        if (!is_end(reason.code())) fail(reason);
        if (++gone == clients) loop.stop();
    });
    server.on_accept_error([](const rondo::Error& error) { fail(error); });
    const auto adopted = server.adopt_listening(listener);
    if (!adopted) fail(adopted.error());
    loop.run();
}

}  // namespace bench
