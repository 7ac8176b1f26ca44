// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server that one would write by hand: a level-triggered epoll loop, one read and one
// write per event. What the kernel doesn't take waits for EPOLLOUT, and nothing is read meanwhile.
// Closing a descriptor takes it out of the set, so that no call is spent on that.
//
// - raw: reads up to 256 KiB, as all where that can be chosen.
// - raw-16k: 16 KiB, as many programs do.

#include <array>
#include <vector>

#include "bench/echo/process.hpp"
#include "bench/echo/server.hpp"

namespace bench {

class RawEcho {
public:
    RawEcho(int listener, size_t clients, size_t buffer)
        : listener_(listener), clients_(clients), buffer_(buffer) {
        control(poller_, EPOLL_CTL_ADD, listener, EPOLLIN, number(listener));
    }
    RawEcho(const RawEcho&) = delete;
    RawEcho& operator=(const RawEcho&) = delete;
    ~RawEcho() { ::close(poller_); }

    void run() {
        std::array<epoll_event, 1024> room;
        while (gone_ < clients_) {
            for (const epoll_event& event : wait_for(poller_, room)) {
                const int fd = static_cast<int>(event.data.u64);
                if (fd == listener_) {
                    accept();
                } else if ((event.events & EPOLLOUT) != 0) {
                    send_rest(fd);
                } else {
                    echo(fd);
                }
            }
        }
    }

private:
    static uint64_t number(int fd) { return static_cast<uint64_t>(fd); }

    void accept() {
        for (int fd = accept_client(listener_); fd >= 0; fd = accept_client(listener_)) {
            if (unsent_.size() <= number(fd)) unsent_.resize(2 * number(fd));
            control(poller_, EPOLL_CTL_ADD, fd, EPOLLIN, number(fd));
        }
    }

    void echo(int fd) {
        const ssize_t got = receive(fd, buffer_.data(), buffer_.size());
        if (got < 0) return;
        if (got == 0) {
            must(::close(fd), "close");
            unsent_[number(fd)] = {};
            ++gone_;
            return;
        }
        const size_t sent = send_some(fd, buffer_.data(), static_cast<size_t>(got));
        if (sent == static_cast<size_t>(got)) return;
        unsent_[number(fd)].assign(buffer_.data() + sent, buffer_.data() + got);
        control(poller_, EPOLL_CTL_MOD, fd, EPOLLOUT, number(fd));
    }

    void send_rest(int fd) {
        auto& rest = unsent_[number(fd)];
        const size_t sent = send_some(fd, rest.data(), rest.size());
        rest.erase(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(sent));
        if (rest.empty()) control(poller_, EPOLL_CTL_MOD, fd, EPOLLIN, number(fd));
    }

    int listener_;
    size_t clients_;
    size_t gone_ = 0;
    ReadBuffer buffer_;
    std::vector<std::vector<char>> unsent_;  // by descriptor
    int poller_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

inline void serve_raw(int listener, size_t clients) { RawEcho(listener, clients, read_size).run(); }

inline void serve_raw_16k(int listener, size_t clients) {
    RawEcho(listener, clients, size_t{16} * 1024).run();
}

}  // namespace bench
