// SPDX-License-Identifier: BSL-1.0
// A small Redis. Try it: kv_server --port 7000, then: redis-cli -p 7000 set greeting hello
// The interpreter gets what comes, and each batch of commands makes one write. A timer expires keys
// ten times a second; the library closes idle clients, stops reading from those that don't read
// their replies, and bounds what a half-sent command may hold.
#include <chrono>

#include "examples/kv/commands.hpp"
#include "examples/options.hpp"

using example::kv::Client, example::kv::Interpreter, example::kv::Settings;

static long long ms(rondo::Instant at) { return at.ns() / 1'000'000; }

static std::string client_list(auto& loop, auto& server) {
    std::string text;
    server.for_each([&](auto& each) {
        const Client& client = each.state();
        const auto peer = loop.sockets().peer(each.fd());
        text += example::kv::print(
            "id=%zu addr=%s fd=%d name=%s age=%lld idle=%lld flags=N db=%zu qbuf=%zu omem=%zu "
            "user=default resp=2\n",
            client.id, peer ? peer->text().c_str() : "?:0", each.fd(), client.name.c_str(),
            (ms(loop.now()) - client.since) / 1000,
            (ms(loop.now()) - ms(each.counters().last_received)) / 1000, client.db,
            each.unconsumed(), each.unsent());
    });
    return text;
}

// As long as the client reads the replies; the rest is shown again when it has.
static size_t received(Interpreter& kv, auto& connection, std::string_view bytes, long long now) {
    size_t used = 0, size = 0;
    do {
        size = kv.run(connection.state(), bytes.substr(used), now);
        used += size;
        kv.reply.send_by(connection);
        if (connection.state().leaving) connection.close();
    } while (size != 0 && used < bytes.size() && connection.wants_more());
    return used;
}

template <class Loop>
static int serve(Loop& loop, const Settings& settings, const auto& addresses) {
    Interpreter kv(settings);
    auto& store = kv.store;
    rondo::ConnectionOptions limits;
    limits.unsent_max = settings.output_max;
    limits.unconsumed_max = settings.bulk_max + (16 << 20);
    if (settings.timeout != 0) limits.idle_timeout = std::chrono::seconds(settings.timeout);
    rondo::Server<Loop, Client> server(loop, limits);
    server.on_open([&](auto& connection) {
        Client& client = connection.state();
        client = {
            .id = ++store.accepted, .since = ms(loop.now()), .trusted = settings.password.empty()};
        if (++store.connected <= settings.clients_max) return;
        connection.send("-ERR max number of clients reached\r\n");
        connection.close();
    });
    server.on_close([&](auto&, auto&) { --store.connected; });
    server.on_data([&](auto& connection, std::span<const std::byte> bytes) {
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return received(kv, connection, text, ms(loop.now()));
    });
    auto cron = loop.timer();
    cron.every(std::chrono::milliseconds(100), [&] {
        for (auto& space : store.spaces) store.expired += space.expire_due(ms(loop.now()), 1000);
    });
    const auto stop = [&] {
        cron.cancel();
        server.drain(std::chrono::seconds(1));
    };
    for (const auto& at : addresses) {
        const auto listening = server.listen(at, {.backlog = settings.backlog});
        if (!listening) return example::report(listening.error());
    }
    const auto first = server.local().value();
    store.port = first.port();
    store.started = ms(loop.now());
    store.client_list = [&] { return client_list(loop, server); };
    store.shut_down = [&] { loop.defer(stop); };
    // The loop says it, when it watches for signals: one may come right after.
    loop.defer([&] { example::say("listening on %s\n", first.text().c_str()); });
    return example::run_until_signal(loop, stop);
}

int main(int argc, char** argv) {
    example::Options options(
        argc, argv,
        "[--port N] [--bind ADDRESS,...] [--requirepass WORD] [--maxclients N] "
        "[--timeout SECONDS] [--max-output BYTES] [--max-bulk BYTES] "
        "[--backlog N] [--poller NAME]");
    const Settings settings{
        .password = std::string(options.text("--requirepass", "")),
        .clients_max = options.count("--maxclients", 10'000),
        .output_max = options.count("--max-output", 256 << 20),
        .bulk_max = options.count("--max-bulk", 64 << 20),
        .timeout = options.number("--timeout", 0),
        .backlog = static_cast<int>(options.number("--backlog", 511, 1, 65535))};
    const auto addresses = options.addresses(!settings.password.empty());
    return example::with_loop(options, [&](auto& loop) {
        example::warn_of_limits(settings.clients_max, settings.backlog);
        return serve(loop, settings, addresses);
    });
}
