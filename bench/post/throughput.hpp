// SPDX-License-Identifier: BSL-1.0
#pragma once
// The first question: what does a post cost while the producers post as fast as they can? The time
// is that of the whole round, from waking the producers until the last closure has run, per
// closure.
//
// A loop, here and in latency.hpp, has a Door, of which every thread gets a copy and whose post()
// takes any closure of 16 bytes; run(), which turns until stop(); and stop(), which is called by a
// closure.

#include <cstdint>
#include <string>

#include "bench/harness.hpp"
#include "bench/post/producers.hpp"

namespace bench {

template <class Loop>
class Throughput {
public:
    explicit Throughput(const Plan& plan) : plan_(plan), producers_(plan, loop_.door()) {}

    Sample run() {
        Ending ending{[](void* loop) { static_cast<Loop*>(loop)->stop(); }, &loop_};
        const double start = now_ns();
        producers_.start(ending);
        loop_.run();
        const double end = now_ns();
        posts_ += plan_.posts();
        return {(end - start) / static_cast<double>(plan_.posts()), producers_.checksum()};
    }

    /// The wake-ups of all rounds, where they can be counted.
    void tell(Report& report, const std::string& params, const std::string& name) {
        if constexpr (requires { loop_.wakes(); }) {
            report.tell(params, name, "wake-ups", "per 1000 posts",
                        static_cast<double>(loop_.wakes()) * 1000 / static_cast<double>(posts_));
        }
        if constexpr (requires { loop_.sleeps(); }) {
            if (loop_.wakes() <= loop_.sleeps()) return;
            report.fail(params + ": " + name + " wrote " + std::to_string(loop_.wakes()) +
                        " wake-ups in " + std::to_string(loop_.sleeps()) + " sleeps");
        }
    }

private:
    Plan plan_;
    Loop loop_;
    uint64_t posts_ = 0;  // of all rounds
    Producers<typename Loop::Door> producers_;
};

}  // namespace bench
