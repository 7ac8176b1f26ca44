// SPDX-License-Identifier: BSL-1.0
// P3 to P5 of the contract in <rondo/backend/poller.hpp>, for every poller: tokens; level, edge and
// one-shot; hang-up and error; which bits readiness tells apart.

#include "support/conformance.hpp"

namespace {

using namespace rondo;
using rondo::test::Bench;

constexpr Interest edge_read = Interest::read | Interest::edge;
constexpr Interest once_read = Interest::read | Interest::oneshot;

// P3

RULE("P3 tokens: an event carries all 64 bits of its token", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    for (const uint32_t generation : {0U, 1U, 0x80000000U, 0xfffffffeU}) {
        REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, generation)));
        const auto seen = bench.wait();
        REQUIRE(seen.size() == 1);
        REQUIRE(seen[0].token == Token(fd, generation));
        REQUIRE(bench.poller.remove(fd, Interest::write));
    }
}

RULE("P3 tokens: modify gives the registration a new one", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE(bench.poller.modify(fd, Interest::write, Interest::write, Token(fd, 2)));
    const auto seen = bench.wait();
    REQUIRE(seen.size() == 1);
    REQUIRE(seen[0].token == Token(fd, 2));
}

RULE("P3 tokens: a reused number never brings an event of its former owner", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.send(peer);
    REQUIRE(bench.wait().size() == 1);
    REQUIRE(bench.poller.remove(fd, Interest::read));
    bench.close(fd);
    const auto [again, other] = bench.pair();
    REQUIRE(again == fd);
    REQUIRE(bench.poller.add(again, Interest::read, Token(again, 2)));
    REQUIRE(bench.silent());
    bench.send(other);
    const auto seen = bench.wait();
    REQUIRE(seen.size() == 1);
    REQUIRE(seen[0].token == Token(again, 2));
}

// P4

RULE("P4 level: a state is reported by every wait for as long as it lasts", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.send(peer);
    for (int i = 0; i < 3; ++i) REQUIRE(bench.state(fd) == Readiness::readable);
    REQUIRE(bench.drain(fd) == 1);
    REQUIRE(bench.silent());
    bench.send(peer);
    REQUIRE(bench.state(fd) == Readiness::readable);
}

RULE("P4 level: room to write comes and goes", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    for (int i = 0; i < 3; ++i) REQUIRE(bench.state(fd) == Readiness::writable);
    bench.fill(fd);
    REQUIRE(bench.silent());
    REQUIRE(bench.drain(peer) > 0);
    REQUIRE(bench.state(fd) == Readiness::writable);
}

RULE("P4 level: both directions come in one event", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    bench.send(peer);
    REQUIRE(bench.poller.add(fd, Interest::read | Interest::write, Token(fd, 1)));
    const auto seen = bench.wait();
    REQUIRE(seen.size() == 1);
    REQUIRE(seen[0].readiness == (Readiness::readable | Readiness::writable));
}

RULE("P4 level: a direction that was not asked for is not reported", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    bench.send(peer);
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::writable);
    REQUIRE(bench.poller.modify(fd, Interest::write, Interest::read, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::readable);
}

RULE("P4 level: a regular file is always ready where it can be added", files) {
    Bench<P> bench;
    const int fd = bench.file();
    const Interest both = Interest::read | Interest::write;
    REQUIRE(bench.poller.add(fd, both, Token(fd, 1)));
    for (int i = 0; i < 2; ++i) {
        REQUIRE(bench.wait(Instant::max()).size() == 1);
        REQUIRE(bench.state(fd) == (Readiness::readable | Readiness::writable));
    }
    REQUIRE(bench.poller.modify(fd, both, Interest::none, Token(fd, 1)));
    REQUIRE(bench.silent());
}

RULE("P4 edge: a change is reported once", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, edge_read, Token(fd, 1)));
    REQUIRE(bench.silent());
    bench.send(peer);
    REQUIRE(bench.state(fd) == Readiness::readable);
    REQUIRE(bench.silent());
}

RULE("P4 edge: new bytes are a change although the old ones are unread", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, edge_read, Token(fd, 1)));
    for (int i = 0; i < 3; ++i) {
        bench.send(peer);
        REQUIRE(bench.state(fd) == Readiness::readable);
        REQUIRE(bench.silent());
    }
}

RULE("P4 edge: add reports a state that is there already", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    bench.send(peer);
    REQUIRE(bench.poller.add(fd, edge_read, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::readable);
    REQUIRE(bench.silent());
}

RULE("P4 edge: modify reports a state that still lasts again", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, edge_read, Token(fd, 1)));
    bench.send(peer);
    REQUIRE(bench.state(fd) == Readiness::readable);
    REQUIRE(bench.poller.modify(fd, edge_read, edge_read, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::readable);
    REQUIRE(bench.drain(fd) == 1);
    REQUIRE(bench.poller.modify(fd, edge_read, edge_read, Token(fd, 1)));
    REQUIRE(bench.silent());
}

RULE("P4 edge: room that appears is a change", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    bench.fill(fd);
    REQUIRE(bench.poller.add(fd, Interest::write | Interest::edge, Token(fd, 1)));
    REQUIRE(bench.silent());
    REQUIRE(bench.drain(peer) > 0);
    REQUIRE(bench.state(fd) == Readiness::writable);
    REQUIRE(bench.silent());
}

RULE("P4 edge: the end of the stream is a change", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, edge_read, Token(fd, 1)));
    bench.send(peer);
    REQUIRE(bench.state(fd) == Readiness::readable);
    bench.close(peer);
    REQUIRE(bench.state(fd) != Readiness::none);
    REQUIRE(bench.silent());
}

RULE("P4 one-shot: it reports once and is then silent in all directions", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    const Interest both = once_read | Interest::write;
    REQUIRE(bench.poller.add(fd, both, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::writable);
    REQUIRE(bench.silent());
    bench.send(peer);
    REQUIRE(bench.silent());
    bench.close(peer);
    REQUIRE(bench.raw_wait() == 0);
}

RULE("P4 one-shot: modify arms it again and the registration stays", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, once_read, Token(fd, 1)));
    for (uint32_t i = 2; i < 5; ++i) {
        bench.send(peer);
        REQUIRE(bench.state(fd) == Readiness::readable);
        REQUIRE(bench.silent());
        REQUIRE(bench.poller.add(fd, once_read, Token(fd, 1)).error() == EEXIST);
        REQUIRE(bench.poller.modify(fd, once_read, once_read, Token(fd, i)));
    }
    REQUIRE(bench.state(fd) == Readiness::readable);
    REQUIRE(bench.poller.remove(fd, once_read));
}

RULE("P4 one-shot: it can be edge-triggered too", edge) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    const Interest interest = edge_read | Interest::oneshot;
    REQUIRE(bench.poller.add(fd, interest, Token(fd, 1)));
    bench.send(peer);
    REQUIRE(bench.state(fd) == Readiness::readable);
    bench.send(peer);
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.modify(fd, interest, interest, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::readable);
}

// P5

RULE("P5 hang-up: it wakes whichever direction is enabled", nothing) {
    for (const Interest interest : {Interest::read, Interest::write}) {
        Bench<P> bench;
        const auto [fd, peer] = bench.pair();
        bench.fill(fd);
        REQUIRE(bench.poller.add(fd, interest, Token(fd, 1)));
        REQUIRE(bench.silent());
        bench.close(peer);
        REQUIRE(bench.state(fd) != Readiness::none);
        REQUIRE(bench.state(fd) != Readiness::none);
    }
}

RULE("P5 hang-up: the read end of a pipe hears that the writer is gone", nothing) {
    Bench<P> bench;
    const auto [reader, writer] = bench.pipe();
    REQUIRE(bench.poller.add(reader, Interest::read, Token(reader, 1)));
    REQUIRE(bench.silent());
    bench.close(writer);
    REQUIRE(bench.state(reader) != Readiness::none);
}

RULE("P5 error: the write end of a full pipe hears that the reader is gone", nothing) {
    Bench<P> bench;
    const auto [reader, writer] = bench.pipe();
    bench.fill(writer);
    REQUIRE(bench.poller.add(writer, Interest::write, Token(writer, 1)));
    REQUIRE(bench.silent());
    bench.close(reader);
    REQUIRE(bench.state(writer) != Readiness::none);
}

RULE("P5 error: a refused connect wakes the writing direction and the socket says why", nothing) {
    Bench<P> bench;
    auto& sockets = bench.poller.sockets();
    const int listener = sockets.listen_on(Endpoint::ipv4_loopback(0), ListenOptions()).value();
    const Endpoint at = sockets.local(listener).value();
    sockets.close(listener);
    const int fd = bench.own(sockets.open(Family::ipv4, SocketKind::stream).value());
    const auto connecting = sockets.connect(fd, at);
    if (connecting.error() == ECONNREFUSED) return;  // some kernels know at once
    REQUIRE(connecting.error() == EINPROGRESS);
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE(bench.wait(Instant::max()).size() == 1);
    REQUIRE(sockets.error(fd) == ECONNREFUSED);
}

RULE("P5 nothing enabled: nothing is reported and nothing spins when the peer goes", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::none, Token(fd, 1)));
    bench.send(peer);
    REQUIRE(bench.raw_wait() == 0);
    bench.close(peer);
    REQUIRE(bench.silent());
    for (int i = 0; i < 3; ++i) REQUIRE(bench.raw_wait() == 0);
    REQUIRE(bench.poller.modify(fd, Interest::none, Interest::read, Token(fd, 2)));
    REQUIRE(any(bench.state(fd), Readiness::readable));
}

RULE("P5 nothing enabled: switched off after the hang-up it is as silent", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.close(peer);
    REQUIRE(bench.state(fd) != Readiness::none);
    REQUIRE(bench.poller.modify(fd, Interest::read, Interest::none, Token(fd, 1)));
    REQUIRE(bench.silent());
    for (int i = 0; i < 3; ++i) REQUIRE(bench.raw_wait() == 0);
}

RULE("P5 readiness: a peer that has finished sending is told apart", read_closed) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    const Interest both = Interest::read | Interest::write;
    REQUIRE(bench.poller.add(fd, both, Token(fd, 1)));
    REQUIRE(bench.poller.sockets().shutdown(peer, Shutdown::write));
    const Readiness state = bench.state(fd);
    REQUIRE(state == (Readiness::readable | Readiness::read_closed | Readiness::writable));
    REQUIRE(bench.poller.modify(fd, both, Interest::write, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::writable);
}

RULE("P5 readiness: a hang-up is told apart", read_closed) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.close(peer);
    const Readiness state = bench.state(fd);
    REQUIRE(state == (Readiness::readable | Readiness::read_closed | Readiness::hangup));
}

RULE("P5 readiness: an error is told apart", read_closed) {
    Bench<P> bench;
    const auto [reader, writer] = bench.pipe();
    REQUIRE(bench.poller.add(writer, Interest::write, Token(writer, 1)));
    REQUIRE(bench.state(writer) == Readiness::writable);
    bench.close(reader);
    REQUIRE(bench.state(writer) == (Readiness::writable | Readiness::error));
}

RULE("P5 readiness: a listener is readable while a connection waits", nothing) {
    Bench<P> bench;
    auto& sockets = bench.poller.sockets();
    const int listener =
        bench.own(sockets.listen_on(Endpoint::ipv4_loopback(0), ListenOptions()).value());
    REQUIRE(bench.poller.add(listener, Interest::read, Token(listener, 1)));
    REQUIRE(bench.silent());
    const Endpoint at = sockets.local(listener).value();
    const int client = bench.own(sockets.connect_to(at, ConnectOptions()).value());
    REQUIRE(bench.poller.add(client, Interest::write, Token(client, 1)));
    while (bench.state(listener) == Readiness::none) {
    }
    REQUIRE(any(bench.state(client), Readiness::writable));
    REQUIRE(sockets.error(client) == 0);
    bench.own(sockets.accept(listener).value().fd);
    REQUIRE(bench.state(listener) == Readiness::none);
}

}  // namespace
