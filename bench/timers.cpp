// SPDX-License-Identifier: BSL-1.0
// What do timers cost, beside libev? N timers with random deadlines, the same ones for both, are
// added, cancelled, re-armed at random, and fired in one turn; "life" is add, re-arm, fire in one
// go. Idle timeouts: timers picked at random are given ever later deadlines, with a turn after
// every 64, once this has gone on for 20 times N. "rearm later" is the price of the call alone, and
// "idle timeouts" that of calls and turns: rondo puts most of the work off to the turn that needs
// it, and most of it is then never needed. Prices are per timer.
//
// libev reads no clock in ev_timer_start and ev_timer_again; beside it stand the Instant forms,
// which don't either. The Duration forms, which do, are told separately and have no target. What
// rondo puts off belongs to the price of the other operations: each stretch ends with prepare(),
// which asks for the earliest deadline as the next turn would; libev has nothing to do there.
// Firing is a whole turn on both sides, with its question to the kernel; "rondo-timers" is the
// timer phase alone.
//
// All deadlines are in the past, so that the timers that a stretch leaves can be fired after it.
// The checksum is made of their numbers in the order of firing: nobody wins by keeping no order.

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <span>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/loop/event_loop.hpp>

#include "bench/harness.hpp"

#if RONDO_BENCH_HAS_LIBEV
#include <ev.h>
#endif

namespace {

constexpr int64_t second = 1'000'000'000;

// For each timer a deadline and a place in the order of touching them. There are several sets, so
// that the branches of a small heap aren't learnt by heart.
class Workload {
public:
    struct Set {
        std::vector<uint32_t> order;
        std::vector<int64_t> when;
    };

    explicit Workload(uint32_t count) : count_(count), sets_(std::max(2U, 65536U / count)) {
        std::mt19937_64 random(count);
        std::vector<uint32_t> rank(count);
        std::iota(rank.begin(), rank.end(), 0U);
        // A second is divided into as many steps as there are timers. The deadlines differ by half
        // a step at least, which libev's doubles resolve, so their order is determined.
        const int64_t step = second / count;
        for (Set& set : sets_) {
            set.order = rank;
            std::shuffle(set.order.begin(), set.order.end(), random);
            std::shuffle(rank.begin(), rank.end(), random);
            for (const uint32_t place : rank) {
                const auto jitter =
                    static_cast<int64_t>(random() % static_cast<uint64_t>(step / 2));
                set.when.push_back(-1000 * second + place * step + jitter);
            }
            std::iota(rank.begin(), rank.end(), 0U);
        }
    }

    uint32_t count() const { return count_; }
    const Set& set(size_t number) const { return sets_[number % sets_.size()]; }

private:
    uint32_t count_;
    std::vector<Set> sets_;
};

struct Checksum {
    uint64_t value = 0;
    void fired(uint32_t timer) { value = value * 31 + timer + 1; }
};

enum class Form { instant, duration };
enum class Turn { whole, timers };

template <Form form, Turn turn = Turn::whole>
class OnRondo {
public:
    explicit OnRondo(uint32_t count) : ids_(count) {}

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < ids_.size(); ++i) {
            const auto handler = [this, i] { checksum_.fired(i); };
            const rondo::Duration delay(when[i]);
            if constexpr (form == Form::instant) {
                ids_[i] = loop_.at(base_ + delay, handler);
            } else {
                ids_[i] = loop_.after(delay, handler);
            }
        }
    }
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) move(i, rondo::Duration(when[i]));
    }
    void later(std::span<const uint32_t> picks, int64_t& at) {
        for (const uint32_t i : picks) move(i, rondo::Duration(at += 100));
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) loop_.cancel(ids_[i]);
    }
    void settle() { loop_.prepare(); }
    void settled() { loop_.poll(rondo::Phases::tasks); }  // awake again
    void fire() { loop_.poll(turn == Turn::whole ? rondo::Phases::all : rondo::Phases::timers); }

    uint64_t take_checksum() { return std::exchange(checksum_.value, 0); }

private:
    void move(uint32_t i, rondo::Duration delay) {
        if constexpr (form == Form::instant) {
            loop_.rearm(ids_[i], base_ + delay);
        } else {
            loop_.rearm(ids_[i], delay);
        }
    }

    rondo::EventLoop<rondo::EpollPoller> loop_;
    rondo::Instant base_ = loop_.now();
    std::vector<rondo::TimerId> ids_;
    Checksum checksum_;
};

#if RONDO_BENCH_HAS_LIBEV
class OnLibev {
public:
    explicit OnLibev(uint32_t count)
        : loop_(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV)), timers_(count) {
        ev_set_userdata(loop_, &checksum_);
    }
    OnLibev(const OnLibev&) = delete;
    OnLibev& operator=(const OnLibev&) = delete;
    ~OnLibev() { ev_loop_destroy(loop_); }

    void add(std::span<const int64_t> when) {
        for (uint32_t i = 0; i < timers_.size(); ++i) {
            ev_timer* const timer = &timers_[i].timer;
            timers_[i].number = i;
            timer->active = timer->pending = timer->priority = 0;
            timer->cb = on_fire;
            timer->at = seconds(when[i]);
            timer->repeat = 0;
            ev_timer_start(loop_, timer);
        }
    }
    void rearm(std::span<const uint32_t> order, std::span<const int64_t> when) {
        for (const uint32_t i : order) move(i, when[i]);
    }
    void later(std::span<const uint32_t> picks, int64_t& at) {
        for (const uint32_t i : picks) move(i, at += 100);
    }
    void cancel(std::span<const uint32_t> order) {
        for (const uint32_t i : order) ev_timer_stop(loop_, &timers_[i].timer);
    }
    void settle() {}
    void settled() {}
    void fire() { ev_run(loop_, EVRUN_NOWAIT); }

    uint64_t take_checksum() { return std::exchange(checksum_.value, 0); }

private:
    struct Numbered {
        ev_timer timer;
        uint32_t number;
    };

    static double seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }
    static void on_fire(struct ev_loop* loop, ev_timer* timer, int) {
        static_cast<Checksum*>(ev_userdata(loop))
            ->fired(reinterpret_cast<Numbered*>(timer)->number);
    }
    // Without the last store it would be periodic when it fires.
    void move(uint32_t i, int64_t ns) {
        ev_timer* const timer = &timers_[i].timer;
        timer->repeat = seconds(ns);
        ev_timer_again(loop_, timer);
        timer->repeat = 0;
    }

    struct ev_loop* loop_;
    std::vector<Numbered> timers_;
    Checksum checksum_;
};
#endif

enum class Operation { add, cancel, rearm, later, idle, fire, life };

// Does the work of an operation `times` times; only what it is named for is on the watch.
template <class Timers>
bench::Sample perform(Operation operation, Timers& timers, const Workload& work, uint32_t times) {
    bench::Stopwatch watch;
    const auto timed = [&](auto&& body) {
        watch.start();
        body();
        timers.settle();
        watch.stop();
        timers.settled();
    };
    timers.take_checksum();
    for (uint32_t k = 0; k < times; ++k) {
        const Workload::Set& first = work.set(k);
        const Workload::Set& next = work.set(k + 1);
        if (operation == Operation::add) {
            timed([&] { timers.add(first.when); });
            if (k + 1 < times) timers.cancel(next.order);
            continue;
        }
        if (operation == Operation::life) {
            timed([&] {
                timers.add(first.when);
                timers.rearm(next.order, next.when);
                timers.fire();
            });
            continue;
        }
        if (operation != Operation::rearm || k == 0) timers.add(first.when);
        if (operation == Operation::cancel) timed([&] { timers.cancel(next.order); });
        if (operation == Operation::rearm) timed([&] { timers.rearm(next.order, next.when); });
        if (operation == Operation::fire) timed([&] { timers.fire(); });
    }
    timers.fire();  // the check: what is left, in order; nothing if it was cancelled or has fired
    return {watch.total() / (double{1} * times * work.count()), timers.take_checksum()};
}

// Idle timeouts. They go on from round to round, because a heap that puts work off has to be seen
// doing it: at first nothing that was re-armed comes to the top.
template <class Timers>
class Idling {
public:
    Idling(const Workload& work, bool with_turns)
        : timers_(work.count()), picks_(work.count()), with_turns_(with_turns) {
        timers_.add(work.set(0).when);
    }

    bench::Sample run(uint32_t times) {
        bench::Stopwatch watch;
        for (; warm_up_ > 0; --warm_up_) pass(watch);
        watch = {};
        for (uint32_t k = 0; k < times; ++k) pass(watch);
        return {watch.total() / (double{1} * times * static_cast<double>(picks_.size())), 0};
    }

    // The end: all fire.
    uint64_t checksum() {
        timers_.fire();
        return timers_.take_checksum();
    }

private:
    void pass(bench::Stopwatch& watch) {
        for (uint32_t& pick : picks_) {
            random_ = random_ * 6364136223846793005U + 1442695040888963407U;  // Knuth, MMIX
            pick = static_cast<uint32_t>(((random_ >> 32) * picks_.size()) >> 32);
        }
        for (std::span<const uint32_t> left = picks_; !left.empty();) {
            const auto turn = left.first(std::min<size_t>(left.size(), 64));
            watch.start();
            timers_.later(turn, at_);
            if (!with_turns_) watch.stop();
            timers_.settle();
            timers_.settled();
            if (with_turns_) watch.stop();
            left = left.subspan(turn.size());
        }
    }

    Timers timers_;
    std::vector<uint32_t> picks_;
    uint64_t random_ = 1;
    int64_t at_ = -500 * second;
    const bool with_turns_;
    int warm_up_ = 20;
};

// What is asked of an operation at this number of timers; 0: nothing.
double target(Operation operation, uint32_t count) {
    if (operation == Operation::life || operation == Operation::idle) return 0;
    if (count <= 100) return 1.0;
    const bool many = count > 10000;
    switch (operation) {
        case Operation::add:
            return many ? 2.0 : 1.5;
        case Operation::cancel:
            return many ? 1.2 : 0.7;
        case Operation::later:
            return many ? 0.5 : 0.25;
        case Operation::fire:
            return many ? 0.65 : 0.55;
        default:
            return 0;
    }
}

class Comparison {
public:
    Comparison(bench::Report& report, uint32_t count)
        : report_(report),
          work_(count),
          times_(std::max(1U, (report.options().smoke ? 5000U : 500000U) / count)) {}

    void run(Operation operation, const char* name) {
        const double most = RONDO_BENCH_HAS_LIBEV ? target(operation, work_.count()) : 0;
        add_libev(operation);
        add<OnRondo<Form::instant>>("rondo", operation, most);
        if (operation == Operation::fire) {
            add<OnRondo<Form::instant, Turn::timers>>("rondo-timers", operation, 0);
        }
        compare(name);
    }

    // Their deadlines move with the clock, so the order of firing isn't determined.
    void run_durations(Operation operation, const char* name) {
        add_libev(operation);
        add<OnRondo<Form::duration>>("rondo", operation, 0);
        checks_.clear();
        for (auto& contender : contenders_) {
            contender.run = [run = contender.run] {
                return bench::Sample{run().ns_per_operation, 0};
            };
        }
        compare(name);
    }

private:
    template <class Timers>
    void add(const char* name, Operation operation, double most) {
        if (operation == Operation::later || operation == Operation::idle) {
            const auto idling =
                std::make_shared<Idling<Timers>>(work_, operation == Operation::idle);
            contenders_.push_back({name, [=, this] { return idling->run(times_); }, most});
            checks_.push_back([idling] { return idling->checksum(); });
        } else {
            const auto timers = std::make_shared<Timers>(work_.count());
            contenders_.push_back(
                {name, [=, this] { return perform(operation, *timers, work_, times_); }, most});
        }
    }

    void add_libev([[maybe_unused]] Operation operation) {
#if RONDO_BENCH_HAS_LIBEV
        add<OnLibev>("libev", operation, 0);
#endif
    }

    void compare(const char* name) {
        const std::string params = std::to_string(work_.count()) + " " + name;
        if (report_.compare(params, contenders_) && !checks_.empty()) {
            const uint64_t expected = checks_[0]();
            for (size_t i = 1; i < checks_.size(); ++i) {
                if (checks_[i]() != expected) report_.fail(params + ": fired in another order");
            }
        }
        contenders_.clear();
        checks_.clear();
    }

    bench::Report& report_;
    Workload work_;
    uint32_t times_;
    std::vector<bench::Contender> contenders_;
    std::vector<std::function<uint64_t()>> checks_;
};

}  // namespace

int main(int argc, char** argv) {
    bench::Report report("timers", bench::Options(argc, argv));
    if (!RONDO_BENCH_HAS_LIBEV) std::printf("  libev: missing (install libev-dev)\n");
    for (const uint32_t count : {100U, 10000U, 1000000U}) {
        if (report.options().smoke && count > 10000) continue;
        Comparison comparison(report, count);
        comparison.run(Operation::add, "add");
        comparison.run(Operation::cancel, "cancel");
        comparison.run(Operation::rearm, "rearm");
        comparison.run(Operation::later, "rearm later");
        comparison.run(Operation::idle, "idle timeouts");
        comparison.run(Operation::fire, "fire");
        comparison.run(Operation::life, "life");
        comparison.run_durations(Operation::add, "add (Duration)");
        comparison.run_durations(Operation::rearm, "rearm (Duration)");
        comparison.run_durations(Operation::later, "rearm later (Duration)");
    }
    return report.finish();
}
