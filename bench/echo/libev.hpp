// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server on libev, which has watchers and nothing above them: one ev_io per client for
// reading, and one for writing that is started while bytes wait, instead of the other. All share
// one buffer. The loop is a new one, not the default loop, which would also watch for signals.

#include <vector>

#include "bench/echo/server.hpp"
#include "bench/libev.hpp"

namespace bench {

class LibevEcho {
public:
    LibevEcho(int listener, size_t clients) : clients_(clients) {
        if (loop_ == nullptr) fail("ev_loop_new");
        ev_set_userdata(loop_, this);
        ev_io_init(&accepting_, accept, listener, libev_read);
        ev_io_start(loop_, &accepting_);
    }
    LibevEcho(const LibevEcho&) = delete;
    LibevEcho& operator=(const LibevEcho&) = delete;
    ~LibevEcho() { ev_loop_destroy(loop_); }

    void run() { ev_run(loop_, 0); }

private:
    struct Client {
        ev_io readable{};
        ev_io writable{};
        std::vector<char> unsent;
    };

    static void accept(struct ev_loop* loop, ev_io* watcher, int) {
        for (int fd = accept_client(watcher->fd); fd >= 0; fd = accept_client(watcher->fd)) {
            auto* const client = new Client;
            ev_io_init(&client->readable, echo, fd, libev_read);
            ev_io_init(&client->writable, send_rest, fd, libev_write);
            client->readable.data = client->writable.data = client;
            ev_io_start(loop, &client->readable);
        }
    }

    static void echo(struct ev_loop* loop, ev_io* watcher, int) {
        auto& self = *static_cast<LibevEcho*>(ev_userdata(loop));
        auto* const client = static_cast<Client*>(watcher->data);
        char* const bytes = self.buffer_.data();
        const ssize_t got = receive(watcher->fd, bytes, self.buffer_.size());
        if (got < 0) return;
        if (got == 0) return self.end(client);
        const size_t sent = send_some(watcher->fd, bytes, static_cast<size_t>(got));
        if (sent == static_cast<size_t>(got)) return;
        client->unsent.assign(bytes + sent, bytes + got);
        ev_io_stop(loop, &client->readable);
        ev_io_start(loop, &client->writable);
    }

    static void send_rest(struct ev_loop* loop, ev_io* watcher, int) {
        auto* const client = static_cast<Client*>(watcher->data);
        auto& rest = client->unsent;
        const size_t sent = send_some(watcher->fd, rest.data(), rest.size());
        rest.erase(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(sent));
        if (!rest.empty()) return;
        ev_io_stop(loop, &client->writable);
        ev_io_start(loop, &client->readable);
    }

    void end(Client* client) {
        ev_io_stop(loop_, &client->readable);
        must(::close(client->readable.fd), "close");
        delete client;
        if (++gone_ == clients_) ev_break(loop_, EVBREAK_ALL);
    }

    struct ev_loop* loop_ = ev_loop_new(EVBACKEND_EPOLL);
    ev_io accepting_{};
    ReadBuffer buffer_;
    size_t clients_;
    size_t gone_ = 0;
};

inline void serve_libev(int listener, size_t clients) { LibevEcho(listener, clients).run(); }

}  // namespace bench
