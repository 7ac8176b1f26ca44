// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the benchmarks ask of the machine: processors of their own, as many descriptors as there may
// be, and how much memory and time a process has used.

#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace bench {

/// Ends the benchmark: figures of half the work are none.
[[noreturn]] inline void fail(const char* call) {
    std::perror(call);
    std::exit(1);
}
/// For calls that answer -1 and set errno.
inline int must(int result, const char* call) {
    if (result < 0) fail(call);
    return result;
}

/// The processors that the process may use when this is made.
class Processors {
public:
    Processors() { must(::sched_getaffinity(0, sizeof allowed_, &allowed_), "sched_getaffinity"); }

    bool two() const { return CPU_COUNT(&allowed_) >= 2; }
    /// Puts the calling thread on the n-th one; where there is but one, it is there already.
    void pin(int n) const {
        if (!two()) return;
        cpu_set_t one;
        CPU_ZERO(&one);
        for (size_t at = 0; at < CPU_SETSIZE; ++at) {
            if (CPU_ISSET(at, &allowed_) && n-- == 0) CPU_SET(at, &one);
        }
        must(::sched_setaffinity(0, sizeof one, &one), "sched_setaffinity");
    }

private:
    cpu_set_t allowed_{};
};

/// As many descriptors as the hard limit allows; answers how many.
inline size_t raise_descriptor_limit() {
    rlimit limit{};
    must(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    must(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    return static_cast<size_t>(std::min<rlim_t>(limit.rlim_max, 1'000'000'000));
}

/// Bytes of a process' own memory, counted page by page: the figures in status are approximate.
inline double memory_of(pid_t process) {
    std::ifstream pages("/proc/" + std::to_string(process) + "/smaps_rollup");
    double kib = -1;
    for (std::string word; pages >> word;) {
        if (word == "Anonymous:") pages >> kib;
    }
    if (kib < 0) fail("smaps_rollup");
    return kib * 1024;
}

/// Nanoseconds that all threads of a process have been on a processor. Another process must be
/// asleep: what it does at the moment counts from the next tick on.
inline double cpu_ns_of(pid_t process) {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(process, &clock) != 0) return 0;
    must(::clock_gettime(clock, &time), "clock_gettime");
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

}  // namespace bench
