// SPDX-License-Identifier: BSL-1.0
#pragma once
// The second question: how long does one post into a sleeping loop take until its closure runs?
// Both threads read the same clock, one just before the post, the other first of all in the
// closure. The poster spins until the closure has answered and then for a while longer, so that the
// loop is back in its wait. How often it really slept is counted: every sleep is a voluntary
// context switch of its thread.
//
// The pause is so short that the processor sleeps lightly. The cost of waking it from a deeper
// sleep would come on top, the same for all.

#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "bench/harness.hpp"
#include "bench/system.hpp"

namespace bench {

/// Where the poster and the closures meet.
class Meeting {
public:
    explicit Meeting(uint32_t posts) : took_(posts) {}

    /// By the closure. True: it was the last of the round.
    bool answer(double posted, double ran) {
        const uint32_t done = answered_.load(std::memory_order_relaxed);
        took_[done % took_.size()] = ran - posted;
        answered_.store(done + 1, std::memory_order_release);
        return (done + 1) % took_.size() == 0;
    }
    /// By the poster.
    void await_answer(uint32_t number) const {
        while (answered_.load(std::memory_order_acquire) != number) {
        }
    }
    uint32_t answered() const { return answered_.load(std::memory_order_relaxed); }
    double median() const { return Summary(took_).median; }

private:
    std::vector<double> took_;
    alignas(64) std::atomic<uint32_t> answered_{0};
};

/// What one round of it is.
struct PingPlan {
    uint32_t posts;
    const Processors& processors;
};

template <class Loop>
class Latency {
public:
    explicit Latency(const PingPlan& plan)
        : plan_(plan), meeting_(plan.posts), poster_([this, door = loop_.door()]() mutable {
              plan_.processors.pin(1);
              work(door);
          }) {}
    Latency(const Latency&) = delete;
    Latency& operator=(const Latency&) = delete;
    ~Latency() {
        last_ = true;
        next_round();
        poster_.join();
    }

    Sample run() {
        const uint64_t sleeps_before = thread_sleeps();
        const uint32_t answered_before = meeting_.answered();
        next_round();
        loop_.run();
        sleeps_ += thread_sleeps() - sleeps_before;
        return {meeting_.median(), meeting_.answered() - answered_before};
    }

    /// The sleeps of all rounds. A median is one of a sleeping loop if most posts met one.
    void tell(Report& report, const std::string& params, const std::string& name) {
        const double sleeps = static_cast<double>(sleeps_) / meeting_.answered();
        report.tell(params, name, "sleeps", "per post", sleeps);
        if (sleeps < 0.5) report.fail(params + ": " + name + " didn't sleep between the posts");
    }

private:
    // The closure.
    struct Ping {
        Latency* latency;
        double posted;

        void operator()() const {
            const double ran = now_ns();
            if (latency->meeting_.answer(posted, ran)) latency->loop_.stop();
        }
    };
    static_assert(sizeof(Ping) == 16);

    static constexpr double pause_ns = 30'000;

    static uint64_t thread_sleeps() {
        rusage usage{};
        must(::getrusage(RUSAGE_THREAD, &usage), "getrusage");
        return static_cast<uint64_t>(usage.ru_nvcsw);
    }
    void next_round() {
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_one();
    }

    void work(typename Loop::Door& door) {
        uint32_t sent = 0;
        for (uint32_t round = 0;; ++round) {
            round_.wait(round, std::memory_order_acquire);
            if (last_) return;
            for (uint32_t i = 0; i < plan_.posts; ++i) {
                for (const double from = now_ns(); now_ns() - from < pause_ns;) {
                }
                door.post(Ping{this, now_ns()});
                meeting_.await_answer(++sent);
            }
        }
    }

    PingPlan plan_;
    Loop loop_;
    Meeting meeting_;
    uint64_t sleeps_ = 0;
    std::atomic<uint32_t> round_{0};
    bool last_ = false;
    std::thread poster_;
};

}  // namespace bench
