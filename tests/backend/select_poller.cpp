// SPDX-License-Identifier: BSL-1.0
// What is true of select alone; the contract that it shares is in conformance.cpp. [kernel]
#include <rondo/backend/select_poller.hpp>

#include <fcntl.h>
#include <sys/resource.h>

#include <vector>

#include "support/catch.hpp"

using namespace rondo;

namespace {

struct NoMemory {
    static void* allocate(size_t, size_t) noexcept { return nullptr; }
    static void release(void*, size_t, size_t) noexcept {}
};

// Room for descriptors beyond FD_SETSIZE, taken back at the end.
struct ManyDescriptors {
    ManyDescriptors() {
        getrlimit(RLIMIT_NOFILE, &before);
        rlimit wanted = before;
        if (wanted.rlim_cur < FD_SETSIZE + 8) wanted.rlim_cur = FD_SETSIZE + 8;
        enough = setrlimit(RLIMIT_NOFILE, &wanted) == 0;
    }
    ~ManyDescriptors() { setrlimit(RLIMIT_NOFILE, &before); }

    rlimit before{};
    bool enough = false;
};

}  // namespace

TEST_CASE("select finds a regular file always ready") {
    auto poller = SelectPoller::open().value();
    const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    REQUIRE(poller.add(file.get(), Interest::read, Token(file.get(), 1)));
    SelectPoller::Event events[4];
    for (int i = 0; i < 2; ++i) {
        REQUIRE(poller.wait(events, Instant::max()).value() == 1);
        CHECK(events[0].readiness() == Readiness::readable);
    }
}

TEST_CASE("select reports a descriptor closed without remove as an error and hears the others") {
    auto poller = SelectPoller::open().value();
    auto& sockets = poller.sockets();
    const auto [closed, peer] = sockets.pair(SocketKind::stream).value();
    const auto [fd, other] = sockets.pair(SocketKind::stream).value();
    const Fd owned[] = {Fd(peer), Fd(fd), Fd(other)};
    const Interest both = Interest::read | Interest::write;
    REQUIRE(poller.add(closed, both, Token(closed, 1)));
    REQUIRE(poller.add(fd, both, Token(fd, 1)));
    sockets.close(closed);

    SelectPoller::Event events[4];
    for (int i = 0; i < 2; ++i) {
        REQUIRE(poller.wait(events, Instant::max()).value() == 2);
        for (size_t k = 0; k < 2; ++k) {
            const bool bad = events[k].token() == Token(closed, 1);
            CHECK(events[k].readiness() == (bad ? Readiness::error : Readiness::writable));
        }
    }
    REQUIRE(poller.remove(closed, both));
    CHECK(poller.wait(events, Instant::max()).value() == 1);
}

TEST_CASE("select refuses a descriptor at its limit with ERANGE, and opens only below it") {
    const ManyDescriptors room;
    if (!room.enough) SKIP("limit " << room.before.rlim_max);
    auto poller = SelectPoller::open().value();
    const auto [fd, peer] = poller.sockets().pair(SocketKind::stream).value();
    const Fd first(fd);
    const Fd second(peer);

    const Fd highest(fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE - 1));
    REQUIRE(highest.get() == FD_SETSIZE - 1);
    REQUIRE(poller.add(highest.get(), Interest::write, Token(highest.get(), 1)));
    SelectPoller::Event events[4];
    CHECK(poller.wait(events, Instant::min()).value() == 1);

    const Fd above(fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE));
    CHECK(poller.add(above.get(), Interest::write, Token(above.get(), 1)).error() == ERANGE);
    CHECK(poller.wait(events, Instant::min()).value() == 1);

    std::vector<Fd> fill;
    while (fill.empty() || fill.back().get() < FD_SETSIZE) {
        fill.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        REQUIRE(fill.back());
    }
    CHECK(SelectPoller::open().error() == ERANGE);
}

TEST_CASE("select without memory answers ENOMEM at add and is as before") {
    auto poller = BasicSelectPoller<NoMemory>::open().value();
    const auto [fd, peer] = poller.sockets().pair(SocketKind::stream).value();
    const Fd first(fd);
    const Fd second(peer);
    CHECK(poller.add(fd, Interest::write, Token(fd, 1)).error() == ENOMEM);
    BasicSelectPoller<NoMemory>::Event events[4];
    CHECK(poller.wait(events, Instant::min()).value() == 0);
    CHECK(poller.remove(fd, Interest::write).error() == ENOENT);
}
