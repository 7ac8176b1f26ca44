// SPDX-License-Identifier: BSL-1.0
// What is true of poll alone; the contract that it shares is in conformance.cpp. [kernel]
#include <rondo/backend/poll_poller.hpp>

#include <fcntl.h>

#include "support/catch.hpp"
#include "support/counting_memory.hpp"

using namespace rondo;
using rondo::test::with_each_allocation_failing;

TEST_CASE("poll finds a regular file always ready") {
    auto poller = PollPoller::open().value();
    const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    REQUIRE(poller.add(file.get(), Interest::read, Token(file.get(), 1)));
    PollPoller::Event events[4];
    for (int i = 0; i < 2; ++i) {
        REQUIRE(poller.wait(events, Instant::max()).value() == 1);
        CHECK(events[0].readiness() == Readiness::readable);
    }
}

TEST_CASE("poll reports a descriptor closed without remove as an error") {
    auto poller = PollPoller::open().value();
    const auto [fd, peer] = poller.sockets().pair(SocketKind::stream).value();
    const Fd writer(peer);
    REQUIRE(poller.add(fd, Interest::read, Token(fd, 1)));
    poller.sockets().close(fd);
    PollPoller::Event events[4];
    REQUIRE(poller.wait(events, Instant::max()).value() == 1);
    CHECK(events[0].token() == Token(fd, 1));
    CHECK(events[0].readiness() == Readiness::error);
    REQUIRE(poller.remove(fd, Interest::read));
    CHECK(poller.wait(events, Instant::min()).value() == 0);
}

TEST_CASE("poll without memory answers ENOMEM at open and at add and is as before") {
    using Counting = rondo::test::CountingMemory<__LINE__>;
    using Poor = BasicPollPoller<Counting>;
    PosixSockets sockets;
    const FdPair ends = sockets.pair(SocketKind::stream).value();
    const int fd = ends.first;
    const Fd first(fd);
    const Fd second(ends.second);
    const int failures = with_each_allocation_failing<Counting>([&](int) {
        auto opened = Poor::open();
        if (!opened) {
            CHECK(opened.error() == ENOMEM);
            return;
        }
        Poor::Event events[4];
        const auto added = opened->add(fd, Interest::write, Token(fd, 1));
        if (!added) {
            CHECK(added.error() == ENOMEM);
            CHECK(opened->wait(events, Instant::min()).value() == 0);
            CHECK(opened->remove(fd, Interest::write).error() == ENOENT);
            REQUIRE(opened->add(fd, Interest::write, Token(fd, 2)));
        }
        CHECK(opened->wait(events, Instant::min()).value() == 1);
    });
    CHECK(failures == 3);  // one for each of its tables
    CHECK(Counting::bytes() == 0);
    CHECK(Counting::mismatched() == 0);
}

TEST_CASE("poll tells out-of-band data apart") {
    auto poller = PollPoller::open().value();
    auto& sockets = poller.sockets();
    const Fd listener(sockets.listen_on(Endpoint::ipv4_loopback(0), ListenOptions()).value());
    const Endpoint at = sockets.local(listener.get()).value();
    const Fd client(sockets.connect_to(at, ConnectOptions()).value());
    PollPoller::Event events[4];
    REQUIRE(poller.add(listener.get(), Interest::read, Token(listener.get(), 1)));
    REQUIRE(poller.wait(events, Instant::max()).value() == 1);
    REQUIRE(poller.remove(listener.get(), Interest::read));
    const Fd server(sockets.accept(listener.get()).value().fd);
    REQUIRE(poller.add(server.get(), Interest::priority, Token(server.get(), 1)));
    REQUIRE(poller.add(client.get(), Interest::write, Token(client.get(), 1)));
    REQUIRE(poller.wait(events, Instant::max()).value() == 1);  // connected
    REQUIRE(poller.remove(client.get(), Interest::write));
    REQUIRE(send(client.get(), "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
    REQUIRE(poller.wait(events, Instant::max()).value() == 1);
    CHECK(events[0].readiness() == Readiness::priority);
}
