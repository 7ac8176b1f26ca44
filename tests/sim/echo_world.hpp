// SPDX-License-Identifier: BSL-1.0
#pragma once
// A server that echoes, and clients on other hosts that compare what comes back byte by byte. Each
// client sends a pattern of its own, in messages of many sizes and no further ahead than its
// window, and ends the stream when all has come back.

#include <memory>
#include <string>
#include <vector>

#include <rondo/net/connector.hpp>
#include <rondo/net/server.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

namespace rondo::test {

struct EchoPlan {
    size_t hosts = 2;
    size_t clients = 20;
    size_t bytes = 10'000;  // from each client
    ConnectionOptions options = {};
};

class EchoWorld {
public:
    using Loop = EventLoop<SimPoller>;

    EchoWorld(const sim::WorldOptions& options, const EchoPlan& what)
        : world(options),
          plan(what),
          server_loop(SimPoller(world, world.host("server"))),
          server(server_loop, plan.options) {
        server.on_data([](auto& connection, auto data) { connection.send(data); });
        server.on_open([this](auto&) { ++accepted; });
        server.on_close([this](auto&, const Error&) { ++server_closed; });
        server.listen(Endpoint::ipv4_any(7000)).value();
        world.drive(server_loop);
        for (size_t i = 0; i < plan.hosts; ++i) {
            sites_.push_back(std::make_unique<Site>(*this, "client" + std::to_string(i)));
        }
        for (size_t i = 0; i < plan.clients; ++i) sites_[i % plan.hosts]->begin(i);
    }

    /// What holds whatever went wrong on the way, once nothing happens any more.
    void check() const {
        CHECK(opened + failed == plan.clients);
        CHECK(closed == opened);
        CHECK(wrong_bytes == 0);
        CHECK(wrong_calls == 0);
        CHECK(server_closed == accepted);
    }

    sim::World world;
    const EchoPlan plan;
    Loop server_loop;
    Server<Loop> server;
    size_t opened = 0, failed = 0, closed = 0, finished = 0;
    size_t wrong_bytes = 0, wrong_calls = 0;
    size_t accepted = 0, server_closed = 0;
    Instant ended;  // when the last client's stream did

private:
    struct Client {
        size_t number = 0, sent = 0, heard = 0;
        bool open = false;
    };

    class Site {
    public:
        Site(EchoWorld& of, const std::string& name)
            : of_(of),
              loop_(SimPoller(of.world, of.world.host(name))),
              streams_(loop_, of.plan.options) {
            streams_.on_open([this](auto& stream) {
                ++of_.opened;
                stream.state().open = true;
            });
            streams_.on_data([this](auto& stream, auto data) { heard(stream, data); });
            streams_.on_close([this](auto& stream, const Error&) {
                ++of_.closed;
                of_.ended = of_.world.now();
                if (!stream.state().open) ++of_.wrong_calls;
                if (stream.state().heard == of_.plan.bytes) ++of_.finished;
                stream.state().open = false;
            });
            of.world.drive(loop_);
        }
        void begin(size_t number) {
            connectors_.push_back(std::make_unique<Connector<Loop>>(loop_));
            connectors_.back()
                ->connect(of_.world.host("server").address(7000),
                          [this, number](Result<int> fd) { connected(number, fd); })
                .value();
        }

    private:
        using Streams = Connections<Loop, Client>;
        using Stream = typename Streams::Connection;
        static constexpr size_t window = 3000;

        void connected(size_t number, const Result<int>& fd) {
            if (!fd) {
                ++of_.failed;
                return;
            }
            const auto handle = streams_.adopt(*fd).value();
            if (Stream* const stream = streams_.find(handle)) {
                stream->state().number = number;
                send(*stream);
            }
        }
        static char expected(size_t client, size_t at) {
            return static_cast<char>('a' + (at * 7 + at / 251 + client * 3) % 26);
        }
        void send(Stream& stream) {
            Client& client = stream.state();
            while (client.sent < of_.plan.bytes && client.sent < client.heard + window) {
                std::string message;
                const size_t size = 1 + (client.sent * 13 + client.number) % 900;
                while (message.size() < size && client.sent < of_.plan.bytes) {
                    message += expected(client.number, client.sent++);
                }
                stream.send(std::move(message));
            }
        }
        void heard(Stream& stream, std::span<const std::byte> data) {
            Client& client = stream.state();
            if (!client.open) ++of_.wrong_calls;
            for (const std::byte byte : data) {
                if (static_cast<char>(byte) != expected(client.number, client.heard++)) {
                    ++of_.wrong_bytes;
                }
            }
            send(stream);
            if (client.heard >= of_.plan.bytes) stream.close();
        }

        EchoWorld& of_;
        Loop loop_;
        Streams streams_;
        std::vector<std::unique_ptr<Connector<Loop>>> connectors_;
    };

    std::vector<std::unique_ptr<Site>> sites_;
};

}  // namespace rondo::test
