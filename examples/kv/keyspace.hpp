// SPDX-License-Identifier: BSL-1.0
#pragma once
// The dictionary: standard containers with an allocator that counts. It is cut by hash into a fixed
// number of shards, which SCAN's cursor names: a shard may grow, but no key ever moves to another.
// Keys that expire are also kept in the order of their time, so that expiring them is no search.

#include <algorithm>
#include <deque>
#include <functional>
#include <memory_resource>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace example::kv {

/// Counts the bytes that containers hold.
class Counter : public std::pmr::memory_resource {
public:
    size_t used = 0;

private:
    void* do_allocate(size_t bytes, size_t) override {
        used += bytes;
        return ::operator new(bytes);
    }
    void do_deallocate(void* memory, size_t bytes, size_t) override {
        used -= bytes;
        ::operator delete(memory);
    }
    bool do_is_equal(const memory_resource& that) const noexcept override { return this == &that; }
};

struct KeyHash {
    using is_transparent = void;  // a view is looked up without a copy
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
};

template <class T>
using Map = std::pmr::unordered_map<std::pmr::string, T, KeyHash, std::equal_to<>>;
using String = std::pmr::string;
using List = std::pmr::deque<String>;
using Hash = Map<String>;

constexpr long long never = -1;

using Value = std::variant<String, List, Hash>;

struct Entry {
    Value value;
    long long expires = never;  // in ms on the loop's clock

    explicit Entry(Value of) : value(std::move(of)) {}
    bool lives(long long now) const { return expires == never || expires > now; }
};

/// One database.
class Keyspace {
public:
    using Item = std::pair<const String, Entry>;
    static constexpr size_t shards = 512;

    explicit Keyspace(Counter& memory) : due_(&memory) {
        while (shards_.size() < shards) shards_.emplace_back(&memory);
    }

    std::pmr::memory_resource* memory() const { return due_.get_allocator().resource(); }
    size_t size() const { return size_; }
    size_t expiring() const { return due_.size(); }

    /// nullptr if it isn't there, or has expired by `now`.
    Item* find(std::string_view key, long long now) {
        auto& shard = shard_of(key);
        const auto at = shard.find(key);
        if (at == shard.end()) return nullptr;
        if (at->second.lives(now)) return &*at;
        erase(key);
        return nullptr;
    }
    /// A key that isn't there yet.
    Item& insert(std::string_view key, Value value) {
        ++size_;
        return *shard_of(key).try_emplace(String(key, memory()), std::move(value)).first;
    }
    bool erase(std::string_view key) {
        auto& shard = shard_of(key);
        const auto at = shard.find(key);
        if (at == shard.end()) return false;
        expire(*at, never);
        shard.erase(at);
        --size_;
        return true;
    }
    void expire(Item& item, long long when) {
        long long& expires = item.second.expires;
        if (expires == when) return;
        if (expires != never) due_.erase({expires, &item.first});
        expires = when;
        if (when != never) due_.insert({when, &item.first});
    }
    /// Erases at most `most` keys whose time has come, and tells how many.
    size_t expire_due(long long now, size_t most) {
        const size_t before = size_;
        while (before - size_ < most && !due_.empty() && due_.begin()->first <= now) {
            erase(*due_.begin()->second);
        }
        return before - size_;
    }

    const auto& shard(size_t index) const { return shards_[index]; }

private:
    // The map uses the hash modulo a prime, so the upper bits are as good as any.
    Map<Entry>& shard_of(std::string_view key) { return shards_[(KeyHash()(key) >> 32) % shards]; }

    std::vector<Map<Entry>> shards_;
    std::pmr::set<std::pair<long long, const String*>> due_;
    size_t size_ = 0;
};

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

}  // namespace example::kv
