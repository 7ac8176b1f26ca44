// SPDX-License-Identifier: BSL-1.0
#pragma once
// A hand-written echo server that registers each client once, edge-triggered, for all that it will
// ever want to know. A read that leaves room in the buffer has emptied the socket, unless the end
// of the stream was reported with it (epoll(7)): then it reads on, for no other edge would come.

#include <array>
#include <vector>

#include "bench/echo/process.hpp"
#include "bench/echo/server.hpp"

namespace bench {

class RawEdgeEcho {
public:
    RawEdgeEcho(int listener, size_t clients) : listener_(listener), clients_(clients) {
        control(poller_, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLET, number(listener));
    }
    RawEdgeEcho(const RawEdgeEcho&) = delete;
    RawEdgeEcho& operator=(const RawEdgeEcho&) = delete;
    ~RawEdgeEcho() { ::close(poller_); }

    void run() {
        std::array<epoll_event, 1024> room;
        while (gone_ < clients_) {
            for (const epoll_event& event : wait_for(poller_, room)) {
                const int fd = static_cast<int>(event.data.u64);
                if (fd == listener_) {
                    accept();
                } else {
                    serve(fd, event.events);
                }
            }
        }
    }

private:
    struct Client {
        std::vector<char> unsent;
        bool readable = false;  // there may be more; kept while bytes wait to be sent
        bool ends = false;
    };

    static uint64_t number(int fd) { return static_cast<uint64_t>(fd); }

    void accept() {
        const uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        for (int fd = accept_client(listener_); fd >= 0; fd = accept_client(listener_)) {
            if (clients_by_fd_.size() <= number(fd)) clients_by_fd_.resize(2 * number(fd));
            control(poller_, EPOLL_CTL_ADD, fd, all, number(fd));
        }
    }

    void serve(int fd, uint32_t events) {
        Client& client = clients_by_fd_[number(fd)];
        if ((events & EPOLLIN) != 0) client.readable = true;
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
            client.readable = client.ends = true;
        }
        if (!client.unsent.empty() && !send_rest(fd, client)) return;
        while (client.readable && client.unsent.empty()) echo(fd, client);
    }

    void echo(int fd, Client& client) {
        const ssize_t got = receive(fd, buffer_.data(), buffer_.size());
        if (got == 0) {
            must(::close(fd), "close");
            client = {};
            ++gone_;
            return;
        }
        if (got < 0) {
            client.readable = false;
            return;
        }
        const size_t size = static_cast<size_t>(got);
        const size_t sent = send_some(fd, buffer_.data(), size);
        client.unsent.assign(buffer_.data() + sent, buffer_.data() + size);
        client.readable = size == buffer_.size() || client.ends;
    }

    static bool send_rest(int fd, Client& client) {
        auto& rest = client.unsent;
        const size_t sent = send_some(fd, rest.data(), rest.size());
        rest.erase(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(sent));
        return rest.empty();
    }

    int listener_;
    size_t clients_;
    size_t gone_ = 0;
    ReadBuffer buffer_;
    std::vector<Client> clients_by_fd_;
    int poller_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

inline void serve_raw_edge(int listener, size_t clients) { RawEdgeEcho(listener, clients).run(); }

}  // namespace bench
