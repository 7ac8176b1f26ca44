// SPDX-License-Identifier: BSL-1.0
// What do the calls cost that a loop makes, and the making of what it calls? A thousand callables
// of four types, mixed at random, are called in shuffled orders; and callables are constructed and
// destroyed. They capture a pointer (8 bytes), and 24 and 48 bytes. The baseline is a function
// pointer with a context that is already there.
//
//   handler --count CONTENDER call|construct SIZE TIMES   one contender alone, without a clock
//   handler --list                                        the contenders

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "bench/handler/contenders.hpp"
#include "bench/harness.hpp"
#include "bench/system.hpp"

namespace {

constexpr size_t called = 1000;      // different objects, in a shuffled order
constexpr size_t constructed = 200;  // in one go: they fit into the nearest cache
constexpr const char* names[] = {"raw", "rondo-handler", "std-function", "virtual"};

// Calls body(type_identity of the contender's class) for one of `names`.
template <size_t size, class F>
void with_contender(size_t number, F&& body) {
    if (number == 0) body(std::type_identity<bench::Pointers<size>>());
    if (number == 1) body(std::type_identity<bench::Handlers<size>>());
    if (number == 2) body(std::type_identity<bench::StdFunctions<size>>());
    if (number == 3) body(std::type_identity<bench::Virtuals<size>>());
}

// The same random choices for every contender.
class Choices {
public:
    Choices() : cells_(called) {
        std::mt19937 random(1);
        for (size_t i = 0; i < called; ++i) kinds_.push_back(static_cast<int>(i % bench::kinds));
        std::shuffle(kinds_.begin(), kinds_.end(), random);
        for (uint64_t& cell : cells_) cell = random();
        // So many orders that a branch predictor doesn't know them by heart.
        std::vector<uint16_t> order(called);
        std::iota(order.begin(), order.end(), uint16_t{0});
        for (int i = 0; i < 64; ++i) {
            std::shuffle(order.begin(), order.end(), random);
            order_.insert(order_.end(), order.begin(), order.end());
        }
    }

    int kind(size_t i) const { return kinds_[i]; }
    const uint64_t* cell(size_t i) const { return &cells_[i]; }
    const std::vector<uint16_t>& order() const { return order_; }

private:
    std::vector<int> kinds_;
    std::vector<uint64_t> cells_;
    std::vector<uint16_t> order_;
};

template <class Objects, size_t size>
class Calls {
public:
    explicit Calls(const Choices& choices) : objects_(called), choices_(choices) {
        for (size_t i = 0; i < called; ++i) make(i);
    }
    Calls(const Calls&) = delete;
    Calls& operator=(const Calls&) = delete;
    ~Calls() {
        for (size_t i = 0; i < called; ++i) objects_.end(i);
    }

    bench::Sample run(uint64_t times) {
        const double start = bench::now_ns();
        const uint64_t sum = call(times);
        const double end = bench::now_ns();
        return {(end - start) / static_cast<double>(times), sum};
    }
    // What they return adds up: a call needn't wait for the one before, as in a loop.
    [[gnu::noinline]] uint64_t call(uint64_t times) {
        const std::span<const uint16_t> order = choices_.order();
        uint64_t sum = 0;
        while (times != 0) {
            const uint64_t now = std::min<uint64_t>(times, order.size());
            for (size_t i = 0; i < now; ++i) sum += objects_.call(order[i], i);
            times -= now;
        }
        return sum;
    }

private:
    [[gnu::noinline]] void make(size_t i) {
        const bench::Capture<size> capture(choices_.cell(i), i);
        if (choices_.kind(i) == 0) objects_.template make<0>(i, capture);
        if (choices_.kind(i) == 1) objects_.template make<1>(i, capture);
        if (choices_.kind(i) == 2) objects_.template make<2>(i, capture);
        if (choices_.kind(i) == 3) objects_.template make<3>(i, capture);
    }

    Objects objects_;
    const Choices& choices_;
};

template <class Objects, size_t size>
class Constructions {
public:
    explicit Constructions(const Choices& choices) : objects_(constructed), choices_(choices) {}

    // They are called between, off the clock: that shows what was constructed.
    bench::Sample run(uint64_t rounds) {
        bench::Stopwatch watch;
        uint64_t sum = 0;
        for (uint64_t round = 0; round < rounds; ++round) {
            watch.start();
            construct(constructed, round);
            watch.stop();
            for (size_t i = 0; i < constructed; ++i) sum += objects_.call(i, i);
            watch.start();
            destroy(constructed);
            watch.stop();
        }
        return {watch.total() / static_cast<double>(rounds * constructed), sum};
    }

    // The types in blocks: what is measured isn't the choice among them.
    [[gnu::noinline]] void construct(size_t count, uint64_t word) {
        construct_some<0>(0, count / 4, word);
        construct_some<1>(count / 4, count / 2, word);
        construct_some<2>(count / 2, count * 3 / 4, word);
        construct_some<3>(count * 3 / 4, count, word);
    }
    [[gnu::noinline]] void destroy(size_t count) {
        for (size_t i = 0; i < count; ++i) objects_.end(i);
    }

private:
    template <int kind>
    void construct_some(size_t from, size_t to, uint64_t word) {
        for (size_t i = from; i < to; ++i) {
            objects_.template make<kind>(i, bench::Capture<size>(choices_.cell(i), word + i));
        }
    }

    Objects objects_;
    const Choices& choices_;
};

template <size_t size>
void compare(bench::Report& report, const Choices& choices) {
    const std::string of_size = ", " + std::to_string(size) + " bytes";
    const uint64_t times = report.options().size(5'000'000U, 1'000'000U, 100'000U);
    std::vector<bench::Contender> calls;
    std::vector<bench::Contender> constructions;
    for (size_t i = 0; i < std::size(names); ++i) {
        with_contender<size>(i, [&]<class Objects>(std::type_identity<Objects>) {
            const auto callable = std::make_shared<Calls<Objects, size>>(choices);
            const auto constructible = std::make_shared<Constructions<Objects, size>>(choices);
            calls.push_back({names[i], [=] { return callable->run(times); }});
            constructions.push_back(
                {names[i], [=] { return constructible->run(times / 2 / constructed); }});
        });
    }
    report.compare("call" + of_size, calls);
    report.compare("construct" + of_size, constructions);
}

template <size_t size>
void count(size_t contender, bool calls, uint64_t times, const Choices& choices) {
    with_contender<size>(contender, [&]<class Objects>(std::type_identity<Objects>) {
        if (calls) {
            Calls<Objects, size>(choices).call(times);
            return;
        }
        Constructions<Objects, size> constructions(choices);
        while (times != 0) {
            const size_t now = std::min<uint64_t>(times, constructed);
            constructions.construct(now, 0);
            constructions.destroy(now);
            times -= now;
        }
    });
}

int count(char** words) {
    const auto* const who = std::find(std::begin(names), std::end(names), std::string(words[0]));
    const std::string what = words[1];
    const std::string size = words[2];
    const uint64_t times = std::strtoull(words[3], nullptr, 10);
    const bool known = who != std::end(names) && (what == "call" || what == "construct") &&
                       (size == "8" || size == "24" || size == "48");
    if (!known) {
        std::fprintf(stderr, "usage: handler --count CONTENDER call|construct 8|24|48 TIMES\n");
        return 2;
    }
    const Choices choices;
    const auto number = static_cast<size_t>(who - std::begin(names));
    if (size == "8") count<8>(number, what == "call", times, choices);
    if (size == "24") count<24>(number, what == "call", times, choices);
    if (size == "48") count<48>(number, what == "call", times, choices);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 6 && std::strcmp(argv[1], "--count") == 0) return count(argv + 2);
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
        for (const char* name : names) std::printf("%s\n", name);
        return 0;
    }
    bench::Report report("handler", bench::Options(argc, argv));
    bench::Processors().pin(0);
    const Choices choices;
    compare<8>(report, choices);
    compare<24>(report, choices);
    compare<48>(report, choices);
    return report.finish();
}
