// SPDX-License-Identifier: BSL-1.0
#pragma once
// The commands of what is stored: strings, lists, hashes, and keys of any of them. Lists and hashes
// that have become empty are gone.

#include <bit>

#include "examples/kv/call.hpp"

namespace example::kv {

template <class T>
void size_of(Call& c) {
    c.reply.put(c.peek<T>().size());
}

// Strings -----------------------------------------------------------------------------------------

inline void put(Call& c, size_t i, std::string_view value, long long expires = never) {
    Call::Item* const old = c.find(i);
    Call::Item& item = old != nullptr ? *old : c.keys.insert(c[i], c.text(""));
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
    const bool timed = amount != 0;
    c.require_syntax(amount < c.count() && (options & (nx | xx)) != (nx | xx) &&
                     std::popcount(options & (keep | ex | px)) <= 1);
    long long expires = timed ? c.time(amount, (options & ex) != 0 ? 1000 : 1, 1) : never;
    if ((options & get) != 0) c.reply.put_or_nil(c.look<String>());
    const Call::Item* const item = c.find();
    if ((options & keep) != 0 && item != nullptr) expires = item->second.expires;
    const bool stored = (options & (item != nullptr ? nx : xx)) == 0;
    if (stored) put(c, 1, c[2], expires);
    if ((options & get) == 0) stored ? c.reply.ok() : c.reply.nil();
}
inline void mget(Call& c) {
    c.reply.array(c.count() - 1);
    for (size_t i = 1; i < c.count(); ++i) {
        const Call::Item* const item = c.find(i);
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
    long long most = 1;
    const bool fine = !many || (read_integer(c[2], most) && most >= 0);
    require(fine, "ERR value is out of range, must be positive");
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
    Call::Item* const item = c.find();
    c.reply.put(item != nullptr);
    if (item != nullptr) c.keys.expire(*item, at);
    if (at <= c.now) c.keys.erase(c[1]);
}
template <int unit>
void remaining(Call& c) {
    const Call::Item* const item = c.find();
    if (item == nullptr) return c.reply.put(-2);
    const long long at = item->second.expires;
    c.reply.put(at == never ? -1 : (at - c.now + unit / 2) / unit);
}
inline void persist(Call& c) {
    Call::Item* const item = c.find();
    const bool timed = item != nullptr && item->second.expires != never;
    if (timed) c.keys.expire(*item, never);
    c.reply.put(timed);
}
inline std::string_view type_of(const Call::Item& item) {
    constexpr std::string_view names[] = {"string", "list", "hash"};
    return names[item.second.value.index()];
}

// The cursor is the next shard; a call goes through whole ones until it has seen enough.
inline size_t collect(Call& c, size_t shard, long long count, std::string_view pattern,
                      std::string_view kind, Args& found) {
    for (; shard < Keyspace::shards && count > 0; ++shard) {
        for (const Call::Item& item : c.keys.shard(shard)) {
            --count;
            if (!item.second.lives(c.now) || !matches(pattern, item.first)) continue;
            if (kind.empty() || same_word(kind, type_of(item))) found.push_back(item.first);
        }
    }
    return shard < Keyspace::shards ? shard : 0;
}
inline void scan(Call& c) {
    long long cursor = 0;
    require(read_integer(c[1], cursor), "ERR invalid cursor");
    std::string_view given[] = {"*", "", "10"};
    for (size_t i = 2; i < c.count(); i += 2) {
        std::string_view& value = given[c.option(i, {"match", "type", "count"})];
        c.require_syntax(i + 1 < c.count());
        value = c[i + 1];
    }
    const long long count = c.number(given[2]);
    c.require_syntax(count > 0);
    Args found;
    const auto next = collect(c, static_cast<size_t>(cursor), count, given[0], given[1], found);
    c.reply.list(std::to_string(next), found);
}
inline void type(Call& c) {
    const Call::Item* const item = c.find();
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
