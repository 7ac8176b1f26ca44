// SPDX-License-Identifier: BSL-1.0
#include <rondo/net/connector.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/connection_rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;
using namespace std::chrono_literals;

namespace {

// A connector, what it has told, and sockets to connect to.
template <class P, class M = Malloc>
struct Desk {
    using Loop = EventLoop<P, NoObserver, M>;

    explicit Desk(const ConnectorOptions& options = {})
        : connector(std::make_unique<Connector<Loop>>(rig.loop, options)) {}

    Endpoint listening(const Endpoint& at = Endpoint::ipv4_loopback(0)) {
        listener = rig.own(rig.loop.sockets().listen_on(at, {}).value());
        return rig.loop.sockets().local(listener).value();
    }
    /// An address of this host where nobody listens.
    Endpoint refusing() {
        const int fd = rig.loop.sockets().listen_on(Endpoint::ipv4_loopback(0), {}).value();
        const Endpoint at = rig.loop.sockets().local(fd).value();
        rig.loop.sockets().close(fd);
        return at;
    }
    auto note() {
        return [this](Result<int> fd) {
            ++told;
            if (fd) {
                connected = rig.own(*fd);
            } else {
                failure = fd.error();
            }
        };
    }
    Result<void> connect(const std::vector<Endpoint>& to) { return connector->connect(to, note()); }
    /// Until it has told: not for what needs time to pass.
    void finish() {
        while (told == 0) rig.loop.run_once();
    }

    Rig<P, M> rig;
    std::unique_ptr<Connector<Loop>> connector;
    int listener = -1;
    int told = 0;
    int connected = -1;
    Error failure;
};

using Manual = Desk<ManualPoller>;

Endpoint v4(uint16_t port) { return Endpoint::ipv4_loopback(port); }
Endpoint v6(uint16_t port) { return Endpoint::ipv6_loopback(port); }

}  // namespace

KERNEL_CASE("a connector hands over a connected descriptor", "[connector]") {
    Desk<TestType> desk;
    const Endpoint at = desk.listening();
    desk.connect({at}).value();
    REQUIRE(desk.told == 0);
    REQUIRE(desk.connector->busy());
    desk.finish();
    REQUIRE(desk.connected >= 0);
    REQUIRE(!desk.connector->busy());
    REQUIRE(desk.rig.loop.sockets().peer(desk.connected).value() == at);
    REQUIRE(desk.rig.loop.sockets().accept(desk.listener));
    REQUIRE(desk.rig.loop.poll() == 0);
    REQUIRE(desk.told == 1);
}

KERNEL_CASE("what is refused is told, with the address", "[connector]") {
    Desk<TestType> desk;
    const Endpoint at = desk.refusing();
    desk.connect({at}).value();
    desk.finish();
    REQUIRE(desk.failure == ECONNREFUSED);
    REQUIRE(desk.failure.object() == at.text().view());
    REQUIRE(!desk.connector->busy());
}

KERNEL_CASE("the next address is tried when one fails", "[connector]") {
    Desk<TestType> desk;
    const Endpoint good = desk.listening();
    desk.connect({desk.refusing(), desk.refusing(), good}).value();
    desk.finish();
    REQUIRE(desk.connected >= 0);
    REQUIRE(desk.rig.loop.sockets().peer(desk.connected).value() == good);
}

KERNEL_CASE("a Unix socket that isn't there is told, not from within the call", "[connector]") {
    Desk<TestType> desk;
    desk.connect({Endpoint::parse("unix:/nowhere/at/all").value()}).value();
    REQUIRE(desk.told == 0);
    desk.finish();
    REQUIRE(desk.failure == ENOENT);
}

KERNEL_CASE("a connection that was made becomes one of a group", "[connector]") {
    StreamRig<TestType> stream;
    auto& sockets = stream.rig.loop.sockets();
    const int listener = stream.rig.own(sockets.listen_on(Endpoint::ipv4_loopback(0), {}).value());
    Connector connector(stream.rig.loop);
    connector
        .connect(sockets.local(listener).value(),
                 [&](Result<int> fd) {
                     stream.group.find(stream.group.adopt(*fd).value())->send("hello");
                 })
        .value();
    while (stream.group.empty()) stream.rig.loop.run_once();
    stream.peer = stream.rig.own(sockets.accept(listener)->fd);
    REQUIRE(stream.peer_hears() == "hello");
}

TEST_CASE("families alternate, in the order that was given", "[connector]") {
    Manual desk;
    desk.connect({v6(1), v6(2), v6(3), v4(4), v4(5), v6(6)}).value();
    desk.finish();
    REQUIRE(desk.rig.world().connects ==
            std::vector<Endpoint>{v6(1), v4(4), v6(2), v4(5), v6(3), v6(6)});
    REQUIRE(desk.failure.object() == v6(6).text().view());
}

TEST_CASE("an undecided address doesn't keep the next one waiting for long", "[connector]") {
    Manual desk;
    const Endpoint good = desk.listening();
    auto& world = desk.rig.world();
    world.lose_connects(v4(1));
    desk.connect({v4(1), good}).value();
    world.advance(249ms);
    desk.rig.loop.poll();
    REQUIRE(world.connects.size() == 1);
    world.advance(1ms);
    desk.finish();
    REQUIRE(world.connects.size() == 2);
    REQUIRE(desk.connected >= 0);
    // The listener and this end: the first attempt is gone. (The other end isn't accepted yet.)
    REQUIRE(world.open_descriptors() == 2);
}

TEST_CASE("an earlier address may still win", "[connector]") {
    Manual desk;
    const Endpoint good = desk.listening();
    auto& world = desk.rig.world();
    world.lose_connects(v4(1));
    world.hold_connects(true);
    desk.connect({good, v4(1)}).value();
    world.advance(250ms);
    desk.rig.loop.poll();
    REQUIRE(world.connects.size() == 2);
    world.hold_connects(false);
    desk.finish();
    REQUIRE(desk.rig.loop.sockets().peer(desk.connected).value() == good);
}

TEST_CASE("an attempt that fails doesn't wait for the stagger", "[connector]") {
    Manual desk;
    const Endpoint good = desk.listening();
    desk.connect({v4(1), good}).value();
    const Instant before = desk.rig.loop.poller().now();
    desk.finish();
    REQUIRE(desk.connected >= 0);
    REQUIRE(desk.rig.loop.poller().now() == before);
}

TEST_CASE("the timeout ends everything", "[connector]") {
    Manual desk({.timeout = 3s});
    auto& world = desk.rig.world();
    world.lose_connects(v4(1));
    world.lose_connects(v4(2));
    const Instant begin = desk.rig.loop.poller().now();
    desk.connect({v4(1), v4(2)}).value();
    desk.rig.loop.run();
    REQUIRE(desk.told == 1);
    REQUIRE(desk.failure == ETIMEDOUT);
    REQUIRE(desk.failure.object() == v4(2).text().view());
    REQUIRE(world.open_descriptors() == 0);
    REQUIRE(desk.rig.loop.poller().now() == begin + Duration(3s));
}

TEST_CASE("further rounds come after pauses that double up to a limit", "[connector]") {
    Manual desk({.rounds = 5, .retry_min = 100ms, .retry_max = 300ms});
    const Instant begin = desk.rig.loop.poller().now();
    desk.connect({v4(1), v4(2)}).value();
    desk.rig.loop.run();
    REQUIRE(desk.told == 1);
    REQUIRE(desk.failure == ECONNREFUSED);
    REQUIRE(desk.rig.world().connects.size() == 10);
    REQUIRE(desk.rig.loop.poller().now() == begin + Duration(100ms + 200ms + 300ms + 300ms));
}

TEST_CASE("without a limit of rounds the timeout is the limit", "[connector]") {
    Manual desk({.timeout = 1s, .rounds = 0, .retry_min = 100ms, .retry_max = 100ms});
    desk.connect({v4(1)}).value();
    desk.rig.loop.run();
    REQUIRE(desk.failure == ETIMEDOUT);
    REQUIRE(desk.rig.world().connects.size() >= 9);
}

TEST_CASE("a server that comes up later is found", "[connector]") {
    Manual desk({.rounds = 0});
    const Endpoint at = desk.refusing();
    desk.connect({at}).value();
    for (int i = 0; i < 5; ++i) desk.rig.loop.poll();
    REQUIRE(desk.told == 0);
    desk.listening(at);
    desk.rig.loop.run();
    REQUIRE(desk.connected >= 0);
}

TEST_CASE("a cancelled connect never calls its handler, and leaves nothing", "[connector]") {
    Manual desk;
    desk.rig.world().lose_connects(v4(1));
    const auto witness = std::make_shared<int>();
    desk.connector->connect(v4(1), [witness](Result<int>) { FAIL(); }).value();
    REQUIRE(witness.use_count() == 2);
    desk.connector->cancel();
    REQUIRE(witness.use_count() == 1);
    REQUIRE(!desk.connector->busy());
    REQUIRE(desk.rig.world().open_descriptors() == 0);
    REQUIRE(desk.rig.loop.run() == 0);
}

TEST_CASE("a handler may connect again, and destroy the connector", "[connector]") {
    Manual desk;
    const Endpoint at = desk.listening();
    desk.connector
        ->connect(v4(1),
                  [&](Result<int> fd) {
                      REQUIRE(!fd);
                      desk.connector
                          ->connect(at,
                                    [&](Result<int> second) {
                                        desk.connector.reset();
                                        desk.note()(std::move(second));
                                    })
                          .value();
                  })
        .value();
    desk.finish();
    REQUIRE(desk.connected >= 0);
    REQUIRE(desk.rig.loop.run() == 0);
}

KERNEL_CASE("a socket that meets itself is no connection", "[connector]") {
    Desk<TestType> desk;
    const Endpoint at = desk.refusing();
    Connector connector(desk.rig.loop, {.source = at});
    connector.connect(at, desk.note()).value();
    desk.finish();
    REQUIRE(desk.failure == ECONNREFUSED);
}

KERNEL_CASE("a connector binds to its source address", "[connector]") {
    Desk<TestType> desk;
    const Endpoint at = desk.listening();
    const Endpoint source = desk.refusing();
    Connector connector(desk.rig.loop, {.source = source});
    connector.connect(at, desk.note()).value();
    desk.finish();
    REQUIRE(desk.connected >= 0);
    REQUIRE(desk.rig.loop.sockets().local(desk.connected).value() == source);
}

TEST_CASE("a connect without an address is an error at the call", "[connector]") {
    Manual desk;
    REQUIRE(desk.connect({}).error() == EINVAL);
    REQUIRE(desk.rig.loop.run() == 0);
    REQUIRE(desk.told == 0);
}

TEST_CASE("rounds without a pause between them assert", "[connector]") {
    ManualRig rig;
    const auto death =
        dies([&] { const Connector connector(rig.loop, {.rounds = 0, .retry_min = Duration()}); });
    CHECK_THAT(death.message, ContainsSubstring("retry_min must be above 0"));
}

TEST_CASE("a connector out of memory tells it, and goes on afterwards", "[connector]") {
    using Counting = CountingMemory<68>;
    for (int k = 1;; ++k) {
        Desk<ManualPoller, Counting> desk;
        const Endpoint at = desk.listening();
        const size_t refused = Counting::refused();
        Counting::fail_after(k);
        const auto begun = desk.connect({v4(1), at});
        Counting::never_fail();
        if (!begun) {
            REQUIRE(begun.error() == ENOMEM);
            REQUIRE(!desk.connector->busy());
            REQUIRE(desk.rig.loop.run() == 0);
            REQUIRE(desk.told == 0);
            desk.connect({v4(1), at}).value();
        }
        desk.finish();
        REQUIRE(desk.connected >= 0);
        if (Counting::refused() == refused) break;
    }
    REQUIRE(Counting::held() == 0);
}
