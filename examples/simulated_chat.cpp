// SPDX-License-Identifier: BSL-1.0
// The chat, tested under a bad network in virtual time. It is a test, so Catch2 supplies main().
#include <chrono>
#include <string>

#include <rondo/sim/sim_poller.hpp>

#include "examples/chat.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using Loop = rondo::EventLoop<rondo::SimPoller>;

// [simulated_chat]
TEST_CASE("a line is heard by the others, however bad the network is") {
    const auto seed = GENERATE(range(uint64_t{1}, uint64_t{21}));
    CAPTURE(seed);
    rondo::sim::World world({.seed = seed,
                             .latency = {20ms, 80ms, 2s},
                             .bytes_per_second = 10'000,
                             .faults = {.short_write = 0.3, .short_read = 0.3, .spurious = 0.2}});
    auto& hall = world.host("hall");
    auto& home = world.host("home");

    Loop server{rondo::SimPoller(world, hall)};
    example::Chat chat(server);
    REQUIRE(chat.listen(rondo::Endpoint::ipv4_any(7000)));
    world.drive(server);

    Loop clients{rondo::SimPoller(world, home)};
    std::string heard;
    rondo::Connections<Loop> guests(clients);
    guests.on_data([&](auto&, std::span<const std::byte> bytes) {
        heard.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    const auto join = [&] {
        return guests.adopt(clients.sockets().connect_to(hall.address(7000), {}).value()).value();
    };
    const auto ann = join();
    join();
    world.drive(clients);
    world.run_for(10s);

    guests.find(ann)->send("/name Ann\nhello\n");
    world.run_for(10s);
    UNSCOPED_INFO(world.trace().text());
    CHECK(heard.find("Ann: hello\n") != heard.npos);

    world.cut(hall, home);  // an hour without a network, in no time
    guests.find(ann)->send("is anybody there?\n");
    world.run_for(1h);
    UNSCOPED_INFO(world.trace().text());
    CHECK(heard.find("there?") == heard.npos);
    world.heal(hall, home);
    world.run_for(10s);
    UNSCOPED_INFO(world.trace().text());
    CHECK(heard.find("Ann: is anybody there?\n") != heard.npos);
}
// [/simulated_chat]
