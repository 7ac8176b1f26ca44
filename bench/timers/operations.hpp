// SPDX-License-Identifier: BSL-1.0
#pragma once
// The operations, for any contender; only what an operation is named for is on the watch. To it
// belongs settle(), the work that was put off, where there can be any: after cancelling and
// re-arming. Adding puts nothing off, because no earlier timer is left when it begins: those of
// the round before have all fired, and with them went what rondo's heap keeps of cancelled ones.
// Each contender has a clock of its own that is moved by hand.

#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <span>

#include "bench/harness.hpp"
#include "bench/timers/workload.hpp"

namespace bench {

/// Contenders are made while their clock is shown, so that none sees time go back.
template <class Timers>
Timers made_at(const ManualClock& clock, uint32_t count) {
    const Showing showing(clock);
    return Timers(count);
}

template <class Timers>
void pass_time(Timers& timers, ManualClock& clock, int64_t ns) {
    clock.advance(ns);
    if constexpr (requires { timers.notice(); }) timers.notice();
}

/// N timers are added and fired, added and cancelled, added and re-armed at random and fired.
///
/// A round measures all of it, as a million timers of a slow contender take seconds. What isn't
/// asked for yet is kept: the next operation's rounds find it, still one for each contender.
template <class Timers, class Watch>
class Cycle {
public:
    Cycle(const Workload& work, uint32_t times)
        : work_(work), times_(times), timers_(made_at<Timers>(clock_, work.count())) {}

    Sample sample(Operation operation) {
        std::deque<Sample>& kept = kept_[operation];
        if (kept.empty()) play(Timers::operations & random_operations);
        const Sample first = kept.front();
        kept.pop_front();
        return first;
    }

    /// One round of what the wanted operations need.
    void play(unsigned wanted) {
        const Showing showing(clock_);
        round_.clear();
        for (uint32_t k = 0; k < times_; ++k) {
            const Workload::Set& first = work_.set(k);
            const Workload::Set& next = work_.set(k + 1);
            if ((wanted & (op_add | op_fire)) != 0) add_and_fire(first);
            if constexpr ((Timers::operations & op_cancel) != 0) {
                if ((wanted & op_cancel) != 0) add_and_cancel(first, next);
            }
            if constexpr ((Timers::operations & (op_rearm | op_life)) != 0) {
                if ((wanted & (op_rearm | op_life)) != 0) add_rearm_and_fire(first, next);
            }
        }
        const double timers = double{1} * times_ * work_.count();
        for (const auto& [operation, sample] : round_) {
            kept_[operation].push_back({sample.ns_per_operation / timers, sample.checksum});
        }
    }

private:
    void add_and_fire(const Workload::Set& set) {
        round_[op_add].ns_per_operation += stretch([&] { timers_.add(set.when); });
        round_[op_fire].ns_per_operation += fire();
        check({op_add, op_fire});
    }

    // All but one are cancelled, which alone must fire.
    void add_and_cancel(const Workload::Set& set, const Workload::Set& next) {
        stretch([&] { timers_.add(set.when); });
        const auto all_but_one = std::span(next.order).first(next.order.size() - 1);
        round_[op_cancel].ns_per_operation += stretch([&] {
            timers_.cancel(all_but_one);
            timers_.settle();
        });
        fire();
        check({op_cancel});
    }

    void add_rearm_and_fire(const Workload::Set& set, const Workload::Set& next) {
        double ns = stretch([&] { timers_.add(set.when); });
        const double rearm = stretch([&] {
            timers_.rearm(next.order, next.when);
            timers_.settle();
        });
        ns += rearm + fire();
        round_[op_rearm].ns_per_operation += rearm;
        round_[op_life].ns_per_operation += ns;
        check({op_rearm, op_life});
    }

    template <class Body>
    [[gnu::noinline]] double stretch(const Body& body) {
        double ns = 0;
        timers_.turn([&] {
            watch_.start();
            body();
            ns = watch_.stop();
        });
        return ns;
    }

    [[gnu::noinline]] double fire() {
        pass_time(timers_, clock_, work_.span() + millisecond);
        watch_.start();
        timers_.fire();
        return watch_.stop();
    }

    void check(std::initializer_list<Operation> operations) {
        uint64_t fired = 0;
        timers_.log().add_to(fired);
        for (const Operation operation : operations) {
            uint64_t& checksum = round_[operation].checksum;
            checksum = checksum * 31 + fired;
        }
    }

    const Workload& work_;
    const uint32_t times_;
    ManualClock clock_;
    Timers timers_;
    Watch watch_;
    std::map<Operation, Sample> round_;
    std::map<Operation, std::deque<Sample>> kept_;
};

/// Idle timeouts: timers picked at random are put off to a timeout from now, 64 between two turns,
/// a millisecond each. The timeout is so long that each is picked 30 times before, and none goes
/// off. "rearm later" is the price of the calls alone; "idle timeouts" is that of the calls and
/// the turns with what was put off.
///
/// It goes on from round to round, because who puts work off has to be seen doing it: at first no
/// timer that was moved comes to the top. That it does once nearly all have been picked, after
/// ln N times N; so there is a warm-up of a little more.
///
/// A round's checksum is how many have gone off, which is none, whoever does the work: it would
/// only show one whose timers aren't put off at all. What proves that each was put off to where it
/// should be is checksum(), at the end.
template <class Timers>
class Idling {
public:
    explicit Idling(uint32_t count)
        : count_(count),
          timers_(made_at<Timers>(clock_, count)),
          timeout_(30 * millisecond * count) {}

    template <class Watch>
    Sample sample(Operation operation, uint32_t touches) {
        Watch watch;
        const Showing showing(clock_);
        if (!started_) start();
        double ns = 0;
        const uint32_t batches = std::max(1U, touches / per_turn);
        for (uint32_t i = 0; i < batches; ++i) ns += turn(operation, watch);
        return {ns / (double{1} * batches * per_turn), timers_.log().all().size()};
    }

    /// The end: time passes until all have gone off. Which ones did in each step of time.
    uint64_t checksum() {
        const Showing showing(clock_);
        uint64_t result = 0;
        const int64_t step = std::max(1U, count_ / 1000) * millisecond;
        clock_.advance(millisecond / 2);  // between deadlines: they are whole milliseconds
        for (int64_t passed = 0; passed <= timeout_; passed += step) {
            pass_time(timers_, clock_, step);
            timers_.fire();
            timers_.log().add_turn_to(result);
        }
        return result;
    }

private:
    static constexpr uint32_t per_turn = 64;

    void start() {
        started_ = true;
        timers_.turn([this] { timers_.start_idle(timeout_); });
        timers_.settle();
        const double passes = std::log(count_) + 4;
        const auto batches = static_cast<uint32_t>(passes * count_ / per_turn);
        NoWatch watch;
        for (uint32_t i = 0; i < batches; ++i) turn(op_idle, watch);
    }

    template <class Watch>
    double turn(Operation operation, Watch& watch) {
        pick();
        return operation == op_idle ? whole_turn(watch) : calls_alone(watch);
    }
    template <class Watch>
    [[gnu::noinline]] double whole_turn(Watch& watch) {
        watch.start();
        timers_.turn([this] { timers_.touch(picks_); });
        timers_.settle();
        return watch.stop();
    }
    template <class Watch>
    double calls_alone(Watch& watch) {
        double ns = 0;
        timers_.turn([&] {
            watch.start();
            calls();
            ns = watch.stop();
        });
        timers_.settle();
        return ns;
    }
    [[gnu::noinline]] void calls() { timers_.touch(picks_); }

    void pick() {
        clock_.advance(per_turn * millisecond);
        for (uint32_t& pick : picks_) {
            random_ = random_ * 6364136223846793005U + 1442695040888963407U;  // Knuth, MMIX
            pick = static_cast<uint32_t>(((random_ >> 32) * count_) >> 32);
        }
    }

    const uint32_t count_;
    ManualClock clock_;
    Timers timers_;
    const int64_t timeout_;
    std::array<uint32_t, per_turn> picks_{};
    uint64_t random_ = 1;
    bool started_ = false;
};

}  // namespace bench
