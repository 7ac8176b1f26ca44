// SPDX-License-Identifier: BSL-1.0
#pragma once
// A million timers in real time: they are added with random deadlines within one second, half of
// them are cancelled and a quarter moved to a later deadline in that second, and the loop runs
// until all others have fired. Told is the processor time of all of it, that of the kernel too.
//
// libev, libevent and libuv wait for whole milliseconds: they gather the deadlines of one, need
// fewer turns and fire later. So the number of turns and the mean lateness are told beside.
// The second begins late enough for the slowest to be ready, or it would gather most of all.
//
// Deadlines are whole microseconds. The numbers of those that fired, and that they did so in the
// order of their deadlines as far as the contender's clock resolves them, are the checksum.

#include <sys/resource.h>
#include <unistd.h>

#include <optional>
#include <span>

#include "bench/harness.hpp"
#include "bench/timers/workload.hpp"

namespace bench {

/// The same deadlines for all.
class MillionWork {
public:
    MillionWork(uint32_t count, int64_t begin, int64_t length) : order_(count) {
        std::mt19937_64 random(count);
        std::iota(order_.begin(), order_.end(), 0U);
        std::shuffle(order_.begin(), order_.end(), random);
        const auto within = [&](int64_t least, int64_t end) {
            const auto steps = static_cast<uint64_t>((end - least) / microsecond);
            return least + static_cast<int64_t>(random() % (steps + 1)) * microsecond;
        };
        for (uint32_t i = 0; i < count; ++i) {
            first_.push_back(within(begin, begin + length));
            last_.push_back(first_[i]);
        }
        for (const uint32_t i : moved()) last_[i] = within(first_[i], begin + length);
    }

    const std::vector<int64_t>& first() const { return first_; }
    const std::vector<int64_t>& last() const { return last_; }
    std::span<const uint32_t> cancelled() const {
        return std::span(order_).first(order_.size() / 2);
    }
    std::span<const uint32_t> moved() const {
        return std::span(order_).subspan(order_.size() / 2, order_.size() / 4);
    }

private:
    std::vector<uint32_t> order_;
    std::vector<int64_t> first_;
    std::vector<int64_t> last_;  // when it fires, if it wasn't cancelled
};

/// How a round went by the clock on the wall.
struct Punctuality {
    double turns;        // that waited: each is a voluntary context switch of the thread
    double lateness_us;  // from the deadline until the callback, the mean of all that fired
};

template <class Timers>
class Million {
public:
    explicit Million(const MillionWork& work)
        : work_(work), timers_(static_cast<uint32_t>(work.first().size())) {}

    Sample run() {
        const double before = cpu_ns_of(::getpid());
        play();
        const double taken = cpu_ns_of(::getpid()) - before;
        const Sample sample{taken / static_cast<double>(work_.first().size()), checksum()};
        timers_.log().clear();
        return sample;
    }

    /// A round more, whose CPU time isn't told: each callback asks what time it is.
    Punctuality observe() {
        Log& log = timers_.log();
        log.keep_times();
        const auto sleeps_before = sleeps();
        const double begin = play();
        const auto turns = static_cast<double>(sleeps() - sleeps_before);
        double late = 0;
        for (size_t i = 0; i < log.all().size(); ++i) {
            const int64_t deadline = work_.last()[log.all()[i]];
            late += log.times()[i] - begin - static_cast<double>(deadline);
        }
        return {turns, late / static_cast<double>(log.all().size()) / microsecond};
    }

private:
    static int64_t sleeps() {
        rusage usage{};
        must(::getrusage(RUSAGE_THREAD, &usage), "getrusage");
        return usage.ru_nvcsw;
    }

    // Answers when it began, from which deadlines count.
    double play() {
        double begin = 0;
        timers_.turn([&] {
            begin = now_ns();
            timers_.add(work_.first());
            timers_.cancel(work_.cancelled());
            timers_.rearm(work_.moved(), work_.last());
        });
        timers_.run();
        return begin;
    }

    uint64_t checksum() {
        uint64_t sum = 0;
        int64_t latest = 0;
        for (const uint32_t timer : timers_.log().all()) {
            const int64_t deadline =
                (work_.last()[timer] + Timers::resolution - 1) / Timers::resolution;
            constexpr uint64_t out_of_order = uint64_t{1} << 48;
            if (deadline < latest) sum += out_of_order;
            latest = std::max(latest, deadline);
            sum += timer + 1;
        }
        return sum;
    }

    const MillionWork& work_;
    Timers timers_;
};

}  // namespace bench
