// SPDX-License-Identifier: BSL-1.0
#pragma once
// The commands of connections and of the server.

#include "examples/kv/call.hpp"

namespace example::kv {

inline void ping(Call& c) {
    c.require_count(c.count() <= 2);
    c.count() == 2 ? c.reply.bulk(c[1]) : c.reply.raw("+PONG\r\n");
}
inline void echo(Call& c) { c.reply.bulk(c[1]); }
inline void quit(Call& c) {
    c.client.leaving = true;
    c.reply.ok();
}
inline void shutdown(Call& c) {
    c.require_syntax(c.count() <= 2);
    c.store.shut_down();
}
inline void select(Call& c) {
    const auto db = static_cast<size_t>(c.number(c[1]));
    require(db < Store::databases, "ERR DB index is out of range");
    c.client.db = db;
    c.reply.ok();
}

inline void trust(Call& c, std::string_view user, std::string_view password) {
    const std::string& right = c.store.settings.password;
    require(user == "default" && (right.empty() || password == right),
            "WRONGPASS invalid username-password pair or user is disabled.");
    c.client.trusted = true;
}
inline void auth(Call& c) {
    c.require_syntax(c.count() <= 3);
    require(c.count() == 3 || !c.store.settings.password.empty(),
            "ERR AUTH <password> called without any password configured for the default user. Are "
            "you sure your configuration is correct?");
    trust(c, c.count() == 3 ? c[1] : "default", c.args.back());
    c.reply.ok();
}
inline void hello(Call& c) {
    long long version = 2;
    require(c.count() == 1 || read_integer(c[1], version),
            "ERR Protocol version is not an integer or out of range");
    require(version == 2, "NOPROTO unsupported protocol version");
    const bool with_password = c.count() == 5 && c.is(2, "auth");
    if (c.count() > 2 && !with_password) refuse("ERR Syntax error in HELLO option '", c[2], "'");
    if (with_password) trust(c, c[3], c[4]);
    require(c.client.trusted,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
            "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
            "select the RESP protocol version at the same time");
    c.reply.array(14);
    for (const auto text : {"server", "redis", "version", "7.0.15", "proto"}) c.reply.bulk(text);
    c.reply.integer(2);
    c.reply.bulk("id");
    c.reply.integer(c.client.id);
    for (const auto text : {"mode", "standalone", "role", "master", "modules"}) c.reply.bulk(text);
    c.reply.array(0);
}

inline void require_subcommand(const Call& c, bool known, bool count) {
    std::string word(c[1].substr(0, 128)), parent(c.name);
    for (char& each : parent) each = static_cast<char>(each - 32);
    if (!known) refuse("ERR unknown subcommand '", word, "'. Try " + parent + " HELP.");
    for (char& each : word) each = lower(each);
    c.require_count(count, "|" + word);
}
inline void client(Call& c) {
    const bool list = c.is(1, "list"), id = c.is(1, "id"), set = c.is(1, "setname");
    require_subcommand(c, list || id || set || c.is(1, "getname"), c.count() == (set ? 3 : 2));
    std::string& name = c.client.name;
    if (list) return c.reply.bulk(c.store.client_list());
    if (id) return c.reply.integer(c.client.id);
    if (!set) return c.reply.bulk_or_nil(name.empty() ? nullptr : &name);
    require(std::all_of(c[2].begin(), c[2].end(), [](char x) { return x >= '!' && x <= '~'; }),
            "ERR Client names cannot contain spaces, newlines or special characters.");
    name = c[2];
    c.reply.ok();
}
inline void config(Call& c) {
    require_subcommand(c, c.is(1, "get"), c.count() > 2);
    const Settings& settings = c.store.settings;
    const std::string known[][2] = {{"save", ""},
                                    {"appendonly", "no"},
                                    {"databases", std::to_string(Store::databases)},
                                    {"maxclients", std::to_string(settings.clients_max)},
                                    {"timeout", std::to_string(settings.timeout)},
                                    {"proto-max-bulk-len", std::to_string(settings.bulk_max)},
                                    {"tcp-backlog", std::to_string(settings.backlog)}};
    Args found;
    for (const auto& each : known) {
        const auto asked = [&each](std::string_view pattern) { return matches(pattern, each[0]); };
        if (std::none_of(c.args.begin() + 2, c.args.end(), asked)) continue;
        found.insert(found.end(), {each[0], each[1]});
    }
    c.reply.all(found);
}
inline void info(Call& c) {
    const Store& store = c.store;
    std::string text = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
    const auto line = [&text](std::string_view name, auto value, const char* end = "\r\n") {
        text.append(name).append(":").append(std::to_string(value)).append(end);
    };
    line("tcp_port", store.port);
    line("uptime_in_seconds", (c.now - store.started) / 1000);
    line("\r\n# Clients\r\nconnected_clients", store.connected);
    line("maxclients", store.settings.clients_max);
    line("\r\n# Memory\r\nused_memory", store.memory.used);
    line("used_memory_human", static_cast<double>(store.memory.used) / (1 << 20), "M\r\n");
    line("\r\n# Stats\r\ntotal_connections_received", store.accepted);
    line("total_commands_processed", store.executed);
    line("expired_keys", store.expired);
    text += "\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n# Keyspace\r\n";
    for (size_t i = 0; i < Store::databases; ++i) {
        if (store.spaces[i].size() == 0) continue;
        text += "db" + std::to_string(i) + ":keys=" + std::to_string(store.spaces[i].size()) +
                ",expires=" + std::to_string(store.spaces[i].expiring()) + ",avg_ttl=0\r\n";
    }
    c.reply.bulk(text);
}

}  // namespace example::kv
