// SPDX-License-Identifier: BSL-1.0
#pragma once
// Time, and what is made of many measurements of it.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

namespace bench {

inline double now_ns() {
    const auto t = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(t).count());
}

/// Adds up the time of short stretches, without what reading the clock twice adds to each.
class Stopwatch {
public:
    void start() { start_ = now_ns(); }
    void stop() { total_ += now_ns() - start_ - read_cost_; }
    double total() const { return total_ > 0 ? total_ : 0; }

private:
    // The least of many: what a read costs when nothing disturbs it.
    static double measure() {
        double least = 1e9;
        for (int i = 0; i < 1000; ++i) {
            const double before = now_ns();
            least = std::min(least, now_ns() - before);
        }
        return least;
    }

    double read_cost_ = measure();
    double start_ = 0;
    double total_ = 0;
};

/// Median and the 95 % interval of the median, from the order statistics: no distribution is
/// assumed. With fewer than 6 values no interval of them has 95 %; then it is all of them.
struct Summary {
    double median = 0, low = 0, high = 0, min = 0, max = 0;
    size_t count = 0;

    explicit Summary(std::vector<double> values) {
        std::sort(values.begin(), values.end());
        const size_t n = values.size();
        count = n;
        if (n == 0) return;
        const size_t cut = outside(n);
        median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
        low = values[cut];
        high = values[n - 1 - cut];
        min = values.front();
        max = values.back();
    }

    /// Of a target, the most that the median may be. It is missed when all of the interval is
    /// above it and met when nothing is, so that noise makes neither likelier. Too few values for
    /// an interval of 95 % prove nothing met.
    const char* verdict(double target) const {
        if (low > target) return "MISSED";
        return high <= target && count >= enough ? "met" : "open";
    }

    static constexpr size_t enough = 6;  // values for an interval of 95 %

    /// How many values may be left out on either side: the largest k for which the median is below
    /// the k+1st value with at most 2.5 %, which is P(at most k of n fair coins show heads).
    static size_t outside(size_t n) {
        double chance = std::pow(0.5, static_cast<double>(n));  // of exactly k heads
        double sum = 0;
        for (size_t k = 0;; ++k) {
            sum += chance;
            if (sum > 0.025 || k >= n) return k == 0 ? 0 : k - 1;
            chance *= static_cast<double>(n - k) / static_cast<double>(k + 1);
        }
    }
};

}  // namespace bench
