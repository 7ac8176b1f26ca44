// SPDX-License-Identifier: BSL-1.0
#pragma once
// The load of the echo benchmark, the same for all servers: so many connections, each with
// `pipeline` messages on the way. What is sent is a stream of bytes that repeats itself only after
// a prime number of them and begins elsewhere on each connection; every byte that comes back is
// compared with it, so that none can be lost, sent twice, or sent to another.
//
// That comparison is the check. The number of bytes that run() answers, the checksum, is none: the
// loop ends when all of them have come.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bench/echo/process.hpp"
#include "bench/system.hpp"

namespace bench {

/// How an echo is asked for.
struct EchoPlan {
    size_t connections = 1;
    size_t size = 64;
    size_t pipeline = 1;
};

/// Connected to a server on loopback for as long as it lives; run() may be called again and again.
class EchoLoad {
public:
    EchoLoad(uint16_t port, const EchoPlan& plan)
        : plan_(plan), buffer_(plan.size * plan.pipeline) {
        uint32_t random = 1;
        for (size_t i = 0; i < period + buffer_.size(); ++i) {
            random = random * 1664525 + 1013904223;
            stream_.push_back(i < period ? static_cast<char>(random >> 24) : stream_[i - period]);
        }
        for (size_t i = 0; i < plan.connections; ++i) connect(port);
    }
    EchoLoad(const EchoLoad&) = delete;
    EchoLoad& operator=(const EchoLoad&) = delete;
    ~EchoLoad() {
        for (const One& one : all_) ::close(one.fd);
        ::close(poller_);
    }

    /// Exchanges `messages`, in equal parts; answers how many bytes came back.
    uint64_t run(uint64_t messages) {
        const uint64_t each = messages / plan_.connections;
        if (each == 0) give_up("echo: there must be a message for each connection");
        uint64_t busy = all_.size();
        heard_ = 0;
        for (One& one : all_) {
            one.to_ask = each;
            one.to_hear = each * plan_.size;
            ask(one, plan_.pipeline);
        }
        std::array<epoll_event, 256> room;
        while (busy != 0) {
            for (const epoll_event& event : wait_for_server(poller_, room)) {
                if (hear(all_[event.data.u64])) --busy;
            }
        }
        return heard_;
    }

    /// How many messages a run() of so many exchanges.
    uint64_t rounded(uint64_t messages) const { return messages - messages % plan_.connections; }

private:
    static constexpr size_t period = 8191;

    struct One {
        int fd;
        size_t ask_at;         // in the stream
        size_t hear_at;        // in the stream
        size_t part = 0;       // bytes of the message that is coming in
        uint64_t to_ask = 0;   // messages
        uint64_t to_hear = 0;  // bytes
    };

    void connect(uint16_t port) {
        const int fd = must(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        const sockaddr_in to = loopback(port);
        must(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), "connect");
        const int on = 1;
        must(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
        control(poller_, EPOLL_CTL_ADD, fd, EPOLLIN, all_.size());
        const size_t begin = all_.size() * 97 % period;
        all_.push_back({.fd = fd, .ask_at = begin, .hear_at = begin});
    }

    // Blocks if the server's side is full, which takes more than is ever on the way here.
    void ask(One& one, size_t count) {
        if (count > one.to_ask) count = static_cast<size_t>(one.to_ask);
        one.to_ask -= count;
        const size_t size = count * plan_.size;
        for (size_t sent = 0; sent < size;) {
            const char* const from = stream_.data() + one.ask_at;
            const ssize_t part = ::send(one.fd, from + sent, size - sent, MSG_NOSIGNAL);
            if (part < 0) fail("send to a server");
            sent += static_cast<size_t>(part);
        }
        one.ask_at = (one.ask_at + size) % period;
    }

    // True with the last reply.
    bool hear(One& one) {
        const ssize_t got = ::read(one.fd, buffer_.data(), buffer_.size());
        if (got < 0) fail("read from a server");
        if (got == 0) give_up("echo: a server has closed a connection");
        const size_t size = static_cast<size_t>(got);
        if (size > one.to_hear ||
            std::memcmp(buffer_.data(), stream_.data() + one.hear_at, size) != 0) {
            give_up("echo: a reply differs from what was sent");
        }
        one.hear_at = (one.hear_at + size) % period;
        one.to_hear -= size;
        heard_ += size;
        const size_t whole = (one.part + size) / plan_.size;
        one.part = (one.part + size) % plan_.size;
        ask(one, whole);
        return one.to_hear == 0;
    }

    EchoPlan plan_;
    std::vector<char> buffer_;
    std::vector<char> stream_;  // and its beginning once more
    std::vector<One> all_;
    uint64_t heard_ = 0;
    int poller_ = must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

}  // namespace bench
