// SPDX-License-Identifier: BSL-1.0
#pragma once
// The commands of what is stored: strings, lists, hashes, and keys of any of them. Lists and hashes
// that have become empty are gone.

#include <bit>
#include <initializer_list>
#include <limits>

#include "examples/kv/resp.hpp"
#include "examples/kv/store.hpp"

namespace example::kv {

/// What a command's function is given, and the checks that commands share. What isn't as it should
/// be is thrown as Refused, so a command reads as if all were well.
struct Call {
    Store& store;
    Client& client;
    const Args& args;
    Reply& reply;
    const long long now;
    std::string_view name;
    Keyspace& keys;

    std::string_view operator[](size_t i) const { return args[i]; }
    size_t count() const { return args.size(); }
    bool is(size_t i, std::string_view word) const { return same_word(args[i], word); }
    String text(std::string_view from) const { return String(from, keys.memory()); }

    void require_syntax(bool fine) const { require(fine, "ERR syntax error"); }
    void require_count(bool fine, std::string_view subcommand = "") const {
        if (fine) return;
        refuse("ERR wrong number of arguments for '", std::string(name).append(subcommand),
               "' command");
    }
    /// Which of these words the argument is.
    size_t option(size_t i, std::initializer_list<std::string_view> words) const {
        const auto at = std::ranges::find_if(words, [&](auto word) { return is(i, word); });
        require_syntax(at != words.end());
        return static_cast<size_t>(at - words.begin());
    }
    long long number(std::string_view digits) const {
        return integer(digits, "ERR value is not an integer or out of range");
    }
    /// A time to come, from an argument in units of `unit` ms.
    long long time(size_t i, long long unit, long long least) const {
        constexpr long long most = std::numeric_limits<long long>::max();
        const long long amount = number(args[i]);
        const bool fits = amount <= (most - now) / unit && amount >= -(most / unit);
        if (!fits || amount < least) refuse("ERR invalid expire time in '", name, "' command");
        return now + amount * unit;
    }

    /// What is under that argument; nullptr: nothing.
    Item* find(size_t i = 1) const { return keys.find(args[i], now); }
    /// The T under the first argument; nullptr: there is nothing.
    template <class T>
    T* look() const {
        Item* const item = find();
        T* const value = item != nullptr ? std::get_if<T>(&item->second.value) : nullptr;
        require(item == nullptr || value != nullptr,
                "WRONGTYPE Operation against a key holding the wrong kind of value");
        return value;
    }
    /// The same; if there is nothing an empty one, for who only reads or removes.
    template <class T>
    T& peek() const {
        T* const value = look<T>();
        return value != nullptr ? *value : std::get<T>(store.nothing);
    }
    /// The same; makes one of `begin` if there is nothing.
    template <class T>
    T& make(auto... begin) const {
        if (T* const value = look<T>()) return *value;
        return std::get<T>(keys.insert(args[1], T(begin..., keys.memory())).second.value);
    }
};

template <class T>
void size_of(Call& c) {
    c.reply.put(c.peek<T>().size());
}

// Strings -----------------------------------------------------------------------------------------

inline void put(Call& c, size_t i, std::string_view value, long long expires = never) {
    Item* const old = c.find(i);
    Item& item = old != nullptr ? *old : c.keys.insert(c[i], c.text(""));
    item.second.value = c.text(value);
    c.keys.expire(item, expires);
}
inline void mset(Call& c) {
    c.require_count(c.count() % 2 != 0);
    for (size_t i = 1; i < c.count(); i += 2) put(c, i, c[i + 1]);
    c.reply.ok();
}
inline void set(Call& c) {
    if (c.count() == 3) return mset(c);  // no options
    enum : unsigned { nx = 1, xx = 2, get = 4, keep = 8, ex = 16, px = 32 };
    unsigned options = 0;
    size_t amount = 0;
    for (size_t i = 3; i < c.count(); ++i) {
        const unsigned option = 1U << c.option(i, {"nx", "xx", "get", "keepttl", "ex", "px"});
        options |= option;
        if (option >= ex) amount = ++i;
    }
    c.require_syntax(amount < c.count() && (options & (nx | xx)) != (nx | xx) &&
                     std::popcount(options & (keep | ex | px)) <= 1);
    long long expires = amount != 0 ? c.time(amount, (options & ex) != 0 ? 1000 : 1, 1) : never;
    if ((options & get) != 0) c.reply.put_or_nil(c.look<String>());
    const Item* const item = c.find();
    if ((options & keep) != 0 && item != nullptr) expires = item->second.expires;
    const bool stored = (options & (item != nullptr ? nx : xx)) == 0;
    if (stored) put(c, 1, c[2], expires);
    if ((options & get) == 0) stored ? c.reply.ok() : c.reply.nil();
}
inline void mget(Call& c) {
    c.reply.array(c.count() - 1);
    for (size_t i = 1; i < c.count(); ++i) {
        const Item* const item = c.find(i);
        c.reply.put_or_nil(item != nullptr ? std::get_if<String>(&item->second.value) : nullptr);
    }
}
inline void add(Call& c, long long amount) {
    String& text = c.make<String>("0");
    long long value = c.number(text);
    require(!__builtin_add_overflow(value, amount, &value),
            "ERR increment or decrement would overflow");
    text = std::to_string(value);
    c.reply.put(value);
}
inline void setex(Call& c) {
    put(c, 1, c[3], c.time(2, 1000, 1));
    c.reply.ok();
}
inline void setnx(Call& c) {
    const bool absent = c.find() == nullptr;
    if (absent) put(c, 1, c[2]);
    c.reply.put(absent);
}
inline void get(Call& c) { c.reply.put_or_nil(c.look<String>()); }
inline void getset(Call& c) {
    c.reply.put_or_nil(c.look<String>());
    put(c, 1, c[2]);
}
inline void append(Call& c) { c.reply.put(c.make<String>().append(c[2]).size()); }
inline void incr(Call& c) { add(c, 1); }
inline void decr(Call& c) { add(c, -1); }
inline void incrby(Call& c) { add(c, c.number(c[2])); }
inline void decrby(Call& c) {
    const long long amount = c.number(c[2]);
    require(amount != std::numeric_limits<long long>::min(), "ERR decrement would overflow");
    add(c, -amount);
}

// Lists -------------------------------------------------------------------------------------------

template <bool left>
void push(Call& c) {
    List& list = c.make<List>();
    for (size_t i = 2; i < c.count(); ++i) {
        left ? list.emplace_front(c[i]) : list.emplace_back(c[i]);
    }
    c.reply.put(list.size());
}
template <bool left>
void pop(Call& c) {
    c.require_count(c.count() <= 3);
    const bool many = c.count() == 3;
    constexpr const char* wrong = "ERR value is out of range, must be positive";
    const long long most = many ? integer(c[2], wrong) : 1;
    require(most >= 0, wrong);
    List& list = c.peek<List>();
    if (list.empty()) return c.reply.raw(many ? "*-1\r\n" : "$-1\r\n");
    size_t count = std::min(static_cast<size_t>(most), list.size());
    if (many) c.reply.array(count);
    for (; count > 0; --count) {
        c.reply.put(left ? list.front() : list.back());
        left ? list.pop_front() : list.pop_back();
    }
    if (list.empty()) c.keys.erase(c[1]);
}
inline void lrange(Call& c) {
    long long first = c.number(c[2]), last = c.number(c[3]);
    const List& list = c.peek<List>();
    const auto size = static_cast<long long>(list.size());
    first = std::max(first < 0 ? first + size : first, 0LL);
    last = std::min(last < 0 ? last + size : last, size - 1);
    c.reply.array(first > last ? 0 : static_cast<size_t>(last - first + 1));
    for (; first <= last; ++first) c.reply.put(list[static_cast<size_t>(first)]);
}

// Hashes ------------------------------------------------------------------------------------------

inline void hset(Call& c) {
    c.require_count(c.count() % 2 == 0);
    Hash& hash = c.make<Hash>();
    const size_t before = hash.size();
    for (size_t i = 2; i < c.count(); i += 2) hash.insert_or_assign(c.text(c[i]), c[i + 1]);
    c.reply.put(hash.size() - before);
}
inline void hget(Call& c) {
    const Hash& hash = c.peek<Hash>();
    const auto at = hash.find(c[2]);
    c.reply.put_or_nil(at != hash.end() ? &at->second : nullptr);
}
inline void hdel(Call& c) {
    Hash& hash = c.peek<Hash>();
    const size_t before = hash.size();
    for (size_t i = 2; i < c.count(); ++i) hash.erase(c.text(c[i]));
    c.reply.put(before - hash.size());
    if (hash.empty()) c.keys.erase(c[1]);
}
inline void hgetall(Call& c) {
    const Hash& hash = c.peek<Hash>();
    c.reply.array(hash.size() * 2);
    for (const auto& [field, value] : hash) {
        c.reply.put(field);
        c.reply.put(value);
    }
}

// Keys --------------------------------------------------------------------------------------------

template <bool erased>
void count_keys(Call& c) {
    size_t found = 0;
    for (size_t i = 1; i < c.count(); ++i) {
        found += c.find(i) != nullptr && (!erased || c.keys.erase(c[i]));
    }
    c.reply.put(found);
}
template <int unit>
void expire(Call& c) {
    if (c.count() > 3) refuse("ERR Unsupported option ", c[3]);
    const long long at = c.time(2, unit, std::numeric_limits<long long>::min());
    Item* const item = c.find();
    c.reply.put(item != nullptr);
    if (item != nullptr) c.keys.expire(*item, at);
    if (at <= c.now) c.keys.erase(c[1]);
}
template <int unit>
void remaining(Call& c) {
    const Item* const item = c.find();
    if (item == nullptr) return c.reply.put(-2);
    const long long at = item->second.expires;
    c.reply.put(at == never ? -1 : (at - c.now + unit / 2) / unit);
}
inline void persist(Call& c) {
    Item* const item = c.find();
    c.reply.put(item != nullptr && c.keys.expire(*item, never));
}
inline std::string_view type_of(const Item& item) {
    constexpr std::string_view names[] = {"string", "list", "hash"};
    return names[item.second.value.index()];
}

/// Behind the element of a pattern that is at `at`, one of ? [a-z] [^a] \\a a; 0 if it isn't c.
inline size_t behind(std::string_view pattern, size_t at, char c) {
    const auto take = [&] {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
        return pattern[at++];
    };
    if (at == pattern.size()) return 0;
    if (pattern[at] == '?') return at + 1;
    if (pattern[at] != '[') return take() == c ? at : 0;
    const bool inverted = pattern.substr(++at).starts_with('^');
    bool found = false;
    for (at += inverted; at < pattern.size() && pattern[at] != ']';) {
        const bool range = at + 2 < pattern.size() && pattern[at] != '\\' && pattern[at + 1] == '-';
        const char low = take(), high = range ? pattern[at + 1] : low;
        if (range) at += 2;
        found |= std::min(low, high) <= c && c <= std::max(low, high);
    }
    return found != inverted ? std::min(at + 1, pattern.size()) : 0;
}
/// Redis' patterns: * and such elements. Only the last star is ever tried again, so the cost is at
/// most the product of the lengths.
inline bool matches(std::string_view pattern, std::string_view text) {
    size_t p = 0, star = 0, retry = 0;
    for (size_t t = 0; t < text.size();) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = ++p;
            retry = t;
        } else if (const size_t next = behind(pattern, p, text[t]); next != 0) {
            p = next;
            ++t;
        } else if (star != 0) {
            p = star;
            t = ++retry;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', p) == pattern.npos;
}

// The cursor is the next shard; a call goes through whole ones until it has seen enough.
inline size_t collect(Call& c, size_t shard, long long count, std::string_view pattern,
                      std::string_view kind, Args& found) {
    for (; shard < Keyspace::shards && count > 0; ++shard) {
        for (const Item& item : c.keys.shard(shard)) {
            --count;
            if (!item.second.lives(c.now) || !matches(pattern, item.first)) continue;
            if (kind.empty() || same_word(kind, type_of(item))) found.push_back(item.first);
        }
    }
    return shard < Keyspace::shards ? shard : 0;
}
inline void scan(Call& c) {
    const auto cursor = static_cast<size_t>(integer(c[1], "ERR invalid cursor"));
    std::string_view given[] = {"*", "", "10"};
    for (size_t i = 2; i < c.count(); i += 2) {
        std::string_view& value = given[c.option(i, {"match", "type", "count"})];
        c.require_syntax(i + 1 < c.count());
        value = c[i + 1];
    }
    const long long count = c.number(given[2]);
    c.require_syntax(count > 0);
    Args found;
    const auto next = collect(c, cursor, count, given[0], given[1], found);
    c.reply.list(std::to_string(next), found);
}
inline void type(Call& c) {
    const Item* const item = c.find();
    c.reply.raw("+" + std::string(item != nullptr ? type_of(*item) : "none") + "\r\n");
}
inline void keys(Call& c) {
    Args found;
    collect(c, 0, std::numeric_limits<long long>::max(), c[1], "", found);
    c.reply.put(found);
}
inline void dbsize(Call& c) { c.reply.put(c.keys.size()); }
inline void flushall(Call& c) {
    c.require_syntax(c.count() == 1 || (c.count() == 2 && (c.is(1, "async") || c.is(1, "sync"))));
    for (auto& space : c.store.spaces) space = Keyspace(c.store.memory);
    c.reply.ok();
}

}  // namespace example::kv
