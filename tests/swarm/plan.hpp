// SPDX-License-Identifier: BSL-1.0
#pragma once
// What a seed of the swarm is: a network and some of the faults, each with a probability of its own
// (swarm testing: Groce et al., "Swarm Testing", ISSTA 2012). What goes wrong in a world is said in
// words, for the program that runs the seeds and for the tests.

#include <algorithm>
#include <string>

#include <rondo/sim/world.hpp>

namespace rondo::test {

/// Whether it ends a stream before all that was sent has come.
inline bool is_deadly(double sim::Faults::* fault) {
    using F = sim::Faults;
    return fault == &F::reset || fault == &F::half_close || fault == &F::accept_aborted ||
           fault == &F::accept_no_fds;
}

/// The options that a seed stands for.
inline sim::WorldOptions swarm_options(uint64_t seed) {
    sim::Random random(seed ^ 0x5EED);
    sim::WorldOptions options{.seed = seed};
    const auto up_to = [&](int64_t us) {
        return Duration::microseconds(
            static_cast<int64_t>(random.below(static_cast<uint64_t>(us))));
    };
    const auto delay = [&](int64_t us) {
        const Duration min = up_to(us);
        const Duration mean = min + up_to(us);
        return sim::Delay{min, mean, mean + up_to(us * 20)};
    };
    if (random.chance(0.9)) options.latency = delay(20'000);
    if (random.chance(0.3)) options.bytes_per_second = 20'000 + random.below(1'000'000);
    if (random.chance(0.3)) options.buffer = 1 + random.below(10'000);
    options.job = delay(100'000);
    options.turn = delay(10'000);
    const bool kind = random.chance(0.3);  // nothing ends a stream: all must come
    for (const sim::NamedFault& fault : sim::all_faults) {
        const bool deadly = is_deadly(fault.chance);
        const bool rare =
            fault.chance == &sim::Faults::reset || fault.chance == &sim::Faults::half_close;
        const double most = rare ? 0.02 : 0.2;
        const double drawn = static_cast<double>(random.below(1000)) / 1000 * most;
        const bool meant = random.chance(0.5) && !(deadly && kind);
        options.faults.*fault.chance = meant ? drawn : 0;
    }
    return options;
}

/// Whether the loops of a seed's world know no edges. The last bit decides other things, and the
/// seeds of `regressions` have edges.
inline bool without_edges(uint64_t seed) { return seed / 2 % 4 == 1; }

/// Sentences about what isn't as it must be; none if all is well.
class Violations {
public:
    void unless(bool fine, const char* sentence) {
        if (!fine) text_ += std::string(sentence) + "\n";
    }
    void unless_equal(size_t a, size_t b, const char* sentence) {
        unless(a == b,
               (std::string(sentence) + ": " + std::to_string(a) + " and " + std::to_string(b))
                   .c_str());
    }
    /// When its servers and clients have been destroyed: no loop has turned in vain, and nothing is
    /// open.
    void at_end(sim::World& world) {
        unless(world.vain_turns() < 20, "a loop made turns in which nothing happened");
        world.for_each_host([&](const sim::Host& host) {
            unless_equal(host.open_descriptors(), 0, host.name().c_str());
        });
    }
    const std::string& text() const noexcept { return text_; }

private:
    std::string text_;
};

/// True if no stream has been ended by what went wrong: then all that was sent must have come.
inline bool calm(const sim::World& world) {
    return std::ranges::none_of(sim::all_faults, [&](const sim::NamedFault& fault) {
        return is_deadly(fault.chance) && world.struck(fault.chance) != 0;
    });
}

/// Cuts and heals links, and makes hosts slow, now and then, for a minute. Returns how many links.
inline uint64_t make_trouble(sim::World& world, size_t hosts) {
    auto& random = world.network().random;
    const uint64_t cuts = random.chance(0.5) ? 1 + random.below(5) : 0;
    for (uint64_t i = cuts; i > 0; --i) {
        auto& a = world.host("host" + std::to_string(random.below(hosts)));
        auto& b = world.host("server");
        const Duration begin = Duration::milliseconds(static_cast<int64_t>(random.below(60'000)));
        const Duration length = Duration::milliseconds(static_cast<int64_t>(random.below(20'000)));
        world.after(begin, [&world, &a, &b] { world.cut(a, b); });
        world.after(begin + length, [&world, &a, &b] { world.heal(a, b); });
    }
    if (random.chance(0.2)) world.host("server").set_slow(true);
    if (random.chance(0.2)) world.host("host0").set_slow(true);
    return cuts;
}

}  // namespace rondo::test
