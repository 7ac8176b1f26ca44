// SPDX-License-Identifier: BSL-1.0
// The in-memory network of ManualSockets beside the kernel's: what holds for one must hold for the
// other, or the tests of net would prove nothing.
#include <rondo/backend/default_poller.hpp>

#include "support/conformance.hpp"

using namespace rondo;
using rondo::test::Bench;
using rondo::test::ManualPoller;
using rondo::test::ManualSockets;
using rondo::test::ManualWorld;

namespace {

using Worlds = std::tuple<DefaultPoller, SimPoller, ManualPoller>;

// A listener, a client of it, and the connection that it accepted.
template <class P>
struct Connected : Bench<P> {
    Connected() {
        auto& sockets = this->poller.sockets();
        listener =
            this->own(sockets.listen_on(Endpoint::ipv4_loopback(0), ListenOptions()).value());
        at = sockets.local(listener).value();
        client = this->own(sockets.connect_to(at, ConnectOptions()).value());
        await(listener, Interest::read);
        const Accepted accepted = sockets.accept(listener).value();
        server = this->own(accepted.fd);
        await(client, Interest::write);
        CHECK(accepted.peer == sockets.local(client).value());
        CHECK(sockets.peer(client).value() == at);
        CHECK(sockets.local(server).value() == at);
    }

    // What the first event of this interest says.
    Readiness await(int fd, Interest interest) {
        REQUIRE(this->poller.add(fd, interest, Token(fd, 1)));
        const auto seen = this->wait(Instant::max());
        REQUIRE(this->poller.remove(fd, interest));
        REQUIRE(seen.size() == 1);
        return seen[0].readiness;
    }
    IoResult read(int fd) {
        std::byte bytes[16];
        return this->poller.sockets().read(fd, bytes);
    }
    IoResult write(int fd) {
        const std::byte bytes[4]{};
        return this->poller.sockets().write(fd, bytes);
    }

    int listener = -1;
    int client = -1;
    int server = -1;
    Endpoint at;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a socket takes its options and a closed descriptor none", "", Worlds) {
    Bench<TestType> bench;
    auto& sockets = bench.poller.sockets();
    const auto take_all = [&](int fd) {
        return std::vector<Result<void>>{
            sockets.set_reuse_address(fd, true),
            sockets.set_reuse_port(fd, true),
            sockets.set_no_delay(fd, true),
            sockets.set_keep_alive(fd, KeepAlive()),
            sockets.set_send_timeout(fd, Duration::seconds(1)),
            sockets.set_receive_timeout(fd, Duration::seconds(1)),
            sockets.set_send_buffer(fd, 0),
            sockets.set_receive_buffer(fd, 0),
            sockets.set_linger_reset(fd, true),
            sockets.set_non_blocking(fd, true),
        };
    };
    const int fd = bench.own(sockets.open(Family::ipv4, SocketKind::stream).value());
    for (const auto& taken : take_all(fd)) CHECK(taken);
    // A machine may be without IPv6.
    if (const auto ipv6 = sockets.open(Family::ipv6, SocketKind::stream)) {
        CHECK(sockets.set_v6_only(bench.own(*ipv6), true));
    }
    bench.close(fd);
    for (const auto& refused : take_all(fd)) CHECK(refused.error() == EBADF);
    CHECK(sockets.set_v6_only(fd, true).error() == EBADF);
}

TEMPLATE_LIST_TEST_CASE("a negative buffer size is EINVAL and changes nothing", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    const auto sent = sockets.set_send_buffer(bench.client, -1);
    CHECK(sent.error() == EINVAL);
    CHECK(sent.error().message().view().starts_with("set SO_SNDBUF fd "));
    const auto received = sockets.set_receive_buffer(bench.client, -1);
    CHECK(received.error() == EINVAL);
    CHECK(received.error().message().view().starts_with("set SO_RCVBUF fd "));
    CHECK(sockets.set_send_buffer(-1, -1).error() == EINVAL);
    CHECK(bench.write(bench.client).bytes == 4);
}

TEMPLATE_LIST_TEST_CASE("a connection carries bytes both ways", "", Worlds) {
    Connected<TestType> bench;
    CHECK(bench.read(bench.server).would_block());
    CHECK(bench.write(bench.client).bytes == 4);
    bench.await(bench.server, Interest::read);
    CHECK(bench.read(bench.server).bytes == 4);
    CHECK(bench.write(bench.server).bytes == 4);
    bench.await(bench.client, Interest::read);
    CHECK(bench.read(bench.client).bytes == 4);
}

TEMPLATE_LIST_TEST_CASE("a half-closed connection still carries bytes the other way", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    CHECK(bench.write(bench.client).bytes == 4);
    REQUIRE(sockets.shutdown(bench.client, Shutdown::write));
    CHECK(bench.write(bench.client).code == EPIPE);
    Readiness state = bench.await(bench.server, Interest::read);
    while (!any(state, Readiness::read_closed)) state = bench.await(bench.server, Interest::read);
    CHECK(state == (Readiness::readable | Readiness::read_closed));
    CHECK(bench.read(bench.server).bytes == 4);
    const IoResult end = bench.read(bench.server);
    CHECK((end && end.bytes == 0));
    CHECK(bench.write(bench.server).bytes == 4);
    bench.await(bench.client, Interest::read);
    CHECK(bench.read(bench.client).bytes == 4);
    REQUIRE(sockets.shutdown(bench.server, Shutdown::write));
    state = bench.await(bench.client, Interest::read);
    CHECK(state == (Readiness::readable | Readiness::read_closed | Readiness::hangup));
}

TEMPLATE_LIST_TEST_CASE("closing with unread bytes resets the connection", "", Worlds) {
    Connected<TestType> bench;
    CHECK(bench.write(bench.client).bytes == 4);
    bench.await(bench.server, Interest::read);
    bench.close(bench.server);
    const Readiness state = bench.await(bench.client, Interest::read);
    CHECK(any(state, Readiness::error));
    CHECK(any(state, Readiness::hangup));
    CHECK(bench.read(bench.client).code == ECONNRESET);
    CHECK(bench.write(bench.client).code == EPIPE);
}

TEMPLATE_LIST_TEST_CASE("a linger reset resets the connection", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    REQUIRE(sockets.set_linger_reset(bench.server, true));
    bench.close(bench.server);
    CHECK(any(bench.await(bench.client, Interest::read), Readiness::error));
    CHECK(sockets.error(bench.client) == ECONNRESET);
    CHECK(sockets.error(bench.client) == 0);
}

TEMPLATE_LIST_TEST_CASE("the second write to a closed peer is EPIPE", "", Worlds) {
    Connected<TestType> bench;
    bench.close(bench.server);
    const Readiness state = bench.await(bench.client, Interest::read);
    CHECK(state == (Readiness::readable | Readiness::read_closed));
    CHECK(bench.write(bench.client).bytes == 4);
    bench.await(bench.client, Interest::priority);  // the answer: error and hang-up
    CHECK(bench.write(bench.client).code == EPIPE);
    const IoResult end = bench.read(bench.client);
    CHECK((end && end.bytes == 0));
}

TEMPLATE_LIST_TEST_CASE("a connect that nobody listens for is refused", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    bench.close(bench.listener);
    const int fd = bench.own(sockets.open(Family::ipv4, SocketKind::stream).value());
    const auto done = sockets.connect(fd, bench.at);
    CHECK(done.error() == EINPROGRESS);
    const Readiness state = bench.await(fd, Interest::write);
    CHECK(state == (Readiness::writable | Readiness::error | Readiness::hangup));
    CHECK(sockets.error(fd) == ECONNREFUSED);
}

TEMPLATE_LIST_TEST_CASE("an address in use can't be bound again", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    CHECK(sockets.listen_on(bench.at, ListenOptions()).error() == EADDRINUSE);
}

TEMPLATE_LIST_TEST_CASE("without room a write takes a part, then nothing", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    const std::vector<std::byte> lots(64 << 20);
    const IoResult first = sockets.write(bench.client, lots);
    CHECK(first);
    CHECK(first.bytes < lots.size());
    bench.fill(bench.client);
    CHECK(bench.write(bench.client).would_block());
    bench.await(bench.server, Interest::read);
    while (bench.drain(bench.server) > 0) {
    }
    bench.await(bench.client, Interest::write);
    CHECK(bench.write(bench.client).bytes == 4);
}

TEMPLATE_LIST_TEST_CASE("several parts arrive as one", "", Worlds) {
    Connected<TestType> bench;
    const ConstBuffer parts[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    CHECK(bench.poller.sockets().writev(bench.client, parts).bytes == 5);
    bench.await(bench.server, Interest::read);
    std::byte bytes[16];
    CHECK(bench.poller.sockets().read(bench.server, bytes).bytes == 5);
    CHECK(bytes[4] == std::byte{'e'});
}

TEMPLATE_LIST_TEST_CASE("a datagram brings its sender and tells if it was cut", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    const int a = bench.own(sockets.open(Family::ipv4, SocketKind::datagram).value());
    const int b = bench.own(sockets.open(Family::ipv4, SocketKind::datagram).value());
    REQUIRE(sockets.bind(a, Endpoint::ipv4_loopback(0)));
    REQUIRE(sockets.bind(b, Endpoint::ipv4_loopback(0)));
    const Endpoint to = sockets.local(b).value();
    const std::byte bytes[6]{};
    CHECK(sockets.send_to(a, bytes, to).bytes == 6);
    bench.await(b, Interest::read);
    std::byte small[4];
    Datagram about;
    CHECK(sockets.receive_from(b, small, about).bytes == 4);
    CHECK(about.truncated);
    CHECK(about.peer == sockets.local(a).value());
    CHECK(sockets.receive_from(b, small, about).would_block());
}

TEMPLATE_LIST_TEST_CASE("a batch receives what its room holds", "", Worlds) {
    Connected<TestType> bench;
    auto& sockets = bench.poller.sockets();
    const int a = bench.own(sockets.open(Family::ipv4, SocketKind::datagram).value());
    const int b = bench.own(sockets.open(Family::ipv4, SocketKind::datagram).value());
    REQUIRE(sockets.bind(b, Endpoint::ipv4_loopback(0)));
    const Endpoint to = sockets.local(b).value();
    const std::byte bytes[4]{};
    for (int i = 0; i < 3; ++i) REQUIRE(sockets.send_to(a, bytes, to).bytes == 4);
    bench.await(b, Interest::read);
    std::byte room[11];
    Datagram about[9];
    CHECK(sockets.receive_batch(b, room, 0, about).count == 0);
    CHECK(sockets.receive_batch(b, room, 12, about).count == 0);
    CHECK(sockets.receive_batch(b, room, 4, about).count == 2);
    CHECK(sockets.receive_batch(b, room, 4, about).count == 1);
}

TEST_CASE("a held connect is neither made nor refused until it is let go") {
    ManualWorld world;
    ManualPoller poller(world);
    auto& sockets = poller.sockets();
    const int listener = sockets.listen_on(Endpoint::ipv4_any(80), ListenOptions()).value();
    world.hold_connects(true);
    const int fd = sockets.connect_to(Endpoint::ipv4_loopback(80), ConnectOptions()).value();
    REQUIRE(poller.add(fd, Interest::write, Token(fd, 1)));
    ManualPoller::Event events[4];
    CHECK(poller.wait(events, world.time() + Duration::seconds(9)).value() == 0);
    CHECK(sockets.accept(listener).error() == EAGAIN);
    world.hold_connects(false);
    CHECK(poller.wait(events, Instant::min()).value() == 1);
    CHECK(sockets.accept(listener));
}

TEST_CASE("an accept can be made to fail once") {
    ManualWorld world;
    ManualSockets sockets(world);
    const int listener = sockets.listen_on(Endpoint::ipv4_any(80), ListenOptions()).value();
    world.fail_next_accept(EMFILE);
    CHECK(sockets.accept(listener).error() == EMFILE);
    CHECK(sockets.accept(listener).error() == EAGAIN);
}

TEST_CASE("a full backlog refuses the next connection") {
    ManualWorld world;
    ManualPoller poller(world);
    auto& sockets = poller.sockets();
    const Endpoint at = Endpoint::unix_path("/run/x").value();
    CHECK(sockets.connect_to(at, ConnectOptions()).error() == ENOENT);
    REQUIRE(sockets.listen_on(at, ListenOptions{.backlog = 2}));
    CHECK(sockets.connect_to(at, ConnectOptions()));
    CHECK(sockets.connect_to(at, ConnectOptions()));
    CHECK(sockets.connect_to(at, ConnectOptions()).error() == EAGAIN);
    CHECK(world.open_descriptors() == 3);
}
