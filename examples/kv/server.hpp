// SPDX-License-Identifier: BSL-1.0
#pragma once
// The server: gives the interpreter what comes, and each batch of commands one write. A timer
// expires keys ten times a second; the library closes idle clients, stops reading from those that
// don't read their replies, and bounds what a half-sent command may hold.

#include <chrono>

#include <rondo/rondo.hpp>

#include "examples/kv/commands.hpp"

namespace example::kv {

template <class Loop>
class KvServer {
    using Server = rondo::Server<Loop, Client>;
    using Connection = typename Server::Connection;

public:
    KvServer(Loop& loop, const Settings& settings)
        : loop_(loop), kv_(settings), server_(loop, options(settings)), cron_(loop.timer()) {
        kv_.store.started = now();
        kv_.store.client_list = [this] { return client_list(); };
        kv_.store.shut_down = [this] { loop_.defer([this] { stop(); }); };
        server_.on_open([this](Connection& connection) { opened(connection); });
        server_.on_close([this](auto&, auto&) { kv_.store.connected = server_.size() - 1; });
        server_.on_data([this](Connection& connection, std::span<const std::byte> bytes) {
            return received(connection, bytes);
        });
        cron_.every(std::chrono::milliseconds(100), [this] {
            for (auto& space : kv_.store.spaces) kv_.store.expired += space.expire_due(now(), 1000);
        });
    }

    auto listen(const rondo::Endpoint& at) {
        const auto listening = server_.listen(at, {.backlog = kv_.store.settings.backlog});
        if (listening) kv_.store.port = local().port();
        return listening;
    }
    auto local() { return server_.local().value(); }
    void stop() {
        cron_.cancel();
        server_.drain(std::chrono::seconds(1));
    }

private:
    static rondo::ConnectionOptions options(const Settings& settings) {
        rondo::ConnectionOptions options;
        options.unsent_max = settings.output_max;
        options.unconsumed_max = settings.bulk_max + (16 << 20);
        if (settings.timeout != 0) options.idle_timeout = std::chrono::seconds(settings.timeout);
        return options;
    }

    long long ms(rondo::Instant at) { return at.ns() / 1'000'000; }
    long long now() { return ms(loop_.now()); }

    void opened(Connection& connection) {
        Client& client = connection.state();
        client.id = ++kv_.store.accepted;
        client.since = now();
        client.trusted = kv_.store.settings.password.empty();
        kv_.store.connected = server_.size();
        if (server_.size() <= kv_.store.settings.clients_max) return;
        connection.send("-ERR max number of clients reached\r\n");
        connection.close();
    }

    // As long as the client reads the replies; the rest is shown again when it has.
    size_t received(Connection& connection, std::span<const std::byte> bytes) {
        const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        size_t used = 0, size = 0;
        do {
            size = kv_.run(connection.state(), all.substr(used), now());
            used += size;
            kv_.reply.send_by(connection);
            if (connection.state().leaving) connection.close();
        } while (size != 0 && used < all.size() && connection.wants_more());
        return used;
    }

    std::string client_list() {
        std::string text;
        server_.for_each([&](Connection& each) {
            const Client& client = each.state();
            const auto peer = loop_.sockets().peer(each.fd());
            const auto field = [&text](const char* name, auto value) {
                text += name + std::to_string(value);
            };
            field("id=", client.id);
            text.append(" addr=").append(peer ? peer->text().view() : "?:0");
            field(" fd=", each.fd());
            text += " name=" + client.name;
            field(" age=", (now() - client.since) / 1000);
            field(" idle=", (now() - ms(each.counters().last_received)) / 1000);
            field(" flags=N db=", client.db);
            field(" qbuf=", each.unconsumed());
            field(" omem=", each.unsent());
            text += " user=default resp=2\n";
        });
        return text;
    }

    Loop& loop_;
    Interpreter kv_;
    Server server_;
    typename Loop::Timer cron_;
};

}  // namespace example::kv
