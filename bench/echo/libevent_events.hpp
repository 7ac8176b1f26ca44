// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server on libevent's plain events, which leave reading and writing to the program: a
// persistent EV_READ event per client, and an EV_WRITE event instead while bytes wait. The events
// are members of the client (event_assign), which saves an allocation each. All share one buffer.

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>

#include <vector>

#include "bench/echo/server.hpp"

namespace bench {

class LibeventEventsEcho {
public:
    LibeventEventsEcho(int listener, size_t clients) : clients_(clients) {
        if (base_ == nullptr) fail("event_base_new");
        accepting_ = evconnlistener_new(base_, accept, this, LEV_OPT_CLOSE_ON_EXEC, 0, listener);
        if (accepting_ == nullptr) fail("evconnlistener_new");
        evconnlistener_set_error_cb(accepting_,
                                    [](evconnlistener*, void*) { bench::fail("accept"); });
    }
    LibeventEventsEcho(const LibeventEventsEcho&) = delete;
    LibeventEventsEcho& operator=(const LibeventEventsEcho&) = delete;
    ~LibeventEventsEcho() {
        evconnlistener_free(accepting_);
        event_base_free(base_);
    }

    void run() { must(event_base_dispatch(base_), "event_base_dispatch"); }

private:
    struct Client {
        LibeventEventsEcho* server;
        event readable{};
        event writable{};
        std::vector<char> unsent{};
    };

    static void accept(evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* context) {
        auto& self = *static_cast<LibeventEventsEcho*>(context);
        auto* const client = new Client{&self};
        must(event_assign(&client->readable, self.base_, fd, EV_READ | EV_PERSIST, echo, client),
             "event_assign");
        must(event_assign(&client->writable, self.base_, fd, EV_WRITE | EV_PERSIST, send_rest,
                          client),
             "event_assign");
        must(event_add(&client->readable, nullptr), "event_add");
    }

    static void echo(evutil_socket_t fd, short, void* context) {
        auto* const client = static_cast<Client*>(context);
        auto& self = *client->server;
        char* const bytes = self.buffer_.data();
        const ssize_t got = receive(fd, bytes, self.buffer_.size());
        if (got < 0) return;
        if (got == 0) return self.end(fd, client);
        const size_t sent = send_some(fd, bytes, static_cast<size_t>(got));
        if (sent == static_cast<size_t>(got)) return;
        client->unsent.assign(bytes + sent, bytes + got);
        must(event_del(&client->readable), "event_del");
        must(event_add(&client->writable, nullptr), "event_add");
    }

    static void send_rest(evutil_socket_t fd, short, void* context) {
        auto* const client = static_cast<Client*>(context);
        auto& rest = client->unsent;
        const size_t sent = send_some(fd, rest.data(), rest.size());
        rest.erase(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(sent));
        if (!rest.empty()) return;
        must(event_del(&client->writable), "event_del");
        must(event_add(&client->readable, nullptr), "event_add");
    }

    void end(evutil_socket_t fd, Client* client) {
        must(event_del(&client->readable), "event_del");
        must(::close(fd), "close");
        delete client;
        if (++gone_ == clients_) event_base_loopbreak(base_);
    }

    event_base* base_ = event_base_new();
    evconnlistener* accepting_ = nullptr;
    ReadBuffer buffer_;
    size_t clients_;
    size_t gone_ = 0;
};

inline void serve_libevent_events(int listener, size_t clients) {
    LibeventEventsEcho(listener, clients).run();
}

}  // namespace bench
