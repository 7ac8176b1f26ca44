// SPDX-License-Identifier: BSL-1.0
#pragma once
// How the benchmarks measure: contenders take turns in one process, each round gives one ratio per
// contender to the baseline of the same round (the first contender, or the fastest of the first
// few), and what is reported is the median ratio with its 95 % interval (from the order statistics
// of the ratios: no distribution is assumed). Machines are noisy; a ratio of neighbours is much
// less so than a time.
//
// Every contender returns a checksum of the work it did; the rounds fail if they differ, so nobody
// wins by doing less. A target is missed when the lower end of the interval is above it.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
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

/// What one contender did in one round.
struct Sample {
    double ns_per_operation = 0;
    uint64_t checksum = 0;
};

/// A way to do the work. `target`: the most that its ratio to the baseline may be; 0: none.
struct Contender {
    std::string name;
    std::function<Sample()> run;
    double target = 0;
};

struct Options {
    bool smoke = false;
    int pairs = 15;
    std::string json;
    std::string only;  // a part of the parameters' text

    Options(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string word = argv[i];
            const bool more = i + 1 < argc;
            if (word == "--smoke") {
                smoke = true;
                pairs = 2;
            } else if (word == "--pairs" && more) {
                pairs = std::atoi(argv[++i]);
            } else if (word == "--json" && more) {
                json = argv[++i];
            } else if (word == "--only" && more) {
                only = argv[++i];
            } else {
                std::fprintf(stderr,
                             "usage: %s [--smoke] [--pairs N] [--only TEXT] [--json FILE]\n",
                             argv[0]);
                std::exit(2);
            }
        }
    }
};

/// Median and the 95 % interval of the median.
struct Summary {
    double median, low, high, min, max;

    explicit Summary(std::vector<double> values) {
        std::sort(values.begin(), values.end());
        const auto n = values.size();
        const auto at = [&](double rank) {
            const double clipped = std::min(std::max(rank, 0.0), static_cast<double>(n - 1));
            return values[static_cast<size_t>(clipped)];
        };
        median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
        // The ranks n/2 -+ 0.98 sqrt(n) enclose the median with 95 % probability.
        const double half = static_cast<double>(n) / 2;
        const double reach = 0.98 * std::sqrt(static_cast<double>(n));
        low = at(std::floor(half - reach));
        high = at(std::ceil(half + reach) - 1);
        min = values.front();
        max = values.back();
    }
};

class Report {
public:
    Report(std::string bench, Options options) : bench_(std::move(bench)), options_(options) {
        std::printf("%s: ratio to the baseline, median [95 %% interval] of %d rounds\n",
                    bench_.c_str(), options_.pairs);
    }

    /// Lets the contenders take turns. The baseline of a round is the fastest of the first `rivals`
    /// ones. False: `--only` asks for others.
    bool compare(const std::string& params, const std::vector<Contender>& contenders,
                 size_t rivals = 1) {
        if (params.find(options_.only) == std::string::npos) return false;
        const size_t n = contenders.size();
        std::vector<std::vector<double>> times(n);
        std::vector<std::vector<double>> ratios(n);
        for (const auto& contender : contenders) contender.run();  // warm-up
        for (int round = 0; round < options_.pairs; ++round) {
            const std::vector<Sample> samples = play(contenders, round % 2 != 0);
            double baseline = samples[0].ns_per_operation;
            for (size_t i = 1; i < rivals; ++i) {
                baseline = std::min(baseline, samples[i].ns_per_operation);
            }
            for (size_t i = 0; i < n; ++i) {
                if (samples[i].checksum != samples[0].checksum) {
                    fail(params + ": " + contenders[i].name + " did other work than " +
                         contenders[0].name);
                }
                times[i].push_back(samples[i].ns_per_operation);
                ratios[i].push_back(samples[i].ns_per_operation / baseline);
            }
        }
        for (size_t i = 0; i < n; ++i) {
            row(params, contenders[i], Summary(times[i]), Summary(ratios[i]));
        }
        return true;
    }

    /// A figure that isn't a time.
    void tell(const std::string& params, const std::string& contender, const char* metric,
              const char* unit, double value) {
        std::printf("  %-28s %-12s %9.3f %s %s\n", params.c_str(), contender.c_str(), value, metric,
                    unit);
        char text[512];
        std::snprintf(text, sizeof text,
                      "  {\"bench\": \"%s\", \"params\": \"%s\", \"contender\": \"%s\", "
                      "\"metric\": \"%s\", \"unit\": \"%s\", \"value\": %.4f}",
                      bench_.c_str(), params.c_str(), contender.c_str(), metric, unit, value);
        add_json(text);
    }

    /// Something that must not be, whatever the machine: makes finish() answer 1.
    void fail(const std::string& what) {
        std::printf("%s %s\n", bench_.c_str(), what.c_str());
        failed_ = true;
    }

    /// 1 if fail() was called, also for work that differed. A missed target is reported but isn't
    /// an error: machines differ.
    int finish() {
        if (!options_.json.empty()) {
            if (FILE* const file = std::fopen(options_.json.c_str(), "w")) {
                std::fprintf(file, "[\n%s\n]\n", json_.c_str());
                std::fclose(file);
            } else {
                std::perror(options_.json.c_str());
                return 1;
            }
        }
        return failed_ ? 1 : 0;
    }

    const Options& options() const { return options_; }

private:
    // Every other round goes backwards, so that no one is always behind the same other.
    static std::vector<Sample> play(const std::vector<Contender>& contenders, bool backwards) {
        const size_t n = contenders.size();
        std::vector<Sample> samples(n);
        for (size_t i = 0; i < n; ++i) {
            const size_t who = backwards ? n - 1 - i : i;
            samples[who] = contenders[who].run();
        }
        return samples;
    }

    void row(const std::string& params, const Contender& contender, const Summary& time,
             const Summary& ratio) {
        const char* verdict = "";
        if (contender.target != 0) verdict = ratio.low > contender.target ? "MISSED" : "ok";
        std::printf("  %-28s %-12s %9.1f ns  %6.3f [%.3f %.3f]", params.c_str(),
                    contender.name.c_str(), time.median, ratio.median, ratio.low, ratio.high);
        if (contender.target != 0) std::printf("  <= %.2f %s", contender.target, verdict);
        std::printf("\n");
        std::fflush(stdout);
        char text[512];
        std::snprintf(
            text, sizeof text,
            "  {\"bench\": \"%s\", \"params\": \"%s\", \"contender\": \"%s\", \"metric\": "
            "\"time\", \"unit\": \"ns\", \"median\": %.2f, \"min\": %.2f, \"max\": %.2f, "
            "\"rounds\": %d, \"ratio\": %.4f, \"low\": %.4f, \"high\": %.4f}",
            bench_.c_str(), params.c_str(), contender.name.c_str(), time.median, time.min, time.max,
            options_.pairs, ratio.median, ratio.low, ratio.high);
        add_json(text);
    }

    void add_json(const char* text) {
        if (!json_.empty()) json_ += ",\n";
        json_ += text;
    }

    std::string bench_;
    Options options_;
    std::string json_;
    bool failed_ = false;
};

}  // namespace bench
