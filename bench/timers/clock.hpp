// SPDX-License-Identifier: BSL-1.0
#pragma once
// A clock that is moved by hand, shown to all contenders in the same way: this program defines
// clock_gettime() and gettimeofday() itself, and the libraries then call these. They read the real
// clock, so that a reading costs what it costs, and answer what the clock at hand says.
// So a thousand seconds of deadlines can pass at once, and stand still while timers are made.
//
// Deadlines in the past would need no such clock, but libuv has none: its timeouts are unsigned
// milliseconds from now. Only the timerfd of asio still goes by the kernel's time.
//
// To be included by one source only.

#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

#include <cstdint>
#include <utility>

#include "bench/statistics.hpp"
#include "bench/system.hpp"

namespace bench {

inline constexpr int64_t microsecond = 1'000;
inline constexpr int64_t millisecond = 1'000'000;
inline constexpr int64_t second = 1'000'000'000;

/// What the clocks show; null: the real time.
inline const timespec* shown_time = nullptr;

/// A clock that stands still until it is moved.
class ManualClock {
public:
    void advance(int64_t ns) {
        ns += time_.tv_nsec;
        time_.tv_sec += ns / second;
        time_.tv_nsec = ns % second;
    }

private:
    friend class Showing;
    timespec time_{1000, 0};
};

/// As long as it lives the clocks show this one.
class Showing {
public:
    explicit Showing(const ManualClock& clock) { shown_time = &clock.time_; }
    Showing(const Showing&) = delete;
    Showing& operator=(const Showing&) = delete;
    ~Showing() { shown_time = nullptr; }
};

/// Tells real time whatever is shown.
class Watch {
public:
    Watch() { shown_time = hidden_; }
    void start() {
        hidden_ = std::exchange(shown_time, nullptr);
        before_ = stopwatch_.total();
        stopwatch_.start();
        shown_time = hidden_;
    }
    /// Nanoseconds since start().
    double stop() {
        shown_time = nullptr;
        stopwatch_.stop();
        shown_time = hidden_;
        return stopwatch_.total() - before_;
    }

private:
    const timespec* hidden_ = std::exchange(shown_time, nullptr);
    Stopwatch
        stopwatch_;  // measures what reading costs, so it is made while the real time is shown
    double before_ = 0;
};

/// Reads no clock: for instructions that are counted.
struct NoWatch {
    void start() {}
    double stop() { return 0; }
};

}  // namespace bench

namespace bench::real {

/// The C library's own function.
template <class Function>
Function* find(const char* name) {
    auto* const function = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
    if (function == nullptr) fail(name);
    return function;
}

inline int (*clock_gettime)(clockid_t, timespec*) = nullptr;
inline int (*gettimeofday)(timeval*, void*) = nullptr;

}  // namespace bench::real

/// Time that the processor was used is never the one at hand.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
    using namespace bench;
    if (real::clock_gettime == nullptr) {
        real::clock_gettime = real::find<int(clockid_t, timespec*)>("clock_gettime");
    }
    const int result = real::clock_gettime(clock, time);
    if (shown_time == nullptr) return result;
    const bool of_processor =
        clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    if (!of_processor) *time = *shown_time;
    return result;
}

/// libev's clock for the date, by which it notices that somebody has set it.
extern "C" int gettimeofday(timeval* time, void* zone) noexcept {
    using namespace bench;
    if (real::gettimeofday == nullptr) {
        real::gettimeofday = real::find<int(timeval*, void*)>("gettimeofday");
    }
    const int result = real::gettimeofday(time, zone);
    if (shown_time == nullptr) return result;
    time->tv_sec = shown_time->tv_sec;
    time->tv_usec = static_cast<suseconds_t>(shown_time->tv_nsec / microsecond);
    return result;
}
