// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/stream.hpp>

#include <chrono>
#include <string>

#include <rondo/net/server.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

using namespace rondo;
using namespace std::chrono_literals;

TEST_CASE("a half-close ends one direction in the middle of a write, and the other goes on") {
    using Loop = EventLoop<SimPoller>;
    sim::World world({.latency = {5ms, 5ms, 5ms}, .faults = {.half_close = 1}});
    Loop there{SimPoller(world, world.host("there"))}, here{SimPoller(world, world.host("here"))};
    world.drive(there);
    world.drive(here);
    const std::string sent(10'000, 'x');

    std::string heard;
    bool ended = false;
    Server<Loop> server(there);
    server.on_data([&](auto&, std::span<const std::byte> bytes) {
        heard.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    server.on_end([&](auto& connection) {
        ended = true;
        connection.send("bye");
    });
    server.listen(Endpoint::ipv4_any(80)).value();

    auto& sockets = here.sockets();
    const int fd = sockets.connect_to(world.host("there").address(80), {}).value();
    world.run_for(1s);
    const IoResult first = sockets.write(fd, std::as_bytes(std::span(sent)));
    CHECK(first.bytes >= 1);
    CHECK(first.bytes < sent.size());
    CHECK(sockets.write(fd, std::as_bytes(std::span(sent))).code == EPIPE);
    world.run_for(1s);
    CHECK(ended);
    CHECK(heard == sent.substr(0, first.bytes));
    CHECK(world.struck(&sim::Faults::half_close) == 2);

    std::byte byte;  // the other direction is closed by half too, in the middle of the answer
    CHECK(sockets.read(fd, {&byte, 1}).bytes == 1);
    CHECK(byte == std::byte{'b'});
    sockets.close(fd);
}
