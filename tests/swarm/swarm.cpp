// SPDX-License-Identifier: BSL-1.0
// Runs worlds, one after the other, each with a seed of its own, and says which seeds broke a rule.
// At the end it tells how often each fault has struck, and fails if one never did, or if no stream
// was idle for too long in worlds that have such.
//
// swarm WORLD [--first SEED] [--seeds N] [--trace]
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "swarm/chat_world.hpp"
#include "swarm/datagram_world.hpp"
#include "swarm/echo_world.hpp"
#include "swarm/kv_world.hpp"
#include "swarm/level_poller.hpp"

namespace {

using namespace rondo;

struct Swarm {
    uint64_t first = 1;
    uint64_t seeds = 1;
    bool trace = false;
    size_t struck[std::size(sim::all_faults)] = {};
    size_t broken = 0;
    size_t work = 0;             // what was done
    size_t quiet = 0;            // worlds in which nothing has ended a stream
    std::optional<size_t> idle;  // streams that a timeout has ended
    uint64_t hash = 0;

    template <class World, class WithoutEdges = World, class Done>
    void run(const char* name, Done done) {
        for (uint64_t seed = first; seed < first + seeds; ++seed) {
            test::without_edges(seed) ? run_one<WithoutEdges>(name, seed, done)
                                      : run_one<World>(name, seed, done);
        }
    }

    template <class World, class Done>
    void run_one(const char* name, uint64_t seed, Done& done) {
        World made(test::swarm_options(seed));
        auto& world = made.world;
        const bool linked = test::make_trouble(world, 3) == 0;
        const bool settled = world.settle(Duration::seconds(1000));
        for (size_t i = 0; i < std::size(struck); ++i) {
            struck[i] += world.struck(sim::all_faults[i].chance);
        }
        if (trace) std::fputs(world.trace().text().c_str(), stdout);
        hash = hash * 31 + world.trace().hash();
        std::string wrong = settled ? "" : "it doesn't come to rest\n";
        if (linked && test::calm(world)) ++quiet;
        wrong += made.violations(linked && test::calm(world));
        work += done(made);
        if (wrong.empty()) return;
        ++broken;
        std::printf("%s, seed %llu: %sreplay it: %s %s --first %llu --trace\n", name,
                    static_cast<unsigned long long>(seed), wrong.c_str(), program, name,
                    static_cast<unsigned long long>(seed));
    }

    int report(const char* name, bool (*meets)(double sim::Faults::*)) const {
        std::printf("%s: %llu seeds, %zu broken, %zu calm, %zu done, hash %016llx\n", name,
                    static_cast<unsigned long long>(seeds), broken, quiet, work,
                    static_cast<unsigned long long>(hash));
        bool all = work > 0 && quiet > 0 && idle != 0;
        if (idle) std::printf("%12zu  idle timeout\n", *idle);
        for (size_t i = 0; i < std::size(struck); ++i) {
            std::printf("%12zu  %s\n", struck[i], sim::all_faults[i].name);
            all &= struck[i] > 0 || !meets(sim::all_faults[i].chance);
        }
        if (!all && seeds >= 100) std::printf("%s: something has never happened\n", name);
        return broken == 0 && (all || seeds < 100) ? 0 : 1;
    }

    const char* program = "swarm";
};

// Worlds of streams send no datagrams and ask for no names.
bool meets_streams(double sim::Faults::* fault) {
    return fault == &sim::Faults::interrupted || !test::DatagramWorld::meets(fault);
}

[[noreturn]] void usage() {
    std::fprintf(stderr,
                 "usage: swarm echo|chat|kv|datagrams [--first SEED] [--seeds N] [--trace]\n");
    std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) usage();
    Swarm swarm;
    swarm.program = argv[0];
    for (int i = 2; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--trace") {
            swarm.trace = true;
        } else if (i + 1 < argc && word == "--first") {
            swarm.first = std::strtoull(argv[++i], nullptr, 10);
        } else if (i + 1 < argc && word == "--seeds") {
            swarm.seeds = std::strtoull(argv[++i], nullptr, 10);
        } else {
            usage();
        }
    }
    const std::string_view name = argv[1];
    using test::LevelPoller;
    if (name == "echo") {
        swarm.idle = 0;
        swarm.run<test::EchoWorld, test::BasicEchoWorld<LevelPoller>>(argv[1],
                                                                      [&swarm](const auto& world) {
                                                                          *swarm.idle += world.idle;
                                                                          return world.finished;
                                                                      });
    } else if (name == "chat") {
        swarm.run<test::ChatWorld, test::BasicChatWorld<LevelPoller>>(
            argv[1], [](const auto& world) { return world.heard; });
    } else if (name == "kv") {
        swarm.run<test::KvWorld, test::BasicKvWorld<LevelPoller>>(
            argv[1], [](const auto& world) { return world.answered; });
    } else if (name == "datagrams") {
        swarm.run<test::DatagramWorld>(argv[1], [](const auto& world) { return world.answered; });
        return swarm.report(argv[1], test::DatagramWorld::meets);
    } else {
        usage();
    }
    return swarm.report(argv[1], meets_streams);
}
