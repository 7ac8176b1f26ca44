// SPDX-License-Identifier: BSL-1.0
// Connections on streams whose reads stop short although there is more, and on one that can't be
// read at all.

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <rondo/net/connections.hpp>

#include "net/connection_rig.hpp"
#include "os/socket_support.hpp"
#include "support/pollers.hpp"

using namespace rondo;
using namespace rondo::test;

#define ON_KERNEL(title, tags) TEMPLATE_LIST_TEST_CASE(title, tags "[kernel]", KernelPollers)

namespace {
/// Two ends of a TCP connection; the second one is the peer's.
template <class P>
FdPair tcp_pair(Rig<P>& rig) {
    auto& sockets = rig.loop.sockets();
    const int listener = rig.own(sockets.listen_on(Endpoint::ipv4_loopback(0), {}).value());
    const int fd = sockets.connect_to(sockets.local(listener).value(), {}).value();
    return {fd, rig.own(sockets.accept(listener).value().fd)};
}

/// Plain, and counts its reads.
struct Counted : Plain {
    int* reads = nullptr;

    template <class Sockets>
    IoResult read(Sockets& sockets, int fd, std::span<std::byte> in) const noexcept {
        if (reads != nullptr) ++*reads;
        return Plain::read(sockets, fd, in);
    }
};
/// Edge-triggered, and without priority: such a poller refuses interest in it.
struct WithoutPriority : ManualPoller {
    static constexpr PollerTraits traits{.edge = true, .read_closed = true, .kernel = false};

    using ManualPoller::ManualPoller;
    explicit WithoutPriority(ManualPoller&& all) : ManualPoller(std::move(all)) {}
    static Result<WithoutPriority> open() {
        auto opened = ManualPoller::open();
        if (!opened) return opened.error();
        return WithoutPriority(std::move(*opened));
    }
    Result<void> add(int fd, Interest interest, Token token) {
        if (any(interest, Interest::priority)) return Error::on_fd(ENOTSUP, "add", fd);
        return ManualPoller::add(fd, interest, token);
    }
    Result<void> modify(int fd, Interest from, Interest to, Token token) {
        if (any(to, Interest::priority)) return Error::on_fd(ENOTSUP, "modify", fd);
        return ManualPoller::modify(fd, from, to, token);
    }
};

/// Edge-triggered, and doesn't tell of the end.
struct WithoutEnd : ManualPoller {
    static constexpr PollerTraits traits{.edge = true, .priority = true, .kernel = false};

    explicit WithoutEnd(ManualPoller&& all) : ManualPoller(std::move(all)) {}
    static Result<WithoutEnd> open() {
        auto opened = ManualPoller::open();
        if (!opened) return opened.error();
        return WithoutEnd(std::move(*opened));
    }
    Result<size_t> wait(std::span<Event> out, Instant deadline) {
        auto count = ManualPoller::wait(out, deadline);
        if (!count) return count;
        for (Event& event : out.first(*count)) {
            event = Event(event.token(), event.readiness() & ~Readiness::read_closed);
        }
        return count;
    }
};

#if RONDO_HAS_EPOLL
/// Edge-triggered, and doesn't tell of urgent data, at which a read stops.
struct WithoutUrgent : EpollPoller {
    static constexpr PollerTraits traits{.edge = true, .read_closed = true, .native_handle = true};

    explicit WithoutUrgent(EpollPoller&& all) : EpollPoller(std::move(all)) {}
    static Result<WithoutUrgent> open() {
        auto opened = EpollPoller::open();
        if (!opened) return opened.error();
        return WithoutUrgent(std::move(*opened));
    }
};
#endif
}  // namespace

TEST_CASE("bytes and the end that come together are told, although the poller tells of no end",
          "[connection]") {
    StreamRig<WithoutEnd> it;
    it.open();
    it.peer_sends("hello");
    it.peer_finishes();
    it.turns(20);
    CHECK(it.heard == "hello");
    CHECK(it.closed == 1);
}

#if RONDO_HAS_EPOLL
TEST_CASE("what comes behind urgent data is heard, although the poller tells of no such data",
          "[connection][kernel]") {
    StreamRig<WithoutUrgent> it;
    const FdPair ends = tcp_pair(it.rig);
    REQUIRE(it.group.adopt(ends.first));
    it.peer_sends(ends.second, "before");
    REQUIRE(::send(ends.second, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
    it.peer_sends(ends.second, "behind");
    it.turns(20);
    CHECK(it.heard == "beforebehind");
}
#endif

TEST_CASE("a connection asks no poller for priority that has none", "[connection]") {
    StreamRig<WithoutPriority> it;
    auto& connection = it.open();
    connection.send(std::string(1'000'000, 'x'));  // more than fits: it waits for writing too
    it.peer_sends("hello");
    it.turns();
    CHECK(it.heard == "hello");
    it.peer_hears();
    it.turns();
    CHECK(connection.unsent() < 1'000'000 - 65536);
    CHECK(it.closed == 0);
}

ON_KERNEL("a terminal gives line by line, and all lines that have come are heard", "[connection]") {
    StreamRig<TestType> it;
    const int master = it.rig.own(::posix_openpt(O_RDWR | O_NOCTTY));
    REQUIRE(::grantpt(master) == 0);
    REQUIRE(::unlockpt(master) == 0);
    const char* const name = ::ptsname(master);
    REQUIRE(name != nullptr);
    const int terminal = ::open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(terminal >= 0);
    termios how{};
    REQUIRE(::tcgetattr(terminal, &how) == 0);
    how.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    how.c_lflag |= ICANON;
    REQUIRE(::tcsetattr(terminal, TCSANOW, &how) == 0);

    it.peer_sends(master, "one\ntwo\nthree\n");
    for (int there = 0; there < 14;) REQUIRE(::ioctl(terminal, FIONREAD, &there) == 0);
    REQUIRE(it.group.adopt(terminal));
    it.turns(20);
    CHECK(it.heard == "one\ntwo\nthree\n");
}

ON_KERNEL("what comes behind urgent data is heard", "[connection]") {
    StreamRig<TestType> it;
    const FdPair ends = tcp_pair(it.rig);
    REQUIRE(it.group.adopt(ends.first));
    it.peer_sends(ends.second, "before");
    REQUIRE(::send(ends.second, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
    it.peer_sends(ends.second, "behind");
    it.turns(20);
    CHECK(it.heard == "beforebehind");
}

ON_KERNEL("what comes behind a descriptor that is passed along is heard", "[connection]") {
    StreamRig<TestType> it;
    it.open();
    sockets_test::send_with_descriptor(it.peer, "before");
    it.peer_sends("behind");
    it.turns(20);
    CHECK(it.heard == "beforebehind");
}

ON_KERNEL("the write end of a pipe is told that its reader has gone", "[connection]") {
    for (const bool waits : {false, true}) {
        StreamRig<TestType> it;
        const FdPair ends = it.rig.loop.sockets().pipe().value();
        auto& connection = *it.group.find(it.group.adopt(ends.second).value());
        if (waits) connection.send(std::string(1'000'000, 'x'));
        it.turns();
        CHECK(it.closed == 0);
        it.rig.loop.sockets().close(ends.first);
        it.turns(20);
        CHECK(it.closed == 1);
        CHECK(it.reason == EPIPE);
    }
}

ON_KERNEL("a read that falls short is the last one where that tells something", "[connection]") {
    StreamRig<TestType, NoState, Counted> it;
    int reads = 0;
    const auto reads_for = [&](int peer, std::string_view text) {
        reads = 0;
        it.peer_sends(peer, text);
        it.turns(5);
        return reads;
    };
    const FdPair ends = tcp_pair(it.rig);
    REQUIRE(it.group.adopt(ends.first, Counted{{}, &reads}));
    CHECK(reads_for(ends.second, "a") == 1);
    CHECK(reads_for(ends.second, "bc") == 1);
    it.peer_sends(ends.second, "d");
    REQUIRE(::send(ends.second, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
    // Up to the mark, behind it, and nothing; where a wait tells of the rest, not the last one.
    CHECK(reads_for(ends.second, "e") == (TestType::traits.edge ? 3 : 2));
    it.open(Counted{{}, &reads});
    CHECK(reads_for(it.peer, "f") == 2);
    CHECK(it.heard == "abcdef");
}
