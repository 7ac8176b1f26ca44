// SPDX-License-Identifier: BSL-1.0
#pragma once
// Random: numbers that are the same on every compiler and machine, which those of <random>'s
// distributions are not. Everything that a simulated world leaves to chance comes from one of them,
// so a seed is a whole history.
//
// The generator is xoshiro256** 1.0, its state filled by splitmix64 (Blackman and Vigna, "Scrambled
// linear pseudorandom number generators", 2018). It refuses to be secret.

#include <stdint.h>

#include <rondo/config/assert.hpp>
#include <rondo/core/time.hpp>

namespace rondo::inline RONDO_ABI::sim {

/// How long something takes.
struct Delay {
    Duration min;
    Duration mean;  ///< at least min; the same as max: always that
    Duration max;
};

/// A sequence of numbers that its seed decides.
/// Threads: a value; externally synchronised.
class Random {
public:
    explicit Random(uint64_t seed) noexcept {
        for (uint64_t& word : state_) word = splitmix(seed);
    }

    /// 64 bits, each as likely as not.
    uint64_t next() noexcept {
        const uint64_t result = rotate(state_[1] * 5, 7) * 9;
        const uint64_t shifted = state_[1] << 17U;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotate(state_[3], 45);
        return result;
    }

    /// 0 to `end` - 1, evenly but for a part in 2^32.
    uint64_t below(uint64_t end) noexcept {
        RONDO_ASSERT(end != 0, "below: there is no number below 0");
        if (end >> 32U != 0) return next() % end;
        return (next() >> 32U) * end >> 32U;
    }

    /// True with this probability. A probability of 0 takes no number from the sequence.
    bool chance(double probability) noexcept {
        if (!(probability > 0)) return false;
        return static_cast<double>(next() >> 11U) * 0x1p-53 < probability;
    }

    /// From `min` to `max`, often near `mean`, seldom far above it: min, and what is missing to the
    /// mean times an approximately exponential number.
    Duration in(const Delay& delay) noexcept {
        RONDO_ASSERT(delay.min <= delay.mean && delay.mean <= delay.max,
                     "a delay has min <= mean <= max");
        const int64_t spread = (delay.mean - delay.min).ns();
        if (spread == 0 || delay.mean == delay.max) return delay.mean;
        // The zeros before the first one of random bits are 1 on average, and a fraction is 1/2.
        const uint64_t bits = next();
        int64_t zeros = 0;
        while (zeros < 20 && (bits >> static_cast<unsigned>(zeros) & 1U) == 0) ++zeros;
        const auto thousandths = zeros * 1000 + static_cast<int64_t>((bits >> 32U) * 1000 >> 32U);
        const Duration drawn =
            delay.min + Duration(detail::saturating_mul(spread, thousandths) / 1500);
        return drawn < delay.max ? drawn : delay.max;
    }

private:
    static constexpr uint64_t rotate(uint64_t word, unsigned by) noexcept {
        return word << by | word >> (64 - by);
    }
    static constexpr uint64_t splitmix(uint64_t& seed) noexcept {
        uint64_t word = seed += 0x9E3779B97F4A7C15;
        word = (word ^ word >> 30U) * 0xBF58476D1CE4E5B9;
        word = (word ^ word >> 27U) * 0x94D049BB133111EB;
        return word ^ word >> 31U;
    }

    uint64_t state_[4] = {};
};

}  // namespace rondo::inline RONDO_ABI::sim
