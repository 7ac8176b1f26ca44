// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/network.hpp>

#include <chrono>
#include <string>

#include "support/catch.hpp"

using namespace rondo;
using namespace std::chrono_literals;
using rondo::sim::Faults;
using rondo::sim::Network;

namespace {

// Runs what happens until then.
void pass(Network& network, Duration time) {
    const Instant end = network.now() + time;
    while (network.next() <= end) {
        network.advance(network.next());
        while (network.happen()) {
        }
    }
    network.advance(end);
}

}  // namespace

TEST_CASE(
    "things happen in the order of their times, and those of one time in that of their making") {
    Network network({}, 0);
    std::string order;
    network.after(2ms, [&] { order += 'c'; });
    network.after(1ms, [&] { order += 'a'; });
    network.after(1ms, [&] { order += 'b'; });
    network.at(Instant(), [&] { order += '0'; });
    pass(network, 1ms);
    CHECK(order == "0ab");
    pass(network, 1ms);
    CHECK(order == "0abc");
    CHECK(network.next() == Instant::max());
}

TEST_CASE("what one sender sends arrives in its order, whatever the latency") {
    Network network({.latency = {Duration(), 5ms, 1s}}, 0);
    Instant last;
    std::string order;
    for (char c = 'a'; c <= 'z'; ++c) network.carry(0, 1, 1, last, [&order, c] { order += c; });
    pass(network, 10s);
    CHECK(order == "abcdefghijklmnopqrstuvwxyz");
}

TEST_CASE("within a host nothing takes time") {
    Network network({.latency = {1s, 1s, 1s}}, 0);
    Instant last;
    bool there = false;
    network.carry(3, 3, 1000, last, [&] { there = true; });
    CHECK(there);
}

TEST_CASE("a link that was cut carries what it has held first, and both ways") {
    Network network({.latency = {1ms, 5ms, 1s}}, 0);
    Instant forth;
    Instant back;
    std::string order;
    network.cut(0, 1);
    CHECK(network.is_cut(1, 0));
    network.carry(0, 1, 1, forth, [&] { order += 'a'; });
    network.carry(1, 0, 1, back, [&] { order += '1'; });
    pass(network, 1min);
    CHECK(order.empty());
    network.heal(0, 1);
    CHECK_FALSE(network.is_cut(0, 1));
    network.carry(0, 1, 1, forth, [&] { order += 'b'; });
    pass(network, 1min);
    CHECK(order.size() == 3);
    CHECK(order.find('a') < order.find('b'));
    CHECK(order.find('1') != order.npos);
}

TEST_CASE("a link that is cut and healed again and again keeps the order of what it carries") {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        Network network({.seed = seed, .latency = {1ms, 50ms, 1s}}, 0);
        Instant last;
        std::string order;
        const auto send = [&](char c) {
            network.carry(0, 1, 1, last, [&order, c] { order += c; });
            pass(network, 1ms);
        };
        send('a');
        network.cut(0, 1);
        send('b');
        network.heal(0, 1);
        send('c');
        network.heal(0, 1);  // not cut
        send('d');
        network.cut(0, 1);
        send('e');
        network.heal(0, 1);
        send('f');
        pass(network, 1min);
        REQUIRE(order == "abcdef");
    }
}

TEST_CASE("a fault strikes as often as it says, and is counted") {
    Network network({.faults = {.reset = 0.5}}, 0);
    size_t struck = 0;
    for (int i = 0; i < 1000; ++i) {
        if (network.strikes(&Faults::reset)) ++struck;
    }
    CHECK(struck > 400);
    CHECK(struck < 600);
    CHECK_FALSE(network.strikes(&Faults::spurious));
    for (size_t i = 0; i < std::size(sim::all_faults); ++i) {
        const bool reset = sim::all_faults[i].chance == &Faults::reset;
        CHECK(network.struck[i] == (reset ? struck : 0));
    }
}

TEST_CASE("what is sent after a link has healed comes behind what it held, also without latency") {
    Network network({}, 0);
    std::string heard;
    Instant last;
    network.cut(0, 1);
    network.carry(0, 1, 1, last, [&] { heard += "1"; });
    network.heal(0, 1);
    network.carry(0, 1, 1, last, [&] { heard += "2"; });
    while (network.happen()) {
    }
    CHECK(heard == "12");
}
