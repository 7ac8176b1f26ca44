// SPDX-License-Identifier: BSL-1.0
#pragma once
// The table of all commands, and what runs them.

#include <array>

#include "examples/kv/clients.hpp"
#include "examples/kv/values.hpp"

namespace example::kv {

struct Command {
    std::string_view name;
    int arity;  // with the name; negative: at least
    void (*run)(Call&);
};
constexpr Command row(const char* name, int arity, void (*run)(Call&)) {
    return {name, arity, run};
}
template <class... Rows>
constexpr auto rows(Rows... each) {
    return std::array{each...};
}
inline void command(Call& c);

// Strings, lists, hashes, keys, clients.
inline constexpr std::array commands = rows(
    row("append", 3, append), row("decr", 2, step<-1>), row("decrby", 3, decrby),
    row("get", 2, get), row("getset", 3, getset), row("incr", 2, step<1>), row("incrby", 3, incrby),
    row("mget", -2, mget), row("mset", -3, mset), row("set", -3, set), row("setex", 4, setex),
    row("setnx", 3, setnx), row("strlen", 2, size_of<String>), row("llen", 2, size_of<List>),
    row("lpop", -2, pop<true>), row("lpush", -3, push<true>), row("lrange", 4, lrange),
    row("rpop", -2, pop<false>), row("rpush", -3, push<false>), row("hdel", -3, hdel),
    row("hget", 3, hget), row("hgetall", 2, hgetall), row("hlen", 2, size_of<Hash>),
    row("hset", -4, hset), row("dbsize", 1, dbsize), row("del", -2, del), row("exists", -2, exists),
    row("expire", -3, expire<1000>), row("flushall", -1, flushall), row("keys", 2, keys),
    row("persist", 2, persist), row("pexpire", -3, expire<1>), row("pttl", 2, remaining<1>),
    row("scan", -2, scan), row("ttl", 2, remaining<1000>), row("type", 2, type),
    row("unlink", -2, del), row("auth", -2, auth), row("client", -2, client),
    row("command", -1, command), row("config", -2, config), row("echo", 2, echo),
    row("hello", -1, hello), row("info", -1, info), row("ping", -1, ping), row("quit", -1, quit),
    row("select", 2, select), row("shutdown", -1, shutdown));

inline void command(Call& c) {
    if (c.count() > 1 && c.is(1, "count")) return c.reply.integer(commands.size());
    if (c.count() > 1) return c.reply.array(0);
    c.reply.array(commands.size());
    for (const auto& each : commands) {
        c.reply.array(6);
        c.reply.bulk(each.name);
        c.reply.integer(each.arity);
        c.reply.array(0);
        for (int i = 0; i < 3; ++i) c.reply.integer(0);
    }
}

/// Finds a command by its name in any case: none has more than eight letters, which make a word.
inline const Command* find_command(std::string_view name) {
    constexpr auto folded = [](std::string_view letters) {
        uint64_t word = 0;
        for (const char c : letters) word = word << 8 | static_cast<unsigned char>(c | 0x20);
        return word;
    };
    constexpr auto slot = [](uint64_t word) { return (word * 0x9E3779B97F4A7C15) >> 56; };
    static constexpr auto table = [=] {
        std::array<std::pair<uint64_t, const Command*>, 256> made{};
        for (const auto& each : commands) {
            auto at = slot(folded(each.name));
            while (made[at].second != nullptr) at = (at + 1) % made.size();
            made[at] = {folded(each.name), &each};
        }
        return made;
    }();
    const uint64_t word = name.size() <= sizeof(word) ? folded(name) : 0;
    auto at = slot(word);
    while (table[at].second != nullptr && table[at].first != word) at = (at + 1) % table.size();
    return table[at].second;
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
        const auto bulk_max = static_cast<long long>(store.settings.bulk_max);
        size_t used = 0;
        while (used < bytes.size() && reply.size() < Reply::batch && !client.leaving) {
            const size_t before = reply.size();
            bool parsed = false;
            try {
                const size_t size = parser_.parse(bytes.substr(used), bulk_max, client.trusted);
                client.needed = size == 0 ? parser_.needed() : 0;
                if (size == 0) break;
                parsed = true;
                used += size;
                if (!parser_.args().empty()) execute(client, now);
            } catch (const Refused& refused) {
                reply.cut(before);
                reply.error(parsed ? refused.why : "ERR Protocol error: " + refused.why);
                client.leaving |= !parsed;
            }
        }
        return client.leaving ? bytes.size() : used;
    }

private:
    void execute(Client& client, long long now) {
        const Args& args = parser_.args();
        ++store.executed;
        const Command* const command = find_command(args[0]);
        if (command == nullptr) unknown(args);
        Call call{store, client, args, reply, now, command->name, store.spaces[client.db]};
        const auto count = static_cast<int>(args.size());
        call.require_count(command->arity < 0 ? count >= -command->arity : count == command->arity);
        const bool open = command->run == auth || command->run == hello || command->run == quit;
        require(client.trusted || open, "NOAUTH Authentication required.");
        command->run(call);
    }

    [[noreturn]] static void unknown(const Args& args) {
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
