// SPDX-License-Identifier: BSL-1.0
#pragma once
// What is stored, and what is known of clients. A dictionary is standard containers with an
// allocator that counts, cut by hash into shards, which SCAN's cursor names: a shard may grow, but
// no key ever moves to another. Keys that expire are also kept in the order of their time, so that
// expiring them is no search.

#include <deque>
#include <functional>
#include <memory_resource>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
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

/// A key with its hash, which names a shard and then a bucket.
struct Hashed : std::string_view {
    size_t hash;
    Hashed(const auto& key) : std::string_view(key), hash(std::hash<std::string_view>()(*this)) {}
};
struct KeyHash {
    using is_transparent = void;  // a view is looked up without a copy
    size_t operator()(const Hashed& key) const { return key.hash; }
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
    bool lives(long long now) const { return expires == never || expires > now; }
};

using Item = std::pair<const String, Entry>;

/// One database.
class Keyspace {
public:
    static constexpr size_t shards = 512;

    explicit Keyspace(Counter& memory) : due_(&memory) {
        while (shards_.size() < shards) shards_.emplace_back(&memory);
    }

    std::pmr::memory_resource* memory() const { return due_.get_allocator().resource(); }
    size_t size() const { return size_; }
    size_t expiring() const { return due_.size(); }

    /// nullptr if it isn't there, or has expired by `now`.
    Item* find(const Hashed& key, long long now) {
        auto& shard = shard_of(key);
        const auto at = shard.find(key);
        if (at == shard.end() || (!at->second.lives(now) && erase(key))) return nullptr;
        return &*at;
    }
    /// A key that isn't there yet.
    Item& insert(const Hashed& key, Value value) {
        ++size_;
        return *shard_of(key).try_emplace(String(key, memory()), Entry{std::move(value)}).first;
    }
    bool erase(const Hashed& key) {
        auto& shard = shard_of(key);
        const auto at = shard.find(key);
        if (at == shard.end()) return false;
        expire(*at, never);
        shard.erase(at);
        --size_;
        return true;
    }
    /// Returns whether that is another time than before.
    bool expire(Item& item, long long when) {
        long long& expires = item.second.expires;
        if (expires == when) return false;
        if (expires != never) due_.erase({expires, &item.first});
        expires = when;
        if (when != never) due_.insert({when, &item.first});
        return true;
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
    Map<Entry>& shard_of(const Hashed& key) { return shards_[(key.hash >> 32) % shards]; }

    std::vector<Map<Entry>> shards_;
    std::pmr::set<std::pair<long long, const String*>> due_;
    size_t size_ = 0;
};

struct Settings {
    std::string password;
    size_t clients_max, output_max;
    long bulk_max, timeout;  // bytes; seconds, 0: none
    int backlog;
};

/// What is known of a client besides its connection.
struct Client {
    size_t id = 0, db = 0, needed = 0;  // bytes that must have come before parsing makes sense
    long long since = 0;
    bool trusted = false, leaving = false;
    std::string name{};
};

/// What all clients share. Times are in ms.
struct Store {
    const Settings settings;
    Counter memory;
    std::vector<Keyspace> spaces;
    std::tuple<String, List, Hash> nothing;  // always empty; see Call::peek
    size_t accepted = 0, connected = 0, executed = 0, expired = 0, port = 0;
    long long started = 0;
    std::function<std::string()> client_list;
    std::function<void()> shut_down;

    explicit Store(Settings with) : settings(std::move(with)) {
        while (spaces.size() < 16) spaces.emplace_back(memory);
    }
};

}  // namespace example::kv
