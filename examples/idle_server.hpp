// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server in the classic style of reactors: each connection is either reading a request or writing
// the reply, and is watched for that alone. Switching is free: the loop merges it into the next
// wait, and two switches in one turn cost no system call. One timer for each connection closes it
// when it was quiet.

#include <map>

#include <rondo/rondo.hpp>

#include "examples/unsent.hpp"

namespace example {

template <class Loop>
class IdleServer {
public:
    IdleServer(Loop& loop, rondo::Duration idle) : loop_(loop), idle_(idle) {}
    ~IdleServer() { stop(); }

    auto listen(const rondo::Endpoint& at) { return listener_.listen(at); }
    auto local() { return listener_.local().value(); }
    void stop() {
        listener_.close();
        while (!clients_.empty()) close(clients_.begin()->first);
    }

private:
    struct Client {
        Unsent reply;
        rondo::TimerId quiet;
    };

    void open(int fd) {
        Client& client = clients_[fd];
        client.quiet = loop_.after(idle_, [this, fd] { close(fd); });
        const auto ok = loop_.add(
            fd, rondo::Interest::read, [this, fd] { read(fd); }, [this, fd] { write(fd); });
        if (!ok || !client.quiet) close(fd);
    }

    void read(int fd) {
        char request[4096];
        const auto got = loop_.sockets().read(fd, std::as_writable_bytes(std::span(request)));
        if (got.would_block()) return;
        if (!got || got.bytes == 0) return close(fd);
        clients_[fd].reply.add(std::string_view(request, got.bytes));
        heard(fd);
        loop_.modify(fd, rondo::Interest::write);
    }

    void write(int fd) {
        Unsent& reply = clients_[fd].reply;
        if (!reply.send(loop_.sockets(), fd)) return close(fd);
        heard(fd);
        if (reply.empty()) loop_.modify(fd, rondo::Interest::read);
    }

    // An Instant instead of a Duration: no clock is read, and a later deadline is one store.
    void heard(int fd) { loop_.rearm(clients_[fd].quiet, loop_.now() + idle_); }

    void close(int fd) {
        loop_.cancel(clients_[fd].quiet);
        loop_.close(fd);
        clients_.erase(fd);
    }

    Loop& loop_;
    const rondo::Duration idle_;
    std::map<int, Client> clients_;
    rondo::Listener<Loop> listener_{loop_, [this](int fd, const rondo::Endpoint&) { open(fd); }};
};

}  // namespace example
