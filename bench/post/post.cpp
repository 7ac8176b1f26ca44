// SPDX-License-Identifier: BSL-1.0
// What does it cost to hand a closure of 16 bytes to a loop on another thread? One producer or two,
// who post as fast as they can (throughput.hpp), and one post into a sleeping loop (latency.hpp).
//
// rondo and asio carry closures themselves. With the others one writes one queue by hand, a mutex
// and a vector that the loop swaps with an empty one, and wakes the loop if the vector was empty;
// asio-queue does that too. Like with like beside these is rondo-post, the door that all threads
// share. rondo-epoll has a Remote for each producer; its like is raw-lanes. The loop has one
// processor. Two producers share the other: they take turns there, and never post at once.
//
// The wake-ups written per 1000 posts are told too. rondo may write one per sleep of the loop;
// more are an error.

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/harness.hpp"
#include "bench/post/latency.hpp"
#include "bench/post/raw_lanes.hpp"
#include "bench/post/raw_loop.hpp"
#include "bench/post/rondo_loop.hpp"
#include "bench/post/throughput.hpp"
#include "bench/system.hpp"

#if RONDO_BENCH_HAS_LIBEV
#include "bench/post/libev_loop.hpp"
#endif
#if RONDO_BENCH_HAS_LIBEVENT
#include "bench/post/libevent_loop.hpp"
#endif
#if RONDO_BENCH_HAS_LIBUV
#include "bench/post/libuv_loop.hpp"
#endif
#if RONDO_BENCH_HAS_ASIO
#include "bench/post/asio_loop.hpp"
#endif

namespace {

// Asks all contenders one question; each has a loop and threads of its own.
template <template <class> class Question, class Plan>
class Comparison {
public:
    Comparison(const Plan& plan, double rival_target) : plan_(plan) {
        add<bench::RawLoop<bench::Trigger::level>>("raw");
        add<bench::RawLoop<bench::Trigger::edge>>("raw-edge");
        add<bench::RawLanesLoop>("raw-lanes");
#if RONDO_BENCH_HAS_LIBEV
        add<bench::LibevLoop>("libev");
#endif
#if RONDO_BENCH_HAS_LIBEVENT
        add<bench::LibeventLoop>("libevent");
#endif
#if RONDO_BENCH_HAS_LIBUV
        add<bench::LibuvLoop>("libuv");
#endif
#if RONDO_BENCH_HAS_ASIO
        add<bench::AsioLoop>("asio");
        add<bench::AsioQueueLoop>("asio-queue");
#endif
        add<bench::RondoLoop<bench::RemoteDoor>>("rondo-epoll", rival_target);
        add<bench::RondoLoop<bench::SharedDoor>>("rondo-post");
    }

    void run(bench::Report& report, const std::string& params, const char* metric) {
        if (!report.compare(params, contenders_, metric)) return;
        for (const auto& tell : tells_) tell(report, params);
    }

private:
    template <class Loop>
    void add(const std::string& name, double rival_target = 0) {
        const auto one = std::make_shared<Question<Loop>>(plan_);
        contenders_.push_back({name, [one] { return one->run(); }, 0, rival_target});
        tells_.push_back([one, name](bench::Report& report, const std::string& params) {
            one->tell(report, params, name);
        });
    }

    Plan plan_;
    std::vector<bench::Contender> contenders_;
    std::vector<std::function<void(bench::Report&, const std::string&)>> tells_;
};

void measure_throughput(bench::Report& report, const bench::Processors& processors,
                        size_t producers) {
    const std::string params =
        std::to_string(producers) + (producers == 1 ? " producer" : " producers");
    if (!report.options().wants(params)) return;
    const uint32_t pages =
        report.options().size(2000U, 500U, 40U) / static_cast<uint32_t>(producers);
    if (producers > 1) {
        std::printf("  %s: they share one processor, the loop has another\n", params.c_str());
    }
    const bench::Plan plan{producers, pages, processors};
    Comparison<bench::Throughput, bench::Plan>(plan, 0.5).run(report, params, "time");
}

void measure_latency(bench::Report& report, const bench::Processors& processors) {
    const std::string params = "into a sleeping loop";
    if (!report.options().wants(params)) return;
    const bench::PingPlan plan{report.options().size(2000U, 500U, 100U), processors};
    Comparison<bench::Latency, bench::PingPlan>(plan, 0).run(report, params, "latency");
}

void tell_missing(bench::Report& report) {
    if (!RONDO_BENCH_HAS_LIBEV) report.missing("libev", "libev-dev");
    if (!RONDO_BENCH_HAS_LIBEVENT) report.missing("libevent", "libevent-dev");
    if (!RONDO_BENCH_HAS_LIBUV) report.missing("libuv", "libuv1-dev");
    if (!RONDO_BENCH_HAS_ASIO) report.missing("asio", "libasio-dev");
}

}  // namespace

int main(int argc, char** argv) {
    bench::Report report("post", bench::Options(argc, argv));
    tell_missing(report);
    const bench::Processors processors;
    if (!processors.two()) {
        report.not_available("", "", "one processor: the loop and those who post need one each");
        return report.finish();
    }
    processors.pin(0);
    for (const size_t producers : {1U, 2U}) measure_throughput(report, processors, producers);
    measure_latency(report, processors);
    return report.finish();
}
