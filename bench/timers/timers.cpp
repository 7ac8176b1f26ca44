// SPDX-License-Identifier: BSL-1.0
// What do timers cost? N timers with random deadlines, the same for all, are added, cancelled,
// re-armed at random and fired in one turn; "life" is add, re-arm, fire. Timers picked at random
// are given ever later deadlines, as idle timeouts are. These go by a clock that is moved by hand;
// and a million timers live for a second of real time. Prices are per timer.
//
// Firing is a whole turn for all, with its question to the kernel; "rondo-timers" is the timer
// phase alone. Objects and callbacks are there before, but for rondo's, which adding makes.
//
// --list tells the contenders. --count CONTENDER OPERATION N TIMES runs one alone and takes no
// time, for callgrind, to which --toggle-collect='*::stretch<*' tells the calls and those that they
// need before from the rest (of fire '*::fire()', later '*::calls()', idle '*whole_turn*').

#if RONDO_BENCH_HAS_LIBEV
#include "bench/timers/on_libev.hpp"
#endif
#if RONDO_BENCH_HAS_LIBEVENT
#include "bench/timers/on_libevent.hpp"
#endif
#if RONDO_BENCH_HAS_LIBUV
#include "bench/timers/on_libuv.hpp"
#endif
#if RONDO_BENCH_HAS_ASIO
#include "bench/timers/on_asio.hpp"
#endif

#include <memory>

#include "bench/timers/million.hpp"
#include "bench/timers/on_rondo.hpp"
#include "bench/timers/operations.hpp"

namespace {

using bench::Operation;

// Calls f.operator()<Timers>() for each contender; the first is the baseline.
template <class F>
void for_each_contender(F&& f) {
#if RONDO_BENCH_HAS_LIBEV
    f.template operator()<bench::OnLibev>();
    f.template operator()<bench::OnLibevLazy>();
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    f.template operator()<bench::OnLibevent>();
    f.template operator()<bench::OnLibeventCommon>();
#endif
#if RONDO_BENCH_HAS_LIBUV
    f.template operator()<bench::OnLibuv>();
#endif
#if RONDO_BENCH_HAS_ASIO
    f.template operator()<bench::OnAsio>();
#endif
    f.template operator()<bench::OnRondo<bench::Form::instant>>();
    f.template operator()<bench::OnRondo<bench::Form::duration>>();
    f.template operator()<bench::OnRondo<bench::Form::instant, bench::Turn::timers>>();
}

// What rondo may take at most, in times of libev; 0: nothing is asked. In "rearm later" that is the
// price of the call alone: what rondo puts off by it is off the watch there. The whole price, with
// what was put off, is that of "idle timeouts".
double target(Operation operation, uint32_t count) {
    if (!RONDO_BENCH_HAS_LIBEV) return 0;
    const bool few = count <= 100;
    const bool many = count > 10000;
    switch (operation) {
        case bench::op_add:
            return few ? 1.0 : many ? 1.4 : 1.1;
        case bench::op_cancel:
            return few ? 1.0 : many ? 1.0 : 0.65;
        case bench::op_fire:
            return few ? 1.0 : many ? 0.6 : 0.5;
        case bench::op_later:
            return few ? 1.0 : many ? 0.4 : 0.2;
        case bench::op_idle:
            return 1.0;
        default:
            return 0;
    }
}

// And in times of the best of the others. In "rearm later" that is libev-lazy, whose call is a
// store and none of libev's; the rest of its price is in "idle timeouts".
double rival_target(Operation operation, double beside_libev) {
    const bool below = beside_libev > 0 && beside_libev < 1;
    return below && operation != bench::op_later ? 1.0 : 0;
}

class Comparison {
public:
    Comparison(bench::Report& report, uint32_t count) : report_(report), work_(count) {}

    // Contenders are made when they are needed and no longer kept: a million timers of each are a
    // gigabyte.
    void run() {
        if (wants(bench::random_operations)) compare_random();
        if (wants(bench::idle_operations)) compare_idle();
    }

private:
    struct Player {
        const char* name;
        unsigned operations;
        std::function<bench::Sample(Operation)> sample;
        std::function<uint64_t()> checksum;
    };

    bool wants(unsigned operations) const {
        for (const auto& named : bench::operation_names) {
            const bool asked = report_.options().wants(parameters(named.name));
            if ((named.operation & operations) != 0 && asked) return true;
        }
        return false;
    }

    void compare_random() {
        const uint32_t times =
            std::max(1U, report_.options().size(300000U, 100000U, 5000U) / work_.count());
        for_each_contender([&]<class Timers>() { enter_cycle<Timers>(times); });
        for (const auto& named : bench::operation_names) {
            if ((named.operation & bench::random_operations) != 0) compare(named);
        }
        players_.clear();
    }

    void compare_idle() {
        for_each_contender([&]<class Timers>() { enter_idling<Timers>(); });
        for (const auto& named : bench::operation_names) {
            if ((named.operation & bench::idle_operations) != 0) compare(named);
        }
        check_idling();
        players_.clear();
    }

    template <class Timers>
    void enter_cycle(uint32_t times) {
        if constexpr ((Timers::operations & bench::random_operations) != 0) {
            const auto cycle = std::make_shared<bench::Cycle<Timers, bench::Watch>>(work_, times);
            players_.push_back({Timers::name, Timers::operations,
                                [=](Operation operation) { return cycle->sample(operation); },
                                nullptr});
        }
    }

    template <class Timers>
    void enter_idling() {
        if constexpr ((Timers::operations & bench::idle_operations) != 0) {
            const auto idling = std::make_shared<bench::Idling<Timers>>(work_.count());
            const uint32_t touches = report_.options().size(300000U, 100000U, 5000U);
            players_.push_back({Timers::name, Timers::operations,
                                [=](Operation operation) {
                                    return idling->template sample<bench::Watch>(operation,
                                                                                 touches);
                                },
                                [=] { return idling->checksum(); }});
        }
    }

    void compare(const bench::Named& named) {
        std::vector<bench::Contender> contenders;
        for (const Player& player : players_) {
            if ((player.operations & named.operation) == 0) continue;
            bench::Contender contender{player.name, [&] { return player.sample(named.operation); },
                                       0, 0};
            if (contender.name == "rondo-epoll") {
                contender.target = target(named.operation, work_.count());
                contender.rival_target = rival_target(named.operation, contender.target);
            }
            contenders.push_back(std::move(contender));
        }
        report_.compare(parameters(named.name), contenders);
    }

    void check_idling() {
        const uint64_t expected = players_[0].checksum();
        for (size_t i = 1; i < players_.size(); ++i) {
            if (players_[i].checksum() == expected) continue;
            report_.fail(parameters("idle timeouts") + ": those of " + players_[i].name +
                         " went off at other times than those of " + players_[0].name);
        }
    }

    std::string parameters(const char* name) const {
        return std::to_string(work_.count()) + " " + name;
    }

    bench::Report& report_;
    bench::Workload work_;
    std::vector<Player> players_;
};

// Seconds of real time for each: there is no quick form.
void compare_millions(bench::Report& report) {
    const auto& options = report.options();
    const uint32_t count = options.smoke() ? 10'000 : 1'000'000;
    const std::string params = options.smoke() ? "million (10000)" : "million";
    if (options.length == bench::Options::Length::quick || !options.wants(params)) return;
    const bench::MillionWork work(count, (options.smoke() ? 30 : 1500) * bench::millisecond,
                                  (options.smoke() ? 100 : 1000) * bench::millisecond);
    std::vector<bench::Contender> contenders;
    std::vector<std::function<bench::Punctuality()>> observations;
    for_each_contender([&]<class Timers>() {
        if constexpr ((Timers::operations & bench::op_million) != 0) {
            const auto million = std::make_shared<bench::Million<Timers>>(work);
            contenders.push_back({Timers::name, [=] { return million->run(); }});
            observations.push_back([=] { return million->observe(); });
        }
    });
    report.compare(params, contenders, "CPU time");
    std::vector<bench::Punctuality> observed;
    for (const auto& observe : observations) observed.push_back(observe());
    for (size_t i = 0; i < observed.size(); ++i) {
        report.tell(params, contenders[i].name, "turns", "waits", observed[i].turns);
    }
    for (size_t i = 0; i < observed.size(); ++i) {
        report.tell(params, contenders[i].name, "lateness", "us", observed[i].lateness_us);
    }
}

template <class Timers>
void count_one(Operation operation, uint32_t count, uint32_t times) {
    if constexpr ((Timers::operations & bench::random_operations) != 0) {
        if ((operation & bench::random_operations) != 0) {
            const bench::Workload work(count);
            bench::Cycle<Timers, bench::NoWatch>(work, times).play(operation);
        }
    }
    if constexpr ((Timers::operations & bench::idle_operations) != 0) {
        if ((operation & bench::idle_operations) != 0) {
            bench::Idling<Timers>(count).template sample<bench::NoWatch>(operation, times * count);
        }
    }
}

int count_words(char** words) {
    const std::string who = words[0];
    const std::string what = words[1];
    const int count = std::atoi(words[2]);
    const int times = std::atoi(words[3]);
    bool done = false;
    for (const auto& named : bench::operation_names) {
        if (what != named.word || count < 2 || times < 1) continue;
        for_each_contender([&]<class Timers>() {
            if (who != Timers::name || (Timers::operations & named.operation) == 0) return;
            count_one<Timers>(named.operation, static_cast<uint32_t>(count),
                              static_cast<uint32_t>(times));
            done = true;
        });
    }
    return done ? 0 : 2;
}

void tell_missing(bench::Report& report) {
    if (!RONDO_BENCH_HAS_LIBEV) report.missing("libev", "libev-dev");
    if (!RONDO_BENCH_HAS_LIBEVENT) report.missing("libevent", "libevent-dev");
    if (!RONDO_BENCH_HAS_LIBUV) report.missing("libuv", "libuv1-dev");
    if (!RONDO_BENCH_HAS_ASIO) report.missing("asio", "libasio-dev");
}

}  // namespace

int main(int argc, char** argv) {
    const std::string first = argc > 1 ? argv[1] : "";
    if (first == "--list") {
        for_each_contender([]<class Timers>() { std::printf("%s\n", Timers::name); });
        return 0;
    }
    const bench::Processors processors;
    processors.pin(0);
    if (first == "--count" && argc == 6) return count_words(argv + 2);

    bench::Report report("timers", bench::Options(argc, argv));
    tell_missing(report);
    for (const uint32_t count : {100U, 10000U}) Comparison(report, count).run();
    report.limit_rounds(3);
    if (report.options().length == bench::Options::Length::full) {
        Comparison(report, 1'000'000).run();
    }
    compare_millions(report);
    return report.finish();
}
