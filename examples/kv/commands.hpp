// SPDX-License-Identifier: BSL-1.0
#pragma once
// The commands of connections and of the server, and what runs all commands.

#include <cstdio>

#include "examples/kv/values.hpp"

namespace example::kv {

/// printf, into a string.
std::string print(const char* format, auto... values) {
    std::string text(static_cast<size_t>(std::snprintf(nullptr, 0, format, values...)), '\0');
    std::snprintf(text.data(), text.size() + 1, format, values...);
    return text;
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
    constexpr const char* wrong = "ERR Protocol version is not an integer or out of range";
    require(c.count() == 1 || integer(c[1], wrong) == 2, "NOPROTO unsupported protocol version");
    const bool with_password = c.count() == 5 && c.is(2, "auth");
    if (c.count() > 2 && !with_password) refuse("ERR Syntax error in HELLO option '", c[2], "'");
    if (with_password) trust(c, c[3], c[4]);
    require(c.client.trusted,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
            "HELLO AUTH <user> <pass> option can be used to authenticate the client and "
            "select the RESP protocol version at the same time");
    c.reply.list("server", "redis", "version", "7.0.15", "proto", 2, "id", c.client.id, "mode",
                 "standalone", "role", "master", "modules", Args());
}

inline void require_subcommand(const Call& c, const char* of, bool known, bool count) {
    std::string word(c[1].substr(0, 128));
    if (!known) refuse("ERR unknown subcommand '", word, print("'. Try %s HELP.", of));
    std::ranges::transform(word, word.begin(), lower);
    c.require_count(count, "|" + word);
}
inline void client(Call& c) {
    const bool list = c.is(1, "list"), id = c.is(1, "id"), set = c.is(1, "setname");
    const bool known = list || id || set || c.is(1, "getname");
    require_subcommand(c, "CLIENT", known, c.count() == (set ? 3 : 2));
    std::string& name = c.client.name;
    if (list) return c.reply.put(c.store.client_list());
    if (id) return c.reply.put(c.client.id);
    if (!set) return c.reply.put_or_nil(name.empty() ? nullptr : &name);
    require(std::ranges::all_of(c[2], [](char x) { return x >= '!' && x <= '~'; }),
            "ERR Client names cannot contain spaces, newlines or special characters.");
    name = c[2];
    c.reply.ok();
}
inline void config(Call& c) {
    require_subcommand(c, "CONFIG", c.is(1, "get"), c.count() > 2);
    const Settings& settings = c.store.settings;
    const std::string known[][2] = {{"save", ""},
                                    {"appendonly", "no"},
                                    {"databases", std::to_string(c.store.spaces.size())},
                                    {"maxclients", std::to_string(settings.clients_max)},
                                    {"timeout", std::to_string(settings.timeout)},
                                    {"proto-max-bulk-len", std::to_string(settings.bulk_max)},
                                    {"tcp-backlog", std::to_string(settings.backlog)}};
    Args found;
    for (const auto& each : known) {
        const auto asked = [&each](auto pattern) { return matches(pattern, each[0]); };
        if (std::none_of(c.args.begin() + 2, c.args.end(), asked)) continue;
        found.insert(found.end(), {each[0], each[1]});
    }
    c.reply.put(found);
}
inline void info(Call& c) {
    const Store& store = c.store;
    std::string text = print(
        "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\ntcp_port:%zu\r\n"
        "uptime_in_seconds:%lld\r\n\r\n# Clients\r\nconnected_clients:%zu\r\nmaxclients:%zu\r\n\r\n"
        "# Memory\r\nused_memory:%zu\r\nused_memory_human:%.2fM\r\n\r\n"
        "# Stats\r\ntotal_connections_received:%zu\r\ntotal_commands_processed:%zu\r\n"
        "expired_keys:%zu\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n"
        "# Keyspace\r\n",
        store.port, (c.now - store.started) / 1000, store.connected, store.settings.clients_max,
        store.memory.used, static_cast<double>(store.memory.used) / (1 << 20), store.accepted,
        store.executed, store.expired);
    for (size_t i = 0; i < store.spaces.size(); ++i) {
        const Keyspace& db = store.spaces[i];
        if (db.size() == 0) continue;
        text += print("db%zu:keys=%zu,expires=%zu,avg_ttl=0\r\n", i, db.size(), db.expiring());
    }
    c.reply.put(text);
}
inline void command(Call& c);
inline void shutdown(Call& c) {
    bool abort = false;
    for (size_t i = 1; i < c.count(); ++i) {
        abort |= c.option(i, {"abort", "nosave", "save", "now", "force"}) == 0;
    }
    c.require_syntax(!abort || c.count() == 2);
    require(!abort, "ERR No shutdown in progress.");
    c.store.shut_down();
}

inline void echo(Call& c) { c.reply.put(c[1]); }
inline void ping(Call& c) {
    c.require_count(c.count() <= 2);
    c.count() == 2 ? c.reply.put(c[1]) : c.reply.raw("+PONG\r\n");
}
inline void select(Call& c) {
    const auto db = static_cast<size_t>(c.number(c[1]));
    require(db < c.store.spaces.size(), "ERR DB index is out of range");
    c.client.db = db;
    c.reply.ok();
}
inline void quit(Call& c) {
    c.client.leaving = true;
    c.reply.ok();
}

struct Command {
    std::string_view name;
    int arity;  // with the name; negative: at least
    void (*run)(Call&);
};
/// A name in any case as a word: none has more than eight letters.
constexpr uint64_t folded(std::string_view name) {
    uint64_t word = 0;
    if (name.size() > sizeof(word)) return 0;
    for (const char c : name) word = word << 8 | static_cast<unsigned char>(c | 0x20);
    return word;
}
inline std::pair<uint64_t, Command> row(std::string_view name, int arity, void run(Call&)) {
    return {folded(name), {name, arity, run}};
}
auto table(auto... each) { return std::unordered_map<uint64_t, Command>({each...}); }

// Strings, lists, hashes, keys, clients.
inline const auto commands = table(
    row("append", 3, append), row("decr", 2, decr), row("decrby", 3, decrby), row("get", 2, get),
    row("getset", 3, getset), row("incr", 2, incr), row("incrby", 3, incrby), row("mget", -2, mget),
    row("mset", -3, mset), row("set", -3, set), row("setex", 4, setex), row("setnx", 3, setnx),
    row("strlen", 2, size_of<String>), row("llen", 2, size_of<List>), row("lpop", -2, pop<true>),
    row("lpush", -3, push<true>), row("lrange", 4, lrange), row("rpop", -2, pop<false>),
    row("rpush", -3, push<false>), row("hdel", -3, hdel), row("hget", 3, hget),
    row("hgetall", 2, hgetall), row("hlen", 2, size_of<Hash>), row("hset", -4, hset),
    row("dbsize", 1, dbsize), row("del", -2, count_keys<true>),
    row("exists", -2, count_keys<false>), row("expire", -3, expire<1000>),
    row("flushall", -1, flushall), row("keys", 2, keys), row("persist", 2, persist),
    row("pexpire", -3, expire<1>), row("pttl", 2, remaining<1>), row("scan", -2, scan),
    row("ttl", 2, remaining<1000>), row("type", 2, type), row("unlink", -2, count_keys<true>),
    row("auth", -2, auth), row("client", -2, client), row("command", -1, command),
    row("config", -2, config), row("echo", 2, echo), row("hello", -1, hello), row("info", -1, info),
    row("ping", -1, ping), row("quit", -1, quit), row("select", 2, select),
    row("shutdown", -1, shutdown));

inline void command(Call& c) {
    if (c.count() > 1 && c.is(1, "count")) return c.reply.put(commands.size());
    if (c.count() > 1) return c.reply.array(0);
    c.reply.array(commands.size());
    for (const auto& [word, each] : commands) {
        c.reply.list(each.name, each.arity, Args(), 0, 0, 0);
    }
}

/// Runs what clients send.
class Interpreter {
public:
    Store store;
    Reply reply;

    explicit Interpreter(const Settings& settings) : store(settings) {}

    /// Runs the commands at the front of `bytes`, until there is no whole one, there are many
    /// replies, or the client leaves. Returns how many bytes they were.
    size_t run(Client& client, std::string_view bytes, long long now) {
        if (bytes.size() < client.needed) return 0;
        size_t used = 0;
        while (used < bytes.size() && reply.size() < Reply::batch && !client.leaving) {
            const size_t before = reply.size();
            size_t size = 0;
            try {
                size = parser_.parse(bytes.substr(used), store.settings.bulk_max, client.trusted);
                client.needed = size == 0 ? parser_.needed() : 0;
                if (size == 0) break;
                used += size;
                if (!parser_.args().empty()) execute(client, now);
            } catch (const Refused& refused) {
                reply.cut(before);
                reply.error(size != 0 ? refused.why : "ERR Protocol error: " + refused.why);
                client.leaving |= size == 0;
            }
        }
        return client.leaving ? bytes.size() : used;
    }

private:
    void execute(Client& client, long long now) {
        const Args& args = parser_.args();
        ++store.executed;
        const auto at = commands.find(folded(args[0]));
        if (at == commands.end()) return unknown(client, args);
        const auto& [name, arity, run] = at->second;
        Call call{store, client, args, reply, now, name, store.spaces[client.db]};
        const auto count = static_cast<int>(args.size());
        call.require_count(arity < 0 ? count >= -arity : count == arity);
        require(client.trusted || run == auth || run == hello || run == quit,
                "NOAUTH Authentication required.");
        run(call);
    }

    static void unknown(Client& client, const Args& args) {
        // A browser that a page has sent here goes at once.
        client.leaving = same_word(args[0], "post") || same_word(args[0], "host:");
        if (client.leaving) return;
        std::string text = "', with args beginning with: ";
        const size_t most = text.size() + 128;
        for (size_t i = 1; i < args.size() && text.size() < most; ++i) {
            text += "'" + std::string(args[i].substr(0, most - text.size())) + "' ";
        }
        refuse("ERR unknown command '", args[0].substr(0, 128), text);
    }

    Parser parser_;
};

}  // namespace example::kv
