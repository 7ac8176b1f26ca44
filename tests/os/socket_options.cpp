// SPDX-License-Identifier: BSL-1.0
// The options of a socket, read back from the kernel.

#include <rondo/os/socket_options.hpp>

#include <fcntl.h>
#include <netinet/tcp.h>

#include "os/socket_support.hpp"

using namespace sockets_test;
using rondo::Duration;
using rondo::KeepAlive;

namespace {

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    REQUIRE(getsockopt(fd, level, name, &value, &length) == 0);
    return value;
}

timeval timeout(int fd, int name) {
    timeval value{};
    socklen_t length = sizeof value;
    REQUIRE(getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0);
    return value;
}

Fd tcp() {
    const auto fd = PosixSockets::open(Family::ipv4, SocketKind::stream);
    REQUIRE(fd);
    return Fd(*fd);
}

}  // namespace

TEST_CASE("switches go on and off") {
    const Fd fd = tcp();
    for (const bool on : {true, false}) {
        CHECK(PosixSockets::set_reuse_address(fd.get(), on));
        CHECK(option(fd.get(), SOL_SOCKET, SO_REUSEADDR) == on);
        CHECK(PosixSockets::set_reuse_port(fd.get(), on));
        CHECK(option(fd.get(), SOL_SOCKET, SO_REUSEPORT) == on);
        CHECK(PosixSockets::set_no_delay(fd.get(), on));
        CHECK((option(fd.get(), IPPROTO_TCP, TCP_NODELAY) != 0) == on);
        CHECK(PosixSockets::set_non_blocking(fd.get(), on));
        CHECK(((fcntl(fd.get(), F_GETFL) & O_NONBLOCK) != 0) == on);
    }
}

TEST_CASE("an IPv6 socket leaves IPv4 alone, or not") {
    const auto opened = PosixSockets::open(Family::ipv6, SocketKind::stream);
    if (!opened) SKIP("no IPv6 here");
    const Fd fd(*opened);
    for (const bool on : {true, false}) {
        CHECK(PosixSockets::set_v6_only(fd.get(), on));
        CHECK(option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY) == on);
    }
    CHECK(PosixSockets::set_v6_only(-1, true).error().message() ==
          "set IPV6_V6ONLY fd -1: bad file descriptor");
}

TEST_CASE("keep-alive takes its three numbers, in seconds rounded up") {
    const Fd fd = tcp();
    const KeepAlive odd{Duration::milliseconds(60'001), Duration::seconds(5), 7};
    REQUIRE(PosixSockets::set_keep_alive(fd.get(), odd));
    CHECK(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE) == 61);
    CHECK(option(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL) == 5);
    CHECK(option(fd.get(), IPPROTO_TCP, TCP_KEEPCNT) == 7);

    KeepAlive off;
    off.count = 0;
    REQUIRE(PosixSockets::set_keep_alive(fd.get(), off));
    CHECK(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE) == 0);
}

TEST_CASE("a keep-alive that the kernel refuses leaves it off") {
    const Fd fd = tcp();
    KeepAlive wrong;
    wrong.idle = Duration::max();
    CHECK(PosixSockets::set_keep_alive(fd.get(), wrong).error() == EINVAL);
    wrong = {};
    wrong.interval = Duration::seconds(0);
    CHECK(PosixSockets::set_keep_alive(fd.get(), wrong).error() == EINVAL);
    wrong = {};
    wrong.count = 128;
    CHECK(PosixSockets::set_keep_alive(fd.get(), wrong).error() == EINVAL);
    CHECK(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE) == 0);
}

TEST_CASE("timeouts are exact to the kernel's tick, and never shorter than asked") {
    const Fd fd = tcp();
    REQUIRE(PosixSockets::set_send_timeout(fd.get(), Duration::milliseconds(1500)));
    CHECK(timeout(fd.get(), SO_SNDTIMEO).tv_sec == 1);
    CHECK(timeout(fd.get(), SO_SNDTIMEO).tv_usec == 500'000);
    CHECK(timeout(fd.get(), SO_RCVTIMEO).tv_sec == 0);
    REQUIRE(PosixSockets::set_receive_timeout(fd.get(), Duration(1)));
    CHECK(timeout(fd.get(), SO_RCVTIMEO).tv_usec > 0);  // 0 would mean "for ever"
    REQUIRE(PosixSockets::set_receive_timeout(fd.get(), Duration()));
    CHECK(timeout(fd.get(), SO_RCVTIMEO).tv_usec == 0);
    CHECK(PosixSockets::set_receive_timeout(fd.get(), Duration::max()));
    CHECK(PosixSockets::set_send_timeout(fd.get(), Duration::milliseconds(-1500)).error() == EDOM);
}

TEST_CASE("buffers are at least as large as asked, and a negative size is refused") {
    const Fd fd = tcp();
    REQUIRE(PosixSockets::set_send_buffer(fd.get(), 32768));
    CHECK(option(fd.get(), SOL_SOCKET, SO_SNDBUF) >= 32768);
    REQUIRE(PosixSockets::set_receive_buffer(fd.get(), 32768));
    CHECK(option(fd.get(), SOL_SOCKET, SO_RCVBUF) >= 32768);
    CHECK(PosixSockets::set_send_buffer(fd.get(), -1).error() == EINVAL);
    CHECK(PosixSockets::set_receive_buffer(fd.get(), -1).error() == EINVAL);
}

TEST_CASE("a mark is set, or the lack of the privilege is told") {
    const Fd fd = tcp();
    const auto marked = PosixSockets::set_mark(fd.get(), 42);
    if (!marked) {
        CHECK(marked.error() == EPERM);
        SKIP("needs CAP_NET_ADMIN");
    }
    CHECK(option(fd.get(), SOL_SOCKET, SO_MARK) == 42);
}

TEST_CASE("after linger reset the peer reads a reset connection") {
    TcpPair tcp;
    REQUIRE(PosixSockets::set_linger_reset(tcp.client.get(), true));
    tcp.client.reset();
    wait_for(tcp.server.get(), POLLIN);
    CHECK(PosixSockets::error(tcp.server.get()) == ECONNRESET);
    CHECK(PosixSockets::error(tcp.server.get()) == 0);  // asking takes it away

    TcpPair read;
    REQUIRE(PosixSockets::set_linger_reset(read.client.get(), true));
    read.client.reset();
    wait_for(read.server.get(), POLLIN);
    std::byte buffer[8];
    CHECK(PosixSockets::read(read.server.get(), buffer).code == ECONNRESET);
}

TEST_CASE("without linger reset closing is an orderly end") {
    TcpPair tcp;
    REQUIRE(PosixSockets::set_linger_reset(tcp.client.get(), true));
    REQUIRE(PosixSockets::set_linger_reset(tcp.client.get(), false));
    tcp.client.reset();
    CHECK(read_text(tcp.server.get()).empty());
}

TEST_CASE("an option of what isn't a socket is an error that names both") {
    const auto closed = PosixSockets::set_no_delay(-1, true);
    CHECK(closed.error() == EBADF);
    CHECK(closed.error().message() == "set TCP_NODELAY fd -1: bad file descriptor");
    CHECK(PosixSockets::set_non_blocking(-1, true).error() == EBADF);
    CHECK(PosixSockets::set_linger_reset(-1, true).error() == EBADF);
    CHECK(PosixSockets::error(-1) == EBADF);

    const auto pipe = PosixSockets::pipe();
    REQUIRE(pipe);
    const Fd reader(pipe->first);
    const Fd writer(pipe->second);
    CHECK(PosixSockets::set_reuse_address(reader.get(), true).error() == ENOTSOCK);
    CHECK(PosixSockets::error(reader.get()) == ENOTSOCK);
}
