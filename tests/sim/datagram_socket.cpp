// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/datagram_socket.hpp>

#include <chrono>
#include <string>
#include <vector>

#include <rondo/net/udp_socket.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

using namespace rondo;
using namespace std::chrono_literals;
using rondo::sim::Faults;

namespace {

using Loop = EventLoop<SimPoller>;

// Two hosts; what the first one sends is heard by the second one.
struct Site {
    explicit Site(const sim::WorldOptions& options)
        : world(options),
          here(SimPoller(world, world.host("here"))),
          there(SimPoller(world, world.host("there"))),
          receiver(there),
          sender(here) {
        receiver.on_datagram([this](std::span<const std::byte> bytes, const Datagram& from) {
            heard.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            CHECK(from.peer == world.host("here").address(from.peer.port()));
        });
        receiver.bind(Endpoint::ipv4_any(53)).value();
        sender.bind(Endpoint::ipv4_any(0)).value();
        world.drive(here);
        world.drive(there);
    }
    void send(size_t count) {
        for (size_t i = 0; i < count; ++i) {
            const std::string text = "number " + std::to_string(i);
            CHECK(sender.send(std::as_bytes(std::span(text)), world.host("there").address(53)));
        }
        world.run_for(1min);
    }
    size_t struck(double Faults::* fault) const { return world.struck(fault); }

    sim::World world;
    Loop here;
    Loop there;
    UdpSocket<Loop> receiver;
    UdpSocket<Loop> sender;
    std::vector<std::string> heard;
};

}  // namespace

TEST_CASE("datagrams arrive after the latency, whole") {
    Site site({.latency = {7ms, 7ms, 7ms}});
    site.send(3);
    CHECK(site.heard == std::vector<std::string>{"number 0", "number 1", "number 2"});
}

TEST_CASE("datagrams are lost and doubled as often as the world says") {
    Site site({.faults = {.datagram_lost = 0.2, .datagram_doubled = 0.3}});
    site.send(1000);
    const size_t lost = site.struck(&Faults::datagram_lost);
    const size_t doubled = site.struck(&Faults::datagram_doubled);
    CHECK(lost > 100);
    CHECK(doubled > 100);
    CHECK(site.heard.size() == 1000 - lost + doubled);
}

TEST_CASE("late datagrams are overtaken by others") {
    Site site({.latency = {1ms, 1ms, 1ms}, .faults = {.datagram_late = 0.5}});
    site.send(100);
    const size_t late = site.struck(&Faults::datagram_late);
    REQUIRE(site.heard.size() == 100);
    CHECK(late > 20);
    // All were sent at once: those that are late are the last.
    const auto number = [&](size_t i) { return std::stoul(site.heard[i].substr(7)); };
    size_t steps_back = 0;
    for (size_t i = 1; i < 100; ++i) steps_back += number(i) < number(i - 1) ? 1U : 0U;
    CHECK(steps_back == 1);
    CHECK(number(100 - late) < number(99 - late));
}

TEST_CASE("datagrams don't wait for a link that is cut") {
    Site site({});
    auto& here = site.world.host("here");
    auto& there = site.world.host("there");
    site.world.cut(here, there);
    site.send(1);
    site.world.heal(here, there);
    site.send(1);
    CHECK(site.heard.size() == 1);
}
