// SPDX-License-Identifier: BSL-1.0
#include <rondo/os/wake_channel.hpp>

#include <fcntl.h>
#include <poll.h>

#include <thread>
#include <tuple>

#include "support/catch.hpp"

using namespace rondo;

namespace {

#if RONDO_HAS_EVENTFD
using Channels = std::tuple<PipeChannel, EventfdChannel>;
#else
using Channels = std::tuple<PipeChannel>;
#endif

bool readable(int fd) {
    pollfd entry{fd, POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a wake channel is readable from a wake to the next drain", "", Channels) {
    auto channel = TestType::open().value();
    CHECK_FALSE(readable(channel.fd()));
    for (int i = 0; i < 3; ++i) {
        channel.wake();
        channel.wake();
        CHECK(readable(channel.fd()));
        channel.drain();
        CHECK_FALSE(readable(channel.fd()));
    }
}

TEMPLATE_LIST_TEST_CASE("draining a wake channel that nobody woke doesn't block", "", Channels) {
    auto channel = TestType::open().value();
    channel.drain();
    CHECK_FALSE(readable(channel.fd()));
}

TEMPLATE_LIST_TEST_CASE("a wake channel never fills up", "", Channels) {
    auto channel = TestType::open().value();
    for (int i = 0; i < 100'000; ++i) channel.wake();
    CHECK(readable(channel.fd()));
    channel.drain();
    CHECK_FALSE(readable(channel.fd()));
}

TEMPLATE_LIST_TEST_CASE("another thread may wake", "", Channels) {
    auto channel = TestType::open().value();
    std::thread other([&] { channel.wake(); });
    pollfd entry{channel.fd(), POLLIN, 0};
    CHECK(poll(&entry, 1, -1) == 1);
    other.join();
}

TEMPLATE_LIST_TEST_CASE("a closed wake channel is silent", "", Channels) {
    auto channel = TestType::open().value();
    const int fd = channel.fd();
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    channel.close();
    channel.close();
    channel.wake();
    CHECK(channel.fd() == -1);
    CHECK(fcntl(fd, F_GETFD) == -1);
}
