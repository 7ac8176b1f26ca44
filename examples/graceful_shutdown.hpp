// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server whose replies take a while, and that ends well: it stops listening, closes connections
// that have nothing under way, lets the others have their reply, and closes what is left at a
// deadline.

#include <map>
#include <rondo/rondo.hpp>
#include "examples/options.hpp"
#include "examples/unsent.hpp"

namespace example {

template <class Loop>
class SlowServer {
public:
    SlowServer(Loop& loop, rondo::Duration work, rondo::Duration grace)
        : loop_(loop), work_(work), grace_(grace) {}
    ~SlowServer() { close_all(); }

    auto listen(const rondo::Endpoint& at) { return listener_.listen(at); }
    auto local() { return listener_.local().value(); }

    /// Begins to drain. Called again, it closes everything at once.
    void stop() {
        if (std::exchange(draining_, true)) return close_all();
        listener_.close();
        for (auto at = clients_.begin(); at != clients_.end();) {
            const auto& [fd, client] = *at++;
            if (client.reply.empty()) close(fd);
        }
        deadline_.after(grace_, [this] { close_all(); });
        loop_.background(deadline_.id(), true);  // without connections run() doesn't wait for it
    }

private:
    struct Client {
        Unsent reply;
        typename Loop::Timer work;
    };

    void open(int fd) {
        clients_[fd].work = loop_.timer();
        const auto ok = loop_.add(
            fd, rondo::Interest::read, [this, fd] { read(fd); }, [this, fd] { write(fd); });
        if (!ok) close(fd);
    }

    void read(int fd) {
        Client& client = clients_[fd];
        char request[4096];
        const auto got = loop_.sockets().read(fd, std::as_writable_bytes(std::span(request)));
        if (got.would_block()) return;
        if (!got || got.bytes == 0) return close(fd);
        client.reply.add("done: " + std::string(request, got.bytes));
        loop_.modify(fd, rondo::Interest::none);
        say("at work for connection %d\n", fd);
        const auto reply = [this, fd] { loop_.modify(fd, rondo::Interest::write); };
        if (!client.work.after(work_, reply)) close(fd);
    }

    void write(int fd) {
        Client& client = clients_[fd];
        if (!client.reply.send(loop_.sockets(), fd)) return close(fd);
        if (!client.reply.empty()) return;
        if (draining_) return close(fd);
        loop_.modify(fd, rondo::Interest::read);
    }
    void close(int fd) {
        loop_.close(fd);
        clients_.erase(fd);
    }
    void close_all() {
        while (!clients_.empty()) close(clients_.begin()->first);
    }
    Loop& loop_;
    const rondo::Duration work_, grace_;
    bool draining_ = false;
    typename Loop::Timer deadline_{loop_};
    std::map<int, Client> clients_;
    rondo::Listener<Loop> listener_{loop_, [this](int fd, const rondo::Endpoint&) { open(fd); }};
};

}  // namespace example
