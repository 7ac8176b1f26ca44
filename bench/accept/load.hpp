// SPDX-License-Identifier: BSL-1.0
#pragma once
// The load of the accept benchmark: connections that come in batches, each to say one message, hear
// it back and go. Every message is another one. A connection ends with a reset (SO_LINGER of 0), so
// that its port is free again at once; ports that run out nevertheless end the benchmark.
//
// run() ends when every reply is whole, so its sum is the same for all who come that far. What
// proves that a server has echoed is that each reply is compared with what was sent.

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bench/echo/process.hpp"
#include "bench/system.hpp"

namespace bench {

class AcceptLoad {
public:
    AcceptLoad(uint16_t port, size_t at_once) : to_(loopback(port)), batch_(at_once) {}
    AcceptLoad(const AcceptLoad&) = delete;
    AcceptLoad& operator=(const AcceptLoad&) = delete;
    ~AcceptLoad() { ::close(poller_); }

    /// Makes so many connections; answers a sum of what came back.
    uint64_t run(uint64_t connections) {
        sum_ = 0;
        for (uint64_t made = 0; made < connections;) {
            const uint64_t size = std::min<uint64_t>(batch_.size(), connections - made);
            for (size_t i = 0; i < size; ++i) open(i, made + i);
            serve(size);
            made += size;
        }
        return sum_;
    }

private:
    struct Message {
        uint64_t number;
        std::array<char, 56> rest;
    };
    static_assert(sizeof(Message) == 64);

    struct One {
        int fd = -1;
        bool asked = false;
        size_t heard = 0;  // bytes
        Message message{};
        Message reply{};
    };

    // Registered once: an edge tells that it is connected, another one that the reply is there.
    void open(size_t index, uint64_t number) {
        One& one = batch_[index];
        one = {};
        one.message.number = number;
        one.message.rest.fill(static_cast<char>('a' + number % 26));
        const int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
        one.fd = must(::socket(AF_INET, kind, 0), "socket");
        const linger reset{1, 0};
        must(::setsockopt(one.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "setsockopt");
        const auto* const to = reinterpret_cast<const sockaddr*>(&to_);
        if (::connect(one.fd, to, sizeof to_) != 0 && errno != EINPROGRESS) fail("connect");
        control(poller_, EPOLL_CTL_ADD, one.fd, EPOLLIN | EPOLLOUT | EPOLLET, index);
    }

    void serve(uint64_t busy) {
        std::array<epoll_event, 256> room;
        while (busy != 0) {
            for (const epoll_event& event : wait_for_server(poller_, room)) {
                One& one = batch_[event.data.u64];
                if (!one.asked) ask(one);
                if ((event.events & EPOLLIN) != 0 && hear(one)) --busy;
            }
        }
    }

    // If the connection has failed, this tells why.
    static void ask(One& one) {
        const ssize_t sent = ::send(one.fd, &one.message, sizeof one.message, MSG_NOSIGNAL);
        if (sent != sizeof one.message) fail("connect or send to a server");
        one.asked = true;
    }

    // True when all is heard, and the connection closed.
    bool hear(One& one) {
        auto* const bytes = reinterpret_cast<char*>(&one.reply);
        while (one.heard < sizeof one.reply) {
            const ssize_t got = ::read(one.fd, bytes + one.heard, sizeof one.reply - one.heard);
            if (got < 0 && errno == EAGAIN) return false;
            if (got < 0) fail("read from a server");
            if (got == 0) give_up("accept: a server has closed a connection");
            one.heard += static_cast<size_t>(got);
        }
        if (std::memcmp(&one.reply, &one.message, sizeof one.reply) != 0) {
            give_up("accept: a reply differs from what was sent");
        }
        sum_ += one.reply.number + one.heard;
        must(::close(one.fd), "close");
        return true;
    }

    sockaddr_in to_;
    std::vector<One> batch_;
    uint64_t sum_ = 0;
    int poller_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

}  // namespace bench
