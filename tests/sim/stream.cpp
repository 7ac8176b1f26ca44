// SPDX-License-Identifier: BSL-1.0
#include <rondo/sim/stream.hpp>

#include <chrono>
#include <string>

#include <rondo/net/server.hpp>
#include <rondo/sim/sim_poller.hpp>

#include "support/catch.hpp"

using namespace rondo;
using namespace std::chrono_literals;

namespace {

using Loop = EventLoop<SimPoller>;

// A client that connects over a link which is cut.
struct CutOff {
    sim::World world{{.latency = {5ms, 5ms, 5ms}}};
    Loop there{SimPoller(world, world.host("there"))}, here{SimPoller(world, world.host("here"))};
    Server<Loop> server{there};
    size_t accepted = 0;
    int ended = 0;  // why
    int fd = -1;

    CutOff() {
        world.drive(there);
        world.drive(here);
        server.on_open([this](auto&) { ++accepted; });
        server.on_close([this](auto&, const Error& reason) { ended = reason.code(); });
        server.listen(Endpoint::ipv4_any(80)).value();
        world.cut(world.host("here"), world.host("there"));
        fd = here.sockets().connect_to(world.host("there").address(80), {}).value();
    }
    ~CutOff() { here.sockets().close(fd); }
    void heal() { world.heal(world.host("here"), world.host("there")); }
    int error() { return here.sockets().error(fd); }
    int writing() {
        const std::byte byte{};
        return here.sockets().write(fd, {&byte, 1}).code;
    }
};

}  // namespace

TEST_CASE("a connect over a link that stays cut fails after a time, and nobody hears of it") {
    CutOff site;
    site.world.run_for(126s);
    CHECK(site.writing() == EAGAIN);
    site.world.run_for(2s);
    CHECK(site.error() == ETIMEDOUT);
    site.heal();
    site.world.run_for(1s);
    CHECK(site.accepted == 0);
}

TEST_CASE("a connect over a link that was cut comes when it heals") {
    CutOff site;
    site.world.run_for(100s);
    site.heal();
    site.world.run_for(100s);
    CHECK(site.accepted == 1);
    CHECK(site.error() == 0);
    CHECK(site.writing() == 0);
    CHECK(site.ended == 0);
}

TEST_CASE("a connect whose answer comes too late is a reset connection to the other side") {
    CutOff site;
    site.world.run_for(127s - 7ms);
    site.heal();
    site.world.run_for(6ms);
    CHECK(site.accepted == 1);
    CHECK(site.ended == 0);
    site.world.run_for(1s);
    CHECK(site.error() == ETIMEDOUT);
    CHECK(site.ended == ECONNRESET);
}

TEST_CASE("a half-close ends one direction in the middle of a write, and the other goes on") {
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

TEST_CASE("what is hidden comes before the end, of a reset as of one's own") {
    const bool reset = GENERATE(true, false);
    CAPTURE(reset);
    sim::World world({.latency = {5ms, 5ms, 5ms}});
    Loop there{SimPoller(world, world.host("there"))}, here{SimPoller(world, world.host("here"))};
    SimPoller& poller = there.poller();
    auto& sockets = there.sockets();
    const int listener = sockets.listen_on(Endpoint::ipv4_any(80), {}).value();
    const int peer = here.sockets().connect_to(world.host("there").address(80), {}).value();
    world.run_for(1s);
    const int fd = sockets.accept(listener).value().fd;
    std::byte bytes[2] = {};
    CHECK(here.sockets().write(peer, {bytes, 1}).bytes == 1);
    world.run_for(1s);
    if (reset) {
        CHECK(here.sockets().set_linger_reset(peer, true));
        here.sockets().close(peer);
        world.run_for(1s);
    } else {
        CHECK(sockets.shutdown(fd, Shutdown::read));
    }

    double& spurious = world.network().options.faults.spurious;
    SimEvent event;
    const auto ready = [&] { return poller.wait({&event, 1}, poller.now()).value(); };
    CHECK(poller.add(fd, Interest::read, Token(fd, 1)));
    CHECK(ready() == 1);
    spurious = 1;
    CHECK(sockets.read(fd, bytes).code == EAGAIN);
    CHECK(ready() == 0);
    spurious = 0;
    world.run_for(1s);
    CHECK(ready() == 1);
    CHECK(sockets.read(fd, bytes).bytes == 1);
    const IoResult end = sockets.read(fd, bytes);
    CHECK(end.bytes == 0);
    CHECK(end.code == (reset ? ECONNRESET : 0));
    if (!reset) here.sockets().close(peer);
    sockets.close(fd);
    sockets.close(listener);
}
