// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server that replies with what it was sent, in upper case, on a loop of any kind. A client that
// has finished sending still gets all of its replies; one that doesn't take them isn't read from.

#include <map>
#include <rondo/rondo.hpp>

#include "examples/unsent.hpp"

namespace example {

template <class Loop>
class UpperServer {
public:
    UpperServer(Loop& loop, bool edge, size_t buffer_size)
        : loop_(loop), edge_(edge), buffer_(buffer_size, '\0') {}
    ~UpperServer() { stop(); }

    auto listen(const rondo::Endpoint& at) { return listener_.listen(at); }
    auto local() { return listener_.local().value(); }
    void stop() {
        listener_.close();
        while (!clients_.empty()) close(clients_.begin()->first);
    }

private:
    using Interest = rondo::Interest;
    // [server]
    struct Client {
        Unsent replies;
        bool finished = false;  // nothing more will come from it
        bool wanted() const { return !finished && !replies.full(); }
    };

    void open(int fd) {
        clients_[fd];
        const auto how = edge_ ? Interest::read | Interest::write | Interest::edge : Interest::read;
        auto ok = loop_.sockets().set_no_delay(fd, true);
        if (ok) ok = loop_.add(fd, how, [this, fd] { serve(fd); });
        if (!ok) close(fd);
    }

    // A level is told again, so one read per turn is fair to the others. An edge is told once.
    void serve(int fd) {
        Client& client = clients_.at(fd);
        if (!client.replies.send(loop_.sockets(), fd)) return close(fd);
        while (client.wanted()) {
            const auto got = loop_.sockets().read(fd, std::as_writable_bytes(std::span(buffer_)));
            if (got.would_block()) break;
            if (!got) return close(fd);
            client.finished = got.bytes == 0;
            for (const char c : std::string_view(buffer_).substr(0, got.bytes)) {
                client.replies.add('a' <= c && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
            }
            if (!client.replies.send(loop_.sockets(), fd)) return close(fd);
            if (!edge_) break;
        }
        if (client.finished && client.replies.empty()) return close(fd);
        if (edge_) return;
        loop_.modify(fd, (client.wanted() ? Interest::read : Interest::none) |
                             (client.replies.empty() ? Interest::none : Interest::write));
    }

    void close(int fd) {
        loop_.close(fd);
        clients_.erase(fd);
    }
    // [/server]

    Loop& loop_;
    const bool edge_;
    std::string buffer_;
    std::map<int, Client> clients_;
    rondo::Listener<Loop> listener_{loop_, [this](int fd, const rondo::Endpoint&) { open(fd); }};
};

}  // namespace example
