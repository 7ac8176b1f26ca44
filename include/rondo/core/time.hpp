// SPDX-License-Identifier: BSL-1.0
#pragma once
// Durations and instants: 64-bit nanoseconds that saturate instead of wrapping. A Duration converts
// from every std::chrono duration (`500ms` works) although this header doesn't include <chrono>,
// which alone would cost more to compile than the rest of core.
//
// Fractions of a nanosecond are rounded up, so that nothing that waits is ever early. There is no
// clock here: only a poller reads one.

#include <stdint.h>

#include <compare>
#include <concepts>
#include <type_traits>

#include <rondo/config/version.hpp>

namespace rondo::inline RONDO_ABI {

namespace detail {

constexpr int64_t saturating_add(int64_t a, int64_t b) noexcept {
    int64_t sum = 0;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

constexpr int64_t saturating_sub(int64_t a, int64_t b) noexcept {
    int64_t difference = 0;
    if (!__builtin_sub_overflow(a, b, &difference)) return difference;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

constexpr int64_t saturating_mul(int64_t a, int64_t b) noexcept {
    int64_t product = 0;
    if (!__builtin_mul_overflow(a, b, &product)) return product;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

constexpr int64_t common_divisor(int64_t a, int64_t b) noexcept {
    return b == 0 ? a : common_divisor(b, a % b);
}

// a / b, rounded up.
constexpr int64_t divide_up(int64_t a, int64_t b) noexcept { return a / b + (a % b > 0 ? 1 : 0); }

// a * b / c, rounded up, for |a| < c. Where the product doesn't fit 64 bits, bit by bit.
constexpr int64_t scale_part_up(int64_t a, int64_t b, int64_t c) noexcept {
    int64_t product = 0;
    if (!__builtin_mul_overflow(a, b, &product)) return divide_up(product, c);
    const auto divisor = static_cast<uint64_t>(c);
    const auto step = static_cast<uint64_t>(a < 0 ? -a : a);
    int64_t quotient = 0;
    uint64_t rest = 0;  // below c, so twice as much fits
    const auto add = [&](uint64_t part) {
        rest += part;
        if (rest < divisor) return;
        rest -= divisor;
        ++quotient;
    };
    for (int bit = 62; bit >= 0; --bit) {
        quotient *= 2;
        add(rest);
        if ((b >> bit) % 2 != 0) add(step);
    }
    return a < 0 ? -quotient : quotient + (rest > 0 ? 1 : 0);
}

// count * num / den, rounded up; saturates.
constexpr int64_t scale_up(int64_t count, int64_t num, int64_t den) noexcept {
    return saturating_add(saturating_mul(count / den, num), scale_part_up(count % den, num, den));
}

template <class D>
concept ChronoDuration = requires(const D& d) {
    typename D::rep;
    d.count();
    D::period::num;
    D::period::den;
};

template <class D>
constexpr int64_t nanoseconds_of(const D& duration) noexcept {
    constexpr int64_t giga = 1'000'000'000;
    if constexpr (std::is_floating_point_v<typename D::rep>) {
        const auto ns = static_cast<long double>(duration.count()) * giga *
                        static_cast<long double>(D::period::num) /
                        static_cast<long double>(D::period::den);
        if (!(ns < 0x1p63L)) return INT64_MAX;  // what is not a number is a wait for ever
        if (ns <= -0x1p63L) return INT64_MIN;
        const auto whole = static_cast<int64_t>(ns);
        return whole + (ns > static_cast<long double>(whole) ? 1 : 0);
    } else {
        constexpr int64_t common = common_divisor(giga, D::period::den);
        constexpr int64_t den = D::period::den / common;
        constexpr int64_t per_den = saturating_mul(D::period::num, giga / common);
        static_assert(den == 1 || per_den < INT64_MAX,
                      "the period of this duration is too odd to be counted in nanoseconds");
        constexpr auto most = static_cast<uint64_t>(INT64_MAX);
        if constexpr (std::is_unsigned_v<typename D::rep>) {
            if (static_cast<uint64_t>(duration.count()) > most) return INT64_MAX;
        }
        const auto count = static_cast<int64_t>(duration.count());
        if constexpr (den == 1) {
            return saturating_mul(count, per_den);
        } else {
            return scale_up(count, per_den, den);
        }
    }
}

}  // namespace detail

/// A span of time in nanoseconds.
class Duration {
public:
    constexpr Duration() noexcept = default;
    /// From nanoseconds.
    constexpr explicit Duration(int64_t nanoseconds) noexcept : ns_(nanoseconds) {}
    /// From any std::chrono duration; rounds up and saturates.
    template <detail::ChronoDuration D>
    constexpr Duration(const D& duration) noexcept : ns_(detail::nanoseconds_of(duration)) {}

    static constexpr Duration seconds(int64_t n) noexcept {
        return Duration(detail::saturating_mul(n, 1'000'000'000));
    }
    static constexpr Duration milliseconds(int64_t n) noexcept {
        return Duration(detail::saturating_mul(n, 1'000'000));
    }
    static constexpr Duration microseconds(int64_t n) noexcept {
        return Duration(detail::saturating_mul(n, 1'000));
    }
    static constexpr Duration max() noexcept { return Duration(INT64_MAX); }

    /// Nanoseconds.
    constexpr int64_t ns() const noexcept { return ns_; }
    /// Whole milliseconds, rounded up (what poll(2) needs in order not to wake early).
    constexpr int64_t ms_rounded_up() const noexcept { return detail::divide_up(ns_, 1'000'000); }
    /// Whole microseconds, rounded up (what select(2) needs in order not to wake early).
    constexpr int64_t us_rounded_up() const noexcept { return detail::divide_up(ns_, 1'000); }

    friend constexpr auto operator<=>(Duration, Duration) noexcept = default;
    friend constexpr Duration operator+(Duration a, Duration b) noexcept {
        return Duration(detail::saturating_add(a.ns_, b.ns_));
    }
    friend constexpr Duration operator-(Duration a, Duration b) noexcept {
        return Duration(detail::saturating_sub(a.ns_, b.ns_));
    }
    friend constexpr Duration operator*(Duration a, int64_t n) noexcept {
        return Duration(detail::saturating_mul(a.ns_, n));
    }
    /// How many times `b` fits into `a`; `b` is not zero.
    friend constexpr int64_t operator/(Duration a, Duration b) noexcept {
        return b.ns_ == -1 ? detail::saturating_sub(0, a.ns_) : a.ns_ / b.ns_;
    }

private:
    int64_t ns_ = 0;
};

/// Longer than any wait: a timer handler that returns it is not called again.
inline constexpr Duration never = Duration::max();

/// A point on a poller's monotonic clock. Instants of different pollers can't be compared.
class Instant {
public:
    constexpr Instant() noexcept = default;
    /// From nanoseconds since the clock's own beginning.
    constexpr explicit Instant(int64_t nanoseconds) noexcept : ns_(nanoseconds) {}

    /// Before every reading of a clock: a deadline that has passed.
    static constexpr Instant min() noexcept { return Instant(INT64_MIN); }
    /// After every reading of a clock: no deadline.
    static constexpr Instant max() noexcept { return Instant(INT64_MAX); }

    constexpr int64_t ns() const noexcept { return ns_; }

    friend constexpr auto operator<=>(Instant, Instant) noexcept = default;
    friend constexpr Instant operator+(Instant t, Duration d) noexcept {
        return Instant(detail::saturating_add(t.ns_, d.ns()));
    }
    friend constexpr Instant operator-(Instant t, Duration d) noexcept {
        return Instant((Duration(t.ns_) - d).ns());
    }
    friend constexpr Duration operator-(Instant a, Instant b) noexcept {
        return Duration(a.ns_) - Duration(b.ns_);
    }

private:
    int64_t ns_ = 0;
};

constexpr Instant earlier(Instant a, Instant b) noexcept { return b < a ? b : a; }

}  // namespace rondo::inline RONDO_ABI
