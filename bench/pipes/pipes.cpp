// SPDX-License-Identifier: BSL-1.0
// What does the loop cost per event? N pipes are watched, A of them have a byte in them; every
// event reads its byte and writes it into another pipe (ring.hpp). The baseline is a hand-written,
// level-triggered epoll loop in the same process; all run on the same processor.
//
// Variants: plain; an idle timer of 10 s re-armed per event; write interest switched on and off in
// each handler; and a reply that is sent from the write handler, on sockets instead of pipes.
//
// pipes --count CONTENDER VARIANT PIPES ACTIVE EVENTS runs one contender alone, without a clock,
// for those who count its instructions and system calls. pipes --list tells who there is.

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bench/harness.hpp"
#include "bench/pipes/contenders.hpp"

namespace {

using bench::Entry;
using bench::Ring;
using bench::Shape;
using bench::Variant;

struct Kind {
    Variant variant;
    const char* name;
    const char* word;  // on the command line
};

constexpr Kind kinds[] = {
    {Variant::plain, "plain", "plain"},
    {Variant::timer, "idle timer", "timer"},
    {Variant::toggle, "toggle", "toggle"},
    {Variant::reply, "reply", "reply"},
};

// Two descriptors per pipe, and some for the loops.
int most_pipes() {
    const size_t limit = bench::raise_descriptor_limit();
    return static_cast<int>(limit / 2) - 50;
}

// A lap during which everything grows to its size, each descriptor is used once, and what an
// edge-triggered loop is told at first is heard.
void warm_up(bench::Runner& runner, Ring& ring) {
    ring.launch(ring.size());
    runner.run();
}

bench::Sample run(const Entry& entry, Ring& ring, uint64_t passes) {
    const auto runner = entry.make(ring);
    warm_up(*runner, ring);
    ring.launch(passes);
    const double start = bench::now_ns();
    runner->run();
    const double end = bench::now_ns();
    return {(end - start) / static_cast<double>(ring.handled()), ring.checksum()};
}

// poll(2) looks at all descriptors in each wait.
bool takes_part(const Entry& entry, const Shape& shape) {
    return std::strcmp(entry.name, "rondo-poll") != 0 || shape.pipes <= 100;
}

double target(const std::string& name, Variant variant, const Shape& shape) {
    if (name == "rondo-edge") return 0.75;
    if (name != "rondo-epoll") return 0;
    if (variant == Variant::toggle) return 0.80;
    return variant == Variant::plain && shape.pipes == 1000 && shape.active == 100 ? 1.03 : 1.05;
}

// All who take part in one variant at one shape, and what they took in each round.
class Cell {
public:
    Cell(const Shape& shape, const Kind& kind, uint64_t passes)
        : shape_(shape), variant_(kind.variant), passes_(passes), ring_(shape, kind.variant) {
        for (const Entry& entry : bench::entries(variant_)) {
            if (takes_part(entry, shape)) players_.push_back({entry, {}});
        }
    }

    void compare(bench::Report& report, const std::string& params) {
        std::vector<bench::Contender> contenders;
        for (Player& player : players_) {
            const std::string name = player.entry.name;
            const bool beside_rivals = variant_ == Variant::plain && name == "rondo-epoll";
            contenders.push_back({name, [this, &player] { return play(player); },
                                  target(name, variant_, shape_), beside_rivals ? 1.0 : 0.0});
        }
        report.compare(params, contenders);
    }

    // One of ours beside another than the baseline. Nothing is measured anew: what they took in the
    // same rounds is compared.
    void compare_with(bench::Report& report, const std::string& params, const char* ours,
                      const char* other) const {
        report.compare(params + ", beside " + other,
                       {{other, again(other)}, {ours, again(ours), 1.10}});
    }

private:
    struct Player {
        Entry entry;
        std::vector<bench::Sample> samples;
    };

    bench::Sample play(Player& player) {
        player.samples.push_back(run(player.entry, ring_, passes_));
        return player.samples.back();
    }

    std::function<bench::Sample()> again(const char* name) const {
        const auto player = std::find_if(
            players_.begin(), players_.end(),
            [name](const Player& each) { return std::strcmp(each.entry.name, name) == 0; });
        return [player, next = size_t{0}]() mutable { return player->samples.at(next++); };
    }

    const Shape shape_;
    const Variant variant_;
    const uint64_t passes_;
    Ring ring_;
    std::vector<Player> players_;
};

// The baseline makes a system call for each change of interest. What rondo does about that can be
// done by hand as well, and beside that too it is seen.
void measure(bench::Report& report, const Shape& shape, const Kind& kind, uint64_t passes) {
    const std::string params =
        std::to_string(shape.pipes) + "/" + std::to_string(shape.active) + " " + kind.name;
    if (!report.options().wants(params)) return;
    Cell cell(shape, kind, passes);
    cell.compare(report, params);
    const bool reply = kind.variant == Variant::reply;
    if (reply || kind.variant == Variant::toggle) {
        cell.compare_with(report, params, "rondo-epoll", "raw-merged");
    }
    if (reply) cell.compare_with(report, params, "rondo-edge", "raw-edge");
}

void tell_missing([[maybe_unused]] bench::Report& report) {
#if !RONDO_BENCH_HAS_LIBEV
    report.missing("libev", "libev-dev");
#endif
#if !RONDO_BENCH_HAS_LIBEVENT
    report.missing("libevent", "libevent-dev");
#endif
#if !RONDO_BENCH_HAS_LIBUV
    report.missing("libuv", "libuv1-dev");
#endif
#if !RONDO_BENCH_HAS_ASIO
    report.missing("asio", "libasio-dev");
#endif
}

int compare(const bench::Options& options, int most) {
    bench::Report report("pipes", options);
    tell_missing(report);
    const std::vector<Shape> shapes = options.size<std::vector<Shape>>(
        {{100, 1}, {1000, 1}, {1000, 10}, {1000, 100}, {9900, 1}, {9900, 100}},
        {{100, 1}, {1000, 100}}, {{100, 1}, {300, 100}});
    for (const Shape& shape : shapes) {
        const auto long_run = uint64_t{shape.pipes > 1000 ? 15000U : 30000U};
        const auto passes = options.size<uint64_t>(long_run, 5000, 1000);
        if (shape.pipes > most) {
            report.not_available(
                std::to_string(shape.pipes) + "/" + std::to_string(shape.active), "",
                "the limit of descriptors allows " + std::to_string(most) + " pipes");
            continue;
        }
        for (const Kind& kind : kinds) measure(report, shape, kind, passes);
    }
    return report.finish();
}

// Each name once, for a message.
template <class List, class Name>
std::string names(const List& list, Name name) {
    std::string all;
    for (const auto& each : list) all += (all.empty() ? "" : ", ") + std::string(name(each));
    return all;
}

int refuse(const std::string& why) {
    std::fprintf(stderr, "pipes: %s\n", why.c_str());
    return 2;
}

int count(char** words) {
    const Kind* kind = nullptr;
    for (const Kind& each : kinds) {
        if (std::strcmp(each.word, words[1]) == 0) kind = &each;
    }
    if (kind == nullptr) {
        return refuse("there is no variant " + std::string(words[1]) + ", but " +
                      names(kinds, [](const Kind& each) { return each.word; }));
    }
    const Shape shape{std::atoi(words[2]), std::atoi(words[3])};
    const uint64_t passes = std::strtoull(words[4], nullptr, 10);
    if (shape.active < 1 || shape.pipes < shape.active || shape.pipes % shape.active != 0 ||
        passes < 1 || passes % static_cast<uint64_t>(shape.active) != 0) {
        return refuse("PIPES and EVENTS are multiples of ACTIVE");
    }
    const auto all = bench::entries(kind->variant);
    for (const Entry& entry : all) {
        if (std::strcmp(entry.name, words[0]) != 0) continue;
        Ring ring(shape, kind->variant);
        const auto runner = entry.make(ring);
        warm_up(*runner, ring);
        ring.launch(passes);
        runner->run();
        return 0;
    }
    return refuse("there is no contender " + std::string(words[0]) + " in " + kind->word +
                  ", but " + names(all, [](const Entry& each) { return each.name; }));
}

}  // namespace

int main(int argc, char** argv) {
    const int most = most_pipes();
    bench::Processors().pin(0);
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
        for (const Entry& entry : bench::entries(Variant::plain)) std::printf("%s\n", entry.name);
        return 0;
    }
    if (argc == 7 && std::strcmp(argv[1], "--count") == 0) return count(argv + 2);
    return compare(bench::Options(argc, argv), most);
}
