// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server on libevent's bufferevents, as its book gives it: an evconnlistener accepts, and
// what has come in is moved to the output without a copy. A bufferevent reads 4 KiB at a time
// whatever its limits are (evbuffer_read), and sends from the loop, not from the callback.

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "bench/echo/server.hpp"

namespace bench {

class LibeventEcho {
public:
    LibeventEcho(int listener, size_t clients) : clients_(clients) {
        if (base_ == nullptr) fail("event_base_new");
        // The socket listens already: no backlog is set.
        accepting_ = evconnlistener_new(base_, accept, this, LEV_OPT_CLOSE_ON_EXEC, 0, listener);
        if (accepting_ == nullptr) fail("evconnlistener_new");
        evconnlistener_set_error_cb(accepting_,
                                    [](evconnlistener*, void*) { bench::fail("accept"); });
    }
    LibeventEcho(const LibeventEcho&) = delete;
    LibeventEcho& operator=(const LibeventEcho&) = delete;
    ~LibeventEcho() {
        evconnlistener_free(accepting_);
        event_base_free(base_);
    }

    void run() { must(event_base_dispatch(base_), "event_base_dispatch"); }

private:
    static void accept(evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* context) {
        auto& self = *static_cast<LibeventEcho*>(context);
        bufferevent* const stream = bufferevent_socket_new(self.base_, fd, BEV_OPT_CLOSE_ON_FREE);
        if (stream == nullptr) fail("bufferevent_socket_new");
        must(bufferevent_set_max_single_read(stream, read_size), "max_single_read");
        must(bufferevent_set_max_single_write(stream, read_size), "max_single_write");
        bufferevent_setcb(stream, echo, nullptr, end, context);
        must(bufferevent_enable(stream, EV_READ | EV_WRITE), "bufferevent_enable");
    }

    static void echo(bufferevent* stream, void*) {
        must(evbuffer_add_buffer(bufferevent_get_output(stream), bufferevent_get_input(stream)),
             "evbuffer_add_buffer");
    }

    static void end(bufferevent* stream, short events, void* context) {
        auto& self = *static_cast<LibeventEcho*>(context);
        if ((events & BEV_EVENT_EOF) == 0 && !is_end(errno)) fail("bufferevent");
        bufferevent_free(stream);
        if (++self.gone_ == self.clients_) event_base_loopbreak(self.base_);
    }

    event_base* base_ = event_base_new();
    evconnlistener* accepting_ = nullptr;
    size_t clients_;
    size_t gone_ = 0;
};

inline void serve_libevent(int listener, size_t clients) { LibeventEcho(listener, clients).run(); }

}  // namespace bench
