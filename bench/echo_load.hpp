// SPDX-License-Identifier: BSL-1.0
#pragma once
// The load of the echo benchmark, the same for all servers: so many connections, each with
// `pipeline` messages on the way. Every byte that comes back is compared with what was sent.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

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
        : plan_(plan), poller_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(plan.size * plan.pipeline) {
        for (size_t i = 0; i < 2 * buffer_.size(); ++i) {
            pattern_.push_back(static_cast<char>('a' + i % plan.size % 26));
        }
        for (size_t i = 0; i < plan.connections; ++i) connect(port);
    }
    EchoLoad(const EchoLoad&) = delete;
    EchoLoad& operator=(const EchoLoad&) = delete;
    ~EchoLoad() {
        for (const One& one : all_) ::close(one.fd);
        ::close(poller_);
    }

    /// Exchanges `messages`, in equal parts; answers how many there were.
    uint64_t run(uint64_t messages) {
        const uint64_t each = messages / plan_.connections;
        if (each == 0) {
            std::fprintf(stderr, "echo: there must be a message for each connection\n");
            std::exit(1);
        }
        uint64_t busy = all_.size();
        for (One& one : all_) {
            one = {one.fd, each, each, 0};
            ask(one, plan_.pipeline);
        }
        std::array<epoll_event, 256> events;
        while (busy != 0) {
            const int count = ::epoll_wait(poller_, events.data(), events.size(), -1);
            for (int i = 0; i < count; ++i) {
                One& one = all_[events[static_cast<size_t>(i)].data.u32];
                if (hear(one)) --busy;
            }
        }
        return each * plan_.connections;
    }

private:
    struct One {
        int fd;
        uint64_t to_ask;
        uint64_t to_hear;
        size_t part;  // bytes of the message that is coming in
    };

    [[noreturn]] static void fail(const char* what) {
        std::perror(what);
        std::exit(1);
    }

    void connect(uint16_t port) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(port);
        if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u32 = static_cast<uint32_t>(all_.size());
        ::epoll_ctl(poller_, EPOLL_CTL_ADD, fd, &event);
        all_.push_back({fd, 0, 0, 0});
    }

    // Blocks if the server's side is full, which takes more than is ever on the way here.
    void ask(One& one, size_t count) {
        if (count > one.to_ask) count = static_cast<size_t>(one.to_ask);
        one.to_ask -= count;
        const size_t size = count * plan_.size;
        for (size_t sent = 0; sent < size;) {
            const ssize_t part = ::write(one.fd, pattern_.data() + sent, size - sent);
            if (part < 0) fail("write");
            sent += static_cast<size_t>(part);
        }
    }

    // True with the last reply.
    bool hear(One& one) {
        const ssize_t got = ::read(one.fd, buffer_.data(), buffer_.size());
        if (got <= 0) fail("read");
        const size_t size = static_cast<size_t>(got);
        if (std::memcmp(buffer_.data(), pattern_.data() + one.part, size) != 0) {
            std::fprintf(stderr, "echo: a reply differs from what was sent\n");
            std::exit(1);
        }
        const size_t whole = (one.part + size) / plan_.size;
        one.part = (one.part + size) % plan_.size;
        one.to_hear -= whole;
        ask(one, whole);
        return whole != 0 && one.to_hear == 0;
    }

    EchoPlan plan_;
    int poller_;
    std::vector<char> buffer_;
    std::vector<char> pattern_;
    std::vector<One> all_;
};

}  // namespace bench
