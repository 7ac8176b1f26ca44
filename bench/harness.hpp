// SPDX-License-Identifier: BSL-1.0
#pragma once
// How the benchmarks measure: contenders take turns in one process, each round gives one ratio per
// contender to the baseline of the same round (the first contender), and what is reported is the
// median ratio with its 95 % interval. Machines are noisy; a ratio within a round is much less so
// than a time. In the same way rondo is compared with the best rival, that of the least median.
//
// Where code and data lie is drawn once per process, and can cost or save some percent. The
// interval holds only the noise within the process: another run, or build, may be outside of it.
//
// Every contender returns a checksum of the work it did; the rounds fail if they differ, so nobody
// wins by doing less. A target is met, open or missed: see Summary::verdict().

#include <unistd.h>

#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/options.hpp"
#include "bench/record.hpp"
#include "bench/statistics.hpp"

namespace bench {

/// What one contender did in one round.
struct Sample {
    double ns_per_operation = 0;
    uint64_t checksum = 0;
};

/// A way to do the work.
struct Contender {
    std::string name;
    std::function<Sample()> run;
    double target = 0;        // the most that its ratio to the baseline may be; 0: none
    double rival_target = 0;  // and to the best rival

    bool is_ours() const { return name.starts_with("rondo"); }
    bool is_rival() const { return !is_ours() && !name.starts_with("raw"); }
};

class Report {
public:
    Report(std::string bench, Options options)
        : bench_(std::move(bench)), options_(std::move(options)) {
        std::printf("%s: ratio to the baseline, median [95 %% interval] of %d rounds\n",
                    bench_.c_str(), options_.pairs);
    }

    const Options& options() const { return options_; }
    /// From here on at most so many: for what takes seconds a round.
    void limit_rounds(int most) { options_.pairs = std::min(options_.pairs, most); }

    /// Lets the contenders take turns; the first one is the baseline. False: `--only` asks for
    /// others.
    bool compare(const std::string& params, const std::vector<Contender>& contenders,
                 const char* metric = "time") {
        if (!options_.wants(params) || contenders.empty()) return false;
        const Rounds rounds = play(params, contenders);
        const size_t rival = best_rival(contenders, rounds);
        for (size_t i = 0; i < contenders.size(); ++i) {
            row(params, contenders, metric, rounds, i, rival);
        }
        return true;
    }

    /// A figure that isn't a time, beside the first one that was told of these parameters.
    /// `most`: a limit, above which the run fails.
    void tell(const std::string& params, const std::string& contender, const char* metric,
              const char* unit, double value, double most = 0) {
        const std::string key = params + '\n' + metric;
        if (told_ != key) first_told_ = value;
        told_ = key;
        const bool above = most != 0 && value > most;
        std::printf("  %-28s %-15s %9.3f %s, %s%s\n", params.c_str(), contender.c_str(), value,
                    unit, metric, above ? " TOO MUCH" : "");
        std::fflush(stdout);
        Record record(bench_, params, contender);
        record.add("metric", metric).add("unit", unit).add("median", value).add("min", value);
        record.add("max", value).add("rounds", 1).add("ratio", value / first_told_);
        if (most != 0) record.add("limit", most);
        keep(record);
        if (above) fail(params + ": " + contender + " is above its limit");
    }

    /// A contender that takes no part, and the package that would bring it.
    void missing(const std::string& contender, const char* package) {
        std::printf("  %s: missing (install %s)\n", contender.c_str(), package);
        keep(Record(bench_, "", contender).add("missing", package));
    }

    /// What this machine can't do: all of these parameters, or a contender of them. Both may be
    /// empty.
    void not_available(const std::string& params, const std::string& contender,
                       const std::string& reason) {
        const char* const between = params.empty() || contender.empty() ? "" : ", ";
        const std::string what = params + between + contender;
        std::printf("  %s%sn.a. (%s)\n", what.c_str(), what.empty() ? "" : ": ", reason.c_str());
        std::fflush(stdout);
        keep(Record(bench_, params, contender).add("not_available", reason));
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
            FILE* const file = std::fopen(options_.json.c_str(), "w");
            if (file == nullptr || std::fprintf(file, "[\n%s\n]\n", records_.c_str()) < 0 ||
                std::fclose(file) != 0) {
                std::perror(options_.json.c_str());
                return 1;
            }
        }
        return failed_ ? 1 : 0;
    }

private:
    using Rounds = std::vector<std::vector<double>>;  // of each contender, ns per operation

    Rounds play(const std::string& params, const std::vector<Contender>& contenders) {
        const size_t n = contenders.size();
        Rounds rounds(n);
        std::vector<uint64_t> sums(n);
        for (size_t i = 0; i < n; ++i) sums[i] = contenders[i].run().checksum;  // the warm-up
        check(params, contenders, sums);
        const uint64_t first = sums[0];
        for (int round = 0; round < options_.pairs; ++round) {
            show_progress(params, round);
            for (const size_t who : order_of(n, round)) {
                const Sample sample = contenders[who].run();
                sums[who] = sample.checksum;
                rounds[who].push_back(sample.ns_per_operation);
            }
            check(params, contenders, sums);
        }
        show_progress("", 0);
        std::printf("  %-28s checksum %llx\n", params.c_str(),
                    static_cast<unsigned long long>(first));
        return rounds;
    }

    // Another permutation in each round, so that nobody is always behind the same other. It depends
    // on the round's number alone; std::shuffle() and the distributions differ between libraries.
    static std::vector<size_t> order_of(size_t n, int round) {
        std::vector<size_t> order(n);
        for (size_t i = 0; i < n; ++i) order[i] = i;
        std::mt19937 random(static_cast<std::mt19937::result_type>(round));
        for (size_t left = n; left > 1; --left) std::swap(order[left - 1], order[random() % left]);
        return order;
    }

    void check(const std::string& params, const std::vector<Contender>& contenders,
               const std::vector<uint64_t>& sums) {
        for (size_t i = 1; i < sums.size(); ++i) {
            if (sums[i] == sums[0]) continue;
            fail(params + ": " + contenders[i].name + " did other work than " + contenders[0].name);
        }
    }

    // Its number, or that of no contender.
    static size_t best_rival(const std::vector<Contender>& contenders, const Rounds& rounds) {
        size_t best = contenders.size();
        for (size_t i = 0; i < contenders.size(); ++i) {
            if (!contenders[i].is_rival()) continue;
            if (best == contenders.size() ||
                Summary(rounds[i]).median < Summary(rounds[best]).median) {
                best = i;
            }
        }
        return best;
    }

    static Summary ratios(const std::vector<double>& some, const std::vector<double>& others) {
        std::vector<double> all;
        for (size_t i = 0; i < some.size(); ++i) all.push_back(some[i] / others[i]);
        return Summary(all);
    }

    void row(const std::string& params, const std::vector<Contender>& contenders,
             const char* metric, const Rounds& rounds, size_t i, size_t rival) {
        const Contender& contender = contenders[i];
        const Summary time(rounds[i]);
        const Summary ratio = ratios(rounds[i], rounds[0]);
        std::printf("  %-28s %-15s %9.1f ns  %6.3f [%.3f %.3f]", params.c_str(),
                    contender.name.c_str(), time.median, ratio.median, ratio.low, ratio.high);
        Record record(bench_, params, contender.name);
        record.add("metric", metric).add("unit", "ns").add("median", time.median);
        record.add("min", time.min).add("max", time.max).add("rounds", options_.pairs);
        record.add("ratio", ratio.median).add("low", ratio.low).add("high", ratio.high);
        judge(record, "target", contender.target, ratio);
        if (contender.is_ours() && rival < contenders.size()) {
            const Summary beside = ratios(rounds[i], rounds[rival]);
            std::printf("  %.3f [%.3f %.3f] of %s", beside.median, beside.low, beside.high,
                        contenders[rival].name.c_str());
            record.add("rival", contenders[rival].name).add("rival_ratio", beside.median);
            record.add("rival_low", beside.low).add("rival_high", beside.high);
            judge(record, "rival_target", contender.rival_target, beside);
        }
        std::printf("\n");
        std::fflush(stdout);
        keep(record);
    }

    static void judge(Record& record, const char* key, double target, const Summary& ratio) {
        if (target == 0) return;
        std::printf("  <= %.2f %s", target, ratio.verdict(target));
        record.add(key, target);
    }

    // One line, only on a terminal, and gone when the rows are told.
    void show_progress(const std::string& params, int round) const {
        if (::isatty(STDERR_FILENO) == 0) return;
        std::fprintf(stderr, "\r\033[K");
        if (!params.empty()) {
            std::fprintf(stderr, "  %s %s: round %d of %d", bench_.c_str(), params.c_str(),
                         round + 1, options_.pairs);
        }
        std::fflush(stderr);
    }

    void keep(const Record& record) {
        if (!records_.empty()) records_ += ",\n";
        records_ += "  " + record.text();
    }

    std::string bench_;
    Options options_;
    std::string records_;
    std::string told_;
    double first_told_ = 0;
    bool failed_ = false;
};

}  // namespace bench
