// SPDX-License-Identifier: BSL-1.0
// What becomes of the cost as there is more of everything? Three questions.
//
// Descriptors: ten events per turn, among ever more descriptors. "10 of N": always the same ten,
// the others stay idle; a loop that looks at all of them shows. "10 round N": ten tokens hop from
// eventfd to eventfd and so come to all of them; what grows is the memory that is gone through, in
// the kernel more than in the loop.
//
// Timers: add and fire each, with up to ten million outstanding. Threads: a loop on each of two.

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "bench/harness.hpp"
#include "bench/scaling/group.hpp"
#include "bench/scaling/loops.hpp"
#include "bench/scaling/timers.hpp"
#include "bench/system.hpp"

namespace {

constexpr size_t active = 10;
constexpr size_t most_watched = 19000;

void compare_descriptors(bench::Report& report, size_t count, size_t reach) {
    const std::string params = std::to_string(active) + (reach == active ? " of " : " round ") +
                               std::to_string(count) + " descriptors";
    if (!report.options().wants(params)) return;
    // Enough to come to all of them.
    const auto hops = std::max<uint64_t>(report.options().size(2000U, 500U, 100U), reach / active);
    bench::Ring ring(count, active, reach);
    report.compare(params, bench::watchers(ring, hops, count == most_watched ? 1.03 : 0));
}

void scale_descriptors(bench::Report& report, size_t limit) {
    const size_t spare = 100;  // for the loops and the standard streams
    const std::vector<size_t> counts = report.options().size<std::vector<size_t>>(
        {10, 100, 1000, 10000, most_watched}, {10, 1000, most_watched}, {10, 1000});
    for (const size_t count : counts) {
        if (count + spare > limit) {
            report.not_available(std::to_string(count) + " descriptors", "",
                                 "at most " + std::to_string(limit) + " may be open");
            continue;
        }
        compare_descriptors(report, count, active);
        if (count > active) compare_descriptors(report, count, count);
    }
}

double available_memory() {
    std::ifstream file("/proc/meminfo");
    double kib = 0;
    for (std::string word; file >> word;) {
        if (word == "MemAvailable:") file >> kib;
    }
    return kib * 1024;
}

void scale_timers(bench::Report& report) {
    const bench::Options& options = report.options();
    const uint32_t most = options.size(10'000'000U, 100'000U, 10'000U);
    for (uint32_t count = 1000; count <= most; count *= 10) {
        const std::string params = std::to_string(count) + " timers";
        if (!options.wants(params)) continue;
        const bool many = count > 1'000'000;
        if (many && available_memory() < 3e9) {
            report.not_available(params, "", "needs 3 GB of memory");
            continue;
        }
        // Fifteen rounds of so many would take minutes. Nothing comes after them.
        if (many) report.limit_rounds(2);
        const bench::Deadlines deadlines(count);
        const uint32_t passes = std::max(1U, options.size(300'000U, 100'000U, 10'000U) / count);
        report.compare(params, bench::timer_contenders(deadlines, passes));
    }
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Processors processors;
    const size_t limit = bench::raise_descriptor_limit();
    bench::Report report("scaling", bench::Options(argc, argv));
    bench::tell_missing(report);
    // First of all: afterwards this thread is bound to one processor, and so are those it starts.
    for (const size_t threads : {size_t{1}, size_t{2}}) {
        bench::compare_groups(report, threads, processors);
    }
    processors.pin(0);
    scale_descriptors(report, limit);
    scale_timers(report);
    return report.finish();
}
