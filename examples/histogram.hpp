// SPDX-License-Identifier: BSL-1.0
#pragma once
// How long things took: one counter per sixteenth of a power of two, so a figure is at most 6 % too
// high, for any number of values in a few kilobytes.

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>

#include <rondo/core/time.hpp>

namespace example {

class Histogram {
public:
    void add(rondo::Duration took) {
        const auto ns = static_cast<uint64_t>(std::max<int64_t>(took.ns(), 0));
        ++counts_[bucket(ns)];
        ++size_;
        most_ = std::max(most_, ns);
    }

    uint64_t size() const { return size_; }
    double max_ms() const { return ms(most_); }

    /// The time that `part` of all values (0.99: 99 of 100) didn't exceed.
    double ms_of(double part) const {
        const auto rank = static_cast<uint64_t>(part * static_cast<double>(size_));
        uint64_t seen = 0;
        for (size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > rank) return ms(std::min(upper_end(i), most_));
        }
        return max_ms();
    }

private:
    // Below 16 each value has a bucket; from there on its highest five bits choose one.
    static size_t bucket(uint64_t ns) {
        if (ns < 16) return static_cast<size_t>(ns);
        const auto shift = static_cast<size_t>(std::bit_width(ns)) - 5;
        return shift * 16 + static_cast<size_t>(ns >> shift);
    }
    static uint64_t upper_end(size_t bucket) {
        if (bucket < 16) return bucket;
        const size_t shift = bucket / 16 - 1;
        return ((bucket % 16 + 17) << shift) - 1;
    }
    static double ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

    std::array<uint64_t, 1024> counts_{};
    uint64_t size_ = 0;
    uint64_t most_ = 0;
};

/// What a load has seen since it began.
struct Tally {
    rondo::Instant begin;
    Histogram latency{};
    size_t connections = 0;  // that got a reply
    size_t errors = 0;

    void print(rondo::Instant now, const char* end) const {
        const auto messages = static_cast<unsigned long long>(latency.size());
        const double seconds = static_cast<double>((now - begin).ns() + 1) / 1e9;
        std::printf(
            "connections %zu, messages %llu, messages/s %.0f, p50 %.2f ms, p99 %.2f ms, "
            "max %.2f ms, errors %zu%s",
            connections, messages, static_cast<double>(messages) / seconds, latency.ms_of(0.5),
            latency.ms_of(0.99), latency.max_ms(), errors, end);
        std::fflush(stdout);
    }
};

}  // namespace example
