// SPDX-License-Identifier: BSL-1.0
#pragma once
// A call of a command: what its function is given, and the checks that commands share. What isn't
// as it should be is thrown as Refused, so a command reads as if all were well.

#include <functional>
#include <initializer_list>
#include <limits>
#include <tuple>

#include "examples/kv/keyspace.hpp"
#include "examples/kv/resp.hpp"

namespace example::kv {

struct Settings {
    std::string password;
    size_t clients_max, output_max, bulk_max;
    long timeout;  // seconds; 0: none
    int backlog;
};

/// What is known of a client besides its connection.
struct Client {
    size_t id = 0, db = 0;
    size_t needed = 0;  // bytes that there must be before it makes sense to parse
    long long since = 0;
    bool trusted = false, leaving = false;
    std::string name{};
};

/// What all clients share. Times are in ms.
struct Store {
    static constexpr size_t databases = 16;

    const Settings settings;
    Counter memory;
    std::vector<Keyspace> spaces;
    std::tuple<String, List, Hash> nothing;  // always empty; see Call::peek
    size_t accepted = 0, connected = 0, executed = 0, expired = 0, port = 0;
    long long started = 0;
    std::function<std::string()> client_list;
    std::function<void()> shut_down;

    explicit Store(Settings with) : settings(std::move(with)) {
        while (spaces.size() < databases) spaces.emplace_back(memory);
    }
};

struct Call {
    using Item = Keyspace::Item;

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
        long long value = 0;
        require(read_integer(digits, value), "ERR value is not an integer or out of range");
        return value;
    }
    /// A time to come, from an argument in units of `unit` ms.
    long long time(size_t i, long long unit, long long least) const {
        constexpr long long most = std::numeric_limits<long long>::max();
        const long long amount = number(args[i]);
        if (amount < least || amount > (most - now) / unit || amount < -(most / unit)) {
            refuse("ERR invalid expire time in '", name, "' command");
        }
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

}  // namespace example::kv
