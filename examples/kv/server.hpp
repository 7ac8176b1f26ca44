// SPDX-License-Identifier: BSL-1.0
#pragma once
// The server around the interpreter, which gets what comes; a batch of commands makes one write. A
// timer expires keys ten times a second; the library closes idle clients, stops reading from those
// that don't read their replies, and bounds what a half-sent command may hold.

#include <rondo/rondo.hpp>

#include "examples/kv/commands.hpp"

namespace example::kv {

template <class Loop>
class Server {
public:
    Server(Loop& loop, const Settings& settings)
        : loop_(loop), kv_(settings), clients_(loop, limits(settings)), cron_(loop.timer()) {
        kv_.store.started = now();
        kv_.store.client_list = [this] { return client_list(); };
        kv_.store.shut_down = [this] { loop_.defer([this] { stop(); }); };
        clients_.on_open([this](Connection& client) { opened(client); });
        clients_.on_close([this](auto&, auto&) { --kv_.store.connected; });
        clients_.on_data([this](Connection& client, std::span<const std::byte> bytes) {
            return received(client, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        });
        cron_.every(std::chrono::milliseconds(100), [this] {
            for (auto& space : kv_.store.spaces) kv_.store.expired += space.expire_due(now(), 1000);
        });
    }

    auto listen(const rondo::Endpoint& at) {
        const auto listening = clients_.listen(at, {.backlog = kv_.store.settings.backlog});
        if (listening) kv_.store.port = local().port();
        return listening;
    }
    auto local() { return clients_.local().value(); }
    void stop() {
        cron_.cancel();
        clients_.drain(std::chrono::seconds(1));
    }

private:
    using Clients = rondo::Server<Loop, Client>;
    using Connection = typename Clients::Connection;

    static rondo::ConnectionOptions limits(const Settings& settings) {
        const auto timeout = rondo::Duration::seconds(settings.timeout);
        return {.unsent_max = settings.output_max,
                .unconsumed_max = static_cast<size_t>(settings.bulk_max) + (16 << 20),
                .idle_timeout = settings.timeout != 0 ? timeout : rondo::never};
    }

    static long long ms(rondo::Instant at) { return at.ns() / 1'000'000; }
    long long now() const { return ms(loop_.now()); }

    void opened(Connection& connection) {
        Store& store = kv_.store;
        connection.state() = {
            .id = ++store.accepted, .since = now(), .trusted = store.settings.password.empty()};
        if (++store.connected <= store.settings.clients_max) return;
        connection.send("-ERR max number of clients reached\r\n");
        connection.close();
    }

    // As long as the client reads the replies; the rest is shown again when it has.
    size_t received(Connection& connection, std::string_view bytes) {
        size_t used = 0, size = 0;
        do {
            size = kv_.run(connection.state(), bytes.substr(used), now());
            used += size;
            kv_.reply.send_by(connection);
            if (connection.state().leaving) connection.close();
        } while (size != 0 && used < bytes.size() && connection.wants_more());
        return used;
    }

    std::string client_list() {
        std::string text;
        clients_.for_each([&](Connection& each) {
            const Client& client = each.state();
            const auto peer = each.peer();
            text += print(
                "id=%zu addr=%s fd=%d name=%s age=%lld idle=%lld flags=N db=%zu qbuf=%zu omem=%zu "
                "user=default resp=2\n",
                client.id, peer ? peer->text().c_str() : "?:0", each.fd(), client.name.c_str(),
                (now() - client.since) / 1000, (now() - ms(each.counters().last_received)) / 1000,
                client.db, each.unconsumed(), each.unsent());
        });
        return text;
    }

    Loop& loop_;
    Interpreter kv_;
    Clients clients_;
    typename Loop::Timer cron_;
};

}  // namespace example::kv
