// SPDX-License-Identifier: BSL-1.0

#include <rondo/core/time.hpp>

#include <stdint.h>

#include <chrono>
#include <limits>
#include <random>
#include <ratio>

#include "support/catch.hpp"

using rondo::Duration;
using rondo::Instant;
using namespace std::chrono_literals;

namespace {

__extension__ using Wide = __int128;

/// count * num / den seconds in nanoseconds, rounded up and saturated, by the book.
template <class D>
int64_t expected(const D& duration) {
    const Wide exact = Wide{duration.count()} * D::period::num * 1'000'000'000;
    const Wide floor = exact / D::period::den - (exact % D::period::den < 0 ? 1 : 0);
    const Wide ceiling = floor + (exact % D::period::den != 0 ? 1 : 0);
    if (ceiling > INT64_MAX) return INT64_MAX;
    if (ceiling < INT64_MIN) return INT64_MIN;
    return static_cast<int64_t>(ceiling);
}

template <class Period, class Rep = int64_t>
struct Case {
    using Span = std::chrono::duration<Rep, Period>;
};

}  // namespace

TEST_CASE("a duration is made of every chrono literal", "[time]") {
    CHECK(Duration(500ms).ns() == 500'000'000);
    CHECK(Duration(2min).ns() == 120'000'000'000);
    CHECK(Duration(3us) == Duration::microseconds(3));
    CHECK(Duration(-4ms) == Duration::milliseconds(-4));
    CHECK(Duration(5s) == Duration::seconds(5));
    CHECK(Duration(6ns) == Duration(6));
    CHECK(Duration(24h * 365) == Duration::seconds(31'536'000));
    STATIC_REQUIRE(Duration(1s).ns() == 1'000'000'000);
    STATIC_REQUIRE(std::is_convertible_v<std::chrono::minutes, Duration>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<int, Duration>);
}

TEST_CASE("a fraction of a nanosecond is rounded up", "[time]") {
    using Thirds = std::chrono::duration<int, std::ratio<1, 3>>;
    CHECK(Duration(Thirds(1)).ns() == 333'333'334);
    CHECK(Duration(Thirds(2)).ns() == 666'666'667);
    CHECK(Duration(Thirds(3)).ns() == 1'000'000'000);
    CHECK(Duration(Thirds(-1)).ns() == -333'333'333);
    using Picoseconds = std::chrono::duration<int64_t, std::pico>;
    CHECK(Duration(Picoseconds(1)).ns() == 1);
    CHECK(Duration(Picoseconds(1'000)).ns() == 1);
    CHECK(Duration(Picoseconds(1'001)).ns() == 2);
    CHECK(Duration(Picoseconds(-999)).ns() == 0);
    CHECK(Duration(Picoseconds(999'999'999'999)).ns() == 1'000'000'000);
}

TEMPLATE_TEST_CASE("every period is converted exactly, rounded up and saturated", "[time]",
                   Case<std::nano>, Case<std::micro>, Case<std::milli>, Case<std::ratio<1>>,
                   Case<std::ratio<60>>, Case<std::ratio<86400>>, Case<std::pico>, Case<std::femto>,
                   Case<std::atto>, (Case<std::ratio<1, 3>>), (Case<std::ratio<2, 7>>),
                   (Case<std::ratio<1001, 30000>>), (Case<std::ratio<1, 90000>>),
                   (Case<std::ratio<1, (int64_t{1} << 32)>>),
                   (Case<std::ratio<1, (int64_t{1} << 62)>>), (Case<std::ratio<1, INT64_MAX>>),
                   (Case<std::ratio<9'223'372'037, 9'223'372'036>>), (Case<std::milli, int8_t>),
                   (Case<std::milli, uint8_t>), (Case<std::ratio<1, 3>, uint32_t>),
                   (Case<std::ratio<1, 3>, uint64_t>), (Case<std::ratio<60>, uint64_t>)) {
    using Span = typename TestType::Span;
    using Rep = typename Span::rep;
    const auto agrees = [](Rep count) {
        return Duration(Span(count)).ns() == expected(Span(count));
    };
    std::mt19937_64 random(20'250'101);
    size_t wrong = 0;
    for (int i = 0; i < 20'000; ++i) {
        const auto count = static_cast<Rep>(random() >> (random() % 64));
        if (!agrees(count)) ++wrong;
        if (std::is_signed_v<Rep> && !agrees(static_cast<Rep>(-count))) ++wrong;
    }
    CHECK(wrong == 0);
    for (const int delta : {0, 1, 2}) {
        CHECK(agrees(static_cast<Rep>(std::numeric_limits<Rep>::max() - static_cast<Rep>(delta))));
        CHECK(agrees(static_cast<Rep>(std::numeric_limits<Rep>::min() + static_cast<Rep>(delta))));
    }
}

TEST_CASE("what is longer than 292 years saturates", "[time]") {
    CHECK(Duration(std::chrono::minutes::max()) == rondo::never);
    CHECK(Duration(std::chrono::minutes::min()).ns() == INT64_MIN);
    CHECK(Duration(std::chrono::nanoseconds::max()) == rondo::never);
    CHECK(Duration(std::chrono::duration<uint64_t>(UINT64_MAX)) == rondo::never);
    CHECK(Duration(std::chrono::duration<uint64_t, std::nano>(UINT64_MAX)) == rondo::never);
    CHECK(Duration(std::chrono::duration<int, std::exa>(1)) == rondo::never);
    CHECK(Duration(std::chrono::duration<int, std::exa>(0)) == Duration());
    CHECK(Duration::seconds(INT64_MAX) == rondo::never);
    CHECK(Duration::milliseconds(INT64_MIN).ns() == INT64_MIN);
}

TEST_CASE("a floating-point duration is rounded up and saturates", "[time]") {
    CHECK(Duration(std::chrono::duration<double>(0.5)).ns() == 500'000'000);
    CHECK(Duration(std::chrono::duration<float>(0.25F)).ns() == 250'000'000);
    CHECK(Duration(std::chrono::duration<double, std::nano>(0.1)).ns() == 1);
    CHECK(Duration(std::chrono::duration<double, std::nano>(-0.1)).ns() == 0);
    CHECK(Duration(std::chrono::duration<double, std::nano>(-1.5)).ns() == -1);
    CHECK(Duration(std::chrono::duration<double, std::milli>(1.5)).ns() == 1'500'000);
    CHECK(Duration(std::chrono::duration<double>(1e300)) == rondo::never);
    CHECK(Duration(std::chrono::duration<double>(-1e300)).ns() == INT64_MIN);
    using Nano = std::chrono::duration<double, std::nano>;
    CHECK(Duration(Nano(0x1p63)) == rondo::never);
    CHECK(Duration(Nano(-0x1p63)).ns() == INT64_MIN);
    CHECK(Duration(Nano(0x1.fffffffffffffp62)).ns() == INT64_MAX - 1023);
    CHECK(Duration(Nano(-0x1.fffffffffffffp62)).ns() == -(INT64_MAX - 1023));
    CHECK(Duration(Nano(std::numeric_limits<double>::infinity())) == rondo::never);
    CHECK(Duration(Nano(std::numeric_limits<double>::quiet_NaN())) == rondo::never);
}

TEST_CASE("durations add, subtract and scale, and saturate at both ends", "[time]") {
    CHECK(Duration(3) + Duration(4) == Duration(7));
    CHECK(Duration(3) - Duration(4) == Duration(-1));
    CHECK(Duration(3) * -4 == Duration(-12));
    CHECK(rondo::never + Duration(1) == rondo::never);
    CHECK(Duration(INT64_MIN) - Duration(1) == Duration(INT64_MIN));
    CHECK(Duration(INT64_MIN) - Duration(INT64_MIN) == Duration());
    CHECK(Duration(-1) - Duration(INT64_MIN) == rondo::never);
    CHECK(Duration() - Duration(INT64_MIN) == rondo::never);
    CHECK(rondo::never - Duration(-1) == rondo::never);
    CHECK(rondo::never * 2 == rondo::never);
    CHECK(rondo::never * -2 == Duration(INT64_MIN));
    CHECK(Duration(INT64_MIN) * -1 == rondo::never);
    CHECK(Duration(-3) < Duration(2));
    CHECK(Duration(17) / Duration(5) == 3);
    CHECK(Duration(-17) / Duration(5) == -3);
    CHECK(Duration(INT64_MIN) / Duration(-1) == INT64_MAX);
    CHECK(Duration(5) / Duration(-1) == -5);
}

TEST_CASE("whole milli- and microseconds are rounded up, so that no wait ends early", "[time]") {
    CHECK(Duration(0).ms_rounded_up() == 0);
    CHECK(Duration(1).ms_rounded_up() == 1);
    CHECK(Duration(1'000'000).ms_rounded_up() == 1);
    CHECK(Duration(1'000'001).ms_rounded_up() == 2);
    CHECK(Duration(-1).ms_rounded_up() == 0);
    CHECK(Duration(-1'000'001).ms_rounded_up() == -1);
    CHECK(Duration(1'001).us_rounded_up() == 2);
    CHECK(rondo::never.ms_rounded_up() == INT64_MAX / 1'000'000 + 1);
    CHECK(rondo::never.us_rounded_up() == INT64_MAX / 1'000 + 1);
}

TEST_CASE("instants move by durations and saturate at no deadline", "[time]") {
    const Instant start(1'000);
    CHECK((start + 5ns).ns() == 1'005);
    CHECK((start - 5ns).ns() == 995);
    CHECK((start + 1us) - start == Duration::microseconds(1));
    CHECK(start - (start + 1us) == Duration::microseconds(-1));
    CHECK(start + rondo::never == Instant::max());
    CHECK(Instant::max() + 1s == Instant::max());
    CHECK(Instant::min() - 1s == Instant::min());
    CHECK(Instant::max() - Instant::min() == rondo::never);
    CHECK(Instant::min() - Instant::min() == Duration());
    CHECK(Instant::max() - Instant::max() == Duration());
    CHECK(earlier(start, start + 1ns) == start);
    CHECK(earlier(Instant::max(), start) == start);
    STATIC_REQUIRE(Instant::min() < Instant() && Instant() < Instant::max());
}
