// SPDX-License-Identifier: BSL-1.0
#pragma once
// The server of the soak test, on a thread of its own: it sends back what comes, resets whoever
// asks for that, and counts what other threads post.

#include <cstddef>
#include <cstdint>
#include <future>
#include <span>
#include <thread>
#include <utility>

#include <rondo/rondo.hpp>

namespace soak {

using Loop = rondo::EventLoop<rondo::DefaultPoller>;
constexpr std::byte reset_me{'!'};

/// What the server has seen so far.
struct Seen {
    uint64_t opened = 0, closed = 0, bytes = 0, posted = 0;
    size_t there = 0;  // connections
};

class EchoServer {
public:
    EchoServer() {
        server_.on_open([this](auto&) { ++seen_.opened; });
        server_.on_data([this](auto& connection, std::span<const std::byte> bytes) {
            seen_.bytes += bytes.size();
            const bool first = !std::exchange(connection.state().begun, true);
            if (first && bytes[0] == reset_me) return connection.abort();
            connection.send(bytes);
        });
        server_.on_close([this](auto&, const rondo::Error&) { ++seen_.closed; });
        server_.listen(rondo::Endpoint::ipv4_loopback(0)).value();
        address_ = server_.local().value();
        thread_ = std::jthread([this] { loop_.run(); });
    }
    EchoServer(const EchoServer&) = delete;
    EchoServer& operator=(const EchoServer&) = delete;
    ~EchoServer() {
        door_.post([this] { server_.drain(rondo::Duration::seconds(1)); });
        door_ = {};
    }

    const rondo::Endpoint& address() const { return address_; }
    /// A door for another thread.
    rondo::Remote door() const { return door_; }
    /// To be posted: counted in Seen::posted.
    void count() { ++seen_.posted; }

    /// What it has seen, after everything that was posted before. Waits for the answer.
    Seen seen() {
        std::promise<Seen> answer;
        // A turn later, when it has heard what its clients did last.
        door_.post([this, &answer] {
            loop_.post([this, &answer] {
                seen_.there = server_.size();
                answer.set_value(seen_);
            });
        });
        return answer.get_future().get();
    }

private:
    struct Client {
        bool begun = false;
    };

    Loop loop_;
    rondo::Server<Loop, Client> server_{loop_, {.high_water = 64 * 1024}};
    Seen seen_;
    rondo::Endpoint address_;
    rondo::Remote door_ = loop_.remote();
    std::jthread thread_;
};

}  // namespace soak
