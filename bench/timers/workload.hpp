// SPDX-License-Identifier: BSL-1.0
#pragma once
// What all contenders are asked to do, and what is kept of what they did.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bench/timers/clock.hpp"

namespace bench {

/// The operations, as bits.
enum Operation : unsigned {
    op_add = 1,
    op_cancel = 2,
    op_rearm = 4,
    op_fire = 8,
    op_life = 16,
    op_later = 32,
    op_idle = 64,
    op_million = 128,
};

inline constexpr unsigned random_operations = op_add | op_cancel | op_rearm | op_fire | op_life;
inline constexpr unsigned idle_operations = op_later | op_idle;
inline constexpr unsigned all_operations = random_operations | idle_operations | op_million;

struct Named {
    Operation operation;
    const char* word;  // on the command line
    const char* name;  // in the parameters
};
inline constexpr Named operation_names[] = {
    {op_add, "add", "add"},
    {op_cancel, "cancel", "cancel"},
    {op_rearm, "rearm", "rearm"},
    {op_fire, "fire", "fire"},
    {op_life, "life", "life"},
    {op_later, "later", "rearm later"},
    {op_idle, "idle", "idle timeouts"},
};

/// For each timer a deadline, in nanoseconds from now, and a place in the order of touching them.
/// There are several sets, so that the branches of a small heap aren't learnt by heart.
///
/// Each deadline is in a millisecond of its own, so the order of firing is determined also for
/// libuv, which has no parts of one.
class Workload {
public:
    struct Set {
        std::vector<uint32_t> order;
        std::vector<int64_t> when;
    };

    explicit Workload(uint32_t count) : count_(count), sets_(std::max(2U, 65536U / count)) {
        std::mt19937_64 random(count);
        for (Set& set : sets_) {
            set.order.resize(count);
            std::iota(set.order.begin(), set.order.end(), 0U);
            std::shuffle(set.order.begin(), set.order.end(), random);
            for (uint32_t i = 0; i < count; ++i) {
                const auto part = static_cast<int64_t>(random() % millisecond);
                set.when.push_back(second + i * millisecond - part);
            }
            std::shuffle(set.when.begin(), set.when.end(), random);
        }
    }

    uint32_t count() const { return count_; }
    /// From now until all deadlines have passed.
    int64_t span() const { return second + count_ * millisecond; }
    const Set& set(size_t number) const { return sets_[number % sets_.size()]; }

private:
    uint32_t count_;
    std::vector<Set> sets_;
};

/// The numbers of the timers that have fired.
class Log {
public:
    explicit Log(uint32_t count) { fired_.reserve(count); }

    void fired(uint32_t timer) {
        fired_.push_back(timer);
        if (keeps_times_) [[unlikely]]
            times_.push_back(now_ns());
    }
    const std::vector<uint32_t>& all() const { return fired_; }
    void clear() { fired_.clear(); }

    /// From now on it also keeps when they fired.
    void keep_times() {
        keeps_times_ = true;
        times_.reserve(fired_.capacity());
    }
    const std::vector<double>& times() const { return times_; }

    /// Adds what has fired since the last time, in the order of firing.
    void add_to(uint64_t& checksum) {
        for (const uint32_t timer : fired_) checksum = checksum * 31 + timer + 1;
        clear();
    }
    /// The same without the order: all of it was one turn's.
    void add_turn_to(uint64_t& checksum) {
        uint64_t sum = 0;
        for (const uint32_t timer : fired_) sum += timer + 1;
        checksum = checksum * 31 + sum;
        clear();
    }

private:
    std::vector<uint32_t> fired_;
    std::vector<double> times_;
    bool keeps_times_ = false;
};

}  // namespace bench
