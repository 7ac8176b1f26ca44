// SPDX-License-Identifier: BSL-1.0
#pragma once
// The commands of what is stored: strings, lists, hashes, and keys of any of them. Lists and hashes
// that have become empty are gone.

#include "examples/kv/call.hpp"

namespace example::kv {

template <class T>
void size_of(Call& c) {
    const T* const value = c.look<T>();
    c.reply.integer(value != nullptr ? value->size() : 0);
}

// Strings -----------------------------------------------------------------------------------------

/// `item` is what is there now, if anything.
inline void put(Call& c, Call::Item* item, std::string_view key, std::string_view value,
                long long expires = never) {
    if (item == nullptr) {
        item = &c.keys.insert(key, c.text(value));
    } else if (auto* const text = std::get_if<String>(&item->second.value)) {
        text->assign(value);
    } else {
        item->second.value = c.text(value);
    }
    c.keys.expire(*item, expires);
}

inline void set(Call& c) {
    bool nx = false, xx = false, keep = false, old = false, timed = false;
    size_t amount = 0;
    for (size_t i = 3; i < c.count(); ++i) {
        bool& option = c.is(i, "nx")        ? nx
                       : c.is(i, "xx")      ? xx
                       : c.is(i, "get")     ? old
                       : c.is(i, "keepttl") ? keep
                                            : timed;
        const bool once = !timed && i + 1 < c.count() && (c.is(i, "ex") || c.is(i, "px"));
        c.require_syntax(&option != &timed || once);
        option = true;
        if (&option == &timed) amount = ++i;
    }
    c.require_syntax(!(nx && xx) && !(keep && timed));
    long long expires = timed ? c.time(amount, c.is(amount - 1, "ex") ? 1000 : 1, 1) : never;
    Call::Item* const item = c.find();
    if (old) c.reply.bulk_or_nil(c.as<String>(item));
    if (keep && item != nullptr) expires = item->second.expires;
    const bool stored = item != nullptr ? !nx : !xx;
    if (stored) put(c, item, c[1], c[2], expires);
    if (!old) stored ? c.reply.ok() : c.reply.nil();
}
inline void get(Call& c) { c.reply.bulk_or_nil(c.look<String>()); }
inline void getset(Call& c) {
    Call::Item* const item = c.find();
    c.reply.bulk_or_nil(c.as<String>(item));
    put(c, item, c[1], c[2]);
}
inline void setnx(Call& c) {
    const bool absent = c.find() == nullptr;
    if (absent) put(c, nullptr, c[1], c[2]);
    c.reply.integer(absent);
}
inline void setex(Call& c) {
    const long long expires = c.time(2, 1000, 1);
    put(c, c.find(), c[1], c[3], expires);
    c.reply.ok();
}
inline void mset(Call& c) {
    c.require_count(c.count() % 2 != 0);
    for (size_t i = 1; i < c.count(); i += 2) put(c, c.find(i), c[i], c[i + 1]);
    c.reply.ok();
}
inline void mget(Call& c) {
    c.reply.array(c.count() - 1);
    for (size_t i = 1; i < c.count(); ++i) {
        const Call::Item* const item = c.find(i);
        c.reply.bulk_or_nil(item != nullptr ? std::get_if<String>(&item->second.value) : nullptr);
    }
}
inline void append(Call& c) { c.reply.integer(c.make<String>().append(c[2]).size()); }

inline void add(Call& c, long long amount) {
    Call::Item* const item = c.find();
    long long value = item != nullptr ? c.number(*c.as<String>(item)) : 0;
    const bool over = __builtin_add_overflow(value, amount, &value);
    require(!over, "ERR increment or decrement would overflow");
    put(c, item, c[1], std::to_string(value), item != nullptr ? item->second.expires : never);
    c.reply.integer(value);
}
template <int by>
void step(Call& c) {
    add(c, by);
}
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
    c.reply.integer(list.size());
}
template <bool left>
void pop(Call& c) {
    c.require_count(c.count() <= 3);
    const bool many = c.count() == 3;
    long long most = 1;
    const bool fine = !many || (read_integer(c[2], most) && most >= 0);
    require(fine, "ERR value is out of range, must be positive");
    List* const list = c.look<List>();
    if (list == nullptr) return many ? c.reply.raw("*-1\r\n") : c.reply.nil();
    const size_t count = std::min(static_cast<size_t>(most), list->size());
    if (many) c.reply.array(count);
    for (size_t i = 0; i < count; ++i) {
        c.reply.bulk(left ? list->front() : list->back());
        left ? list->pop_front() : list->pop_back();
    }
    if (list->empty()) c.keys.erase(c[1]);
}
inline void lrange(Call& c) {
    long long first = c.number(c[2]), last = c.number(c[3]);
    const List* const list = c.look<List>();
    const auto size = list != nullptr ? static_cast<long long>(list->size()) : 0;
    first = std::max(first < 0 ? first + size : first, 0LL);
    last = std::min(last < 0 ? last + size : last, size - 1);
    c.reply.array(first > last ? 0 : static_cast<size_t>(last - first + 1));
    for (; first <= last; ++first) c.reply.bulk((*list)[static_cast<size_t>(first)]);
}

// Hashes ------------------------------------------------------------------------------------------

inline void hset(Call& c) {
    c.require_count(c.count() % 2 == 0);
    Hash& hash = c.make<Hash>();
    const size_t before = hash.size();
    for (size_t i = 2; i < c.count(); i += 2) hash.insert_or_assign(c.text(c[i]), c[i + 1]);
    c.reply.integer(hash.size() - before);
}
inline void hget(Call& c) {
    const Hash* const hash = c.look<Hash>();
    if (hash == nullptr) return c.reply.nil();
    const auto at = hash->find(c[2]);
    c.reply.bulk_or_nil(at != hash->end() ? &at->second : nullptr);
}
inline void hdel(Call& c) {
    Hash* const hash = c.look<Hash>();
    if (hash == nullptr) return c.reply.integer(0);
    const size_t before = hash->size();
    for (size_t i = 2; i < c.count(); ++i) hash->erase(c.text(c[i]));
    c.reply.integer(before - hash->size());
    if (hash->empty()) c.keys.erase(c[1]);
}
inline void hgetall(Call& c) {
    const Hash* const hash = c.look<Hash>();
    c.reply.array(hash != nullptr ? hash->size() * 2 : 0);
    if (hash == nullptr) return;
    for (const auto& [field, value] : *hash) {
        c.reply.bulk(field);
        c.reply.bulk(value);
    }
}

// Keys --------------------------------------------------------------------------------------------

inline void del(Call& c) {
    size_t gone = 0;
    for (size_t i = 1; i < c.count(); ++i) gone += c.find(i) != nullptr && c.keys.erase(c[i]);
    c.reply.integer(gone);
}
inline void exists(Call& c) {
    size_t found = 0;
    for (size_t i = 1; i < c.count(); ++i) found += c.find(i) != nullptr;
    c.reply.integer(found);
}

template <int unit>
void expire(Call& c) {
    if (c.count() > 3) refuse("ERR Unsupported option ", c[3]);
    const long long at = c.time(2, unit, std::numeric_limits<long long>::min());
    Call::Item* const item = c.find();
    c.reply.integer(item != nullptr);
    if (item != nullptr) c.keys.expire(*item, at);
    if (at <= c.now) c.keys.erase(c[1]);
}
template <int unit>
void remaining(Call& c) {
    const Call::Item* const item = c.find();
    if (item == nullptr) return c.reply.integer(-2);
    const long long at = item->second.expires;
    c.reply.integer(at == never ? -1 : (at - c.now + unit / 2) / unit);
}
inline void persist(Call& c) {
    Call::Item* const item = c.find();
    const bool timed = item != nullptr && item->second.expires != never;
    if (timed) c.keys.expire(*item, never);
    c.reply.integer(timed);
}

inline std::string_view type_of(const Entry& entry) {
    constexpr std::string_view names[] = {"string", "list", "hash"};
    return names[entry.value.index()];
}
inline void type(Call& c) {
    const Call::Item* const item = c.find();
    c.reply.raw("+" + std::string(item != nullptr ? type_of(item->second) : "none") + "\r\n");
}

// The cursor is the next shard; a call goes through whole ones until it has seen enough.
inline size_t collect(Call& c, size_t shard, long long count, std::string_view pattern,
                      std::string_view kind, Args& found) {
    for (; shard < Keyspace::shards && count > 0; ++shard) {
        c.keys.each(shard, c.now, [&](const Call::Item& item) {
            --count;
            if (!kind.empty() && !same_word(kind, type_of(item.second))) return;
            if (matches(pattern, item.first)) found.push_back(item.first);
        });
    }
    return shard % Keyspace::shards;
}
inline void keys(Call& c) {
    Args found;
    collect(c, 0, std::numeric_limits<long long>::max(), c[1], "", found);
    c.reply.all(found);
}
inline void scan(Call& c) {
    size_t cursor = 0;
    const char* const end = c[1].data() + c[1].size();
    const auto [stop, code] = std::from_chars(c[1].data(), end, cursor);
    require(code == std::errc() && stop == end, "ERR invalid cursor");
    long long count = 10;
    std::string_view pattern = "*", kind;
    for (size_t i = 2; i < c.count(); i += 2) {
        c.require_syntax(i + 1 < c.count());
        if (c.is(i, "match")) {
            pattern = c[i + 1];
        } else if (c.is(i, "type")) {
            kind = c[i + 1];
        } else {
            c.require_syntax(c.is(i, "count") && (count = c.number(c[i + 1])) > 0);
        }
    }
    Args found;
    cursor = cursor < Keyspace::shards ? collect(c, cursor, count, pattern, kind, found) : 0;
    c.reply.array(2);
    c.reply.bulk(std::to_string(cursor));
    c.reply.all(found);
}

inline void dbsize(Call& c) { c.reply.integer(c.keys.size()); }
inline void flushall(Call& c) {
    c.require_syntax(c.count() == 1 || (c.count() == 2 && (c.is(1, "async") || c.is(1, "sync"))));
    for (auto& space : c.store.spaces) space.clear();
    c.reply.ok();
}

}  // namespace example::kv
