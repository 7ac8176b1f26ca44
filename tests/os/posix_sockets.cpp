// SPDX-License-Identifier: BSL-1.0
// Opening, listening, accepting, connecting and closing on the kernel's loopback, the bad inputs
// included; no path that fails keeps a descriptor.

#include <rondo/os/posix_sockets.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <string>

#include <rondo/backend/poller.hpp>

#include "os/socket_support.hpp"
#include "os/system_support.hpp"

using namespace sockets_test;
using rondo::ConnectOptions;
using rondo::ListenOptions;
using rondo::detail::accept_again;

static_assert(rondo::SocketApi<PosixSockets>);
static_assert(accept_again(EINTR) && accept_again(ECONNABORTED) && accept_again(EPROTO));
static_assert(accept_again(ENETDOWN) && accept_again(EHOSTUNREACH));
static_assert(!accept_again(EAGAIN) && !accept_again(EMFILE) && !accept_again(ENFILE) &&
              !accept_again(ENOBUFS) && !accept_again(ENOMEM) && !accept_again(EBADF) &&
              !accept_again(EOPNOTSUPP) && !accept_again(EINVAL));

namespace {

// 192.0.2.0/24 is for documentation (RFC 5737): no machine has an address there.
constexpr Endpoint foreign(uint16_t port) { return Endpoint::ipv4(192, 0, 2, 1, port); }

bool is_ours(int fd) {
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

Fd listen_on(const Endpoint& at, const ListenOptions& options = {}) {
    auto fd = PosixSockets::listen_on(at, options);
    if (!fd) FAIL(fd.error().message().c_str());
    return Fd(*fd);
}

Fd connect_to(const Endpoint& at, const ConnectOptions& options = {}) {
    auto fd = PosixSockets::connect_to(at, options);
    if (!fd) FAIL(fd.error().message().c_str());
    return Fd(*fd);
}

Accepted accept_from(const Fd& listener) {
    wait_for(listener.get(), POLLIN);
    auto accepted = PosixSockets::accept(listener.get());
    REQUIRE(accepted);
    return *accepted;
}

Endpoint local(const Fd& fd) { return *PosixSockets::local(fd.get()); }

// With a port that nobody has at the moment.
Endpoint unused(const Endpoint& at) {
    const auto probe = PosixSockets::open(at.family(), SocketKind::stream);
    REQUIRE(probe);
    const Fd owner(*probe);
    REQUIRE(PosixSockets::bind(*probe, at));
    return local(owner);
}

int v6_only(const Fd& fd) {
    int value = -1;
    socklen_t length = sizeof value;
    REQUIRE(getsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &value, &length) == 0);
    return value;
}

bool has_ipv6() {
    const auto fd = PosixSockets::listen_on(Endpoint::ipv6_loopback(0), {});
    if (fd) PosixSockets::close(*fd);
    return static_cast<bool>(fd);
}

}  // namespace

TEST_CASE("every new descriptor is non-blocking and closed on exec") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Fd client = connect_to(local(listener));
    const Fd server(accept_from(listener).fd);
    for (const Fd* const fd : {&listener, &client, &server}) CHECK(is_ours(fd->get()));
    for (const Family family : {Family::ipv4, Family::unix_path}) {
        for (const SocketKind kind : {SocketKind::stream, SocketKind::datagram}) {
            const auto fd = PosixSockets::open(family, kind);
            REQUIRE(fd);
            const Fd owner(*fd);
            CHECK(is_ours(*fd));
        }
    }
    for (const auto& ends : {PosixSockets::pipe(), PosixSockets::pair(SocketKind::stream),
                             PosixSockets::pair(SocketKind::datagram)}) {
        REQUIRE(ends);
        const Fd first(ends->first);
        const Fd second(ends->second);
        CHECK(is_ours(first.get()));
        CHECK(is_ours(second.get()));
    }
}

TEST_CASE("a client reaches a server on loopback, and both know each other's address") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Endpoint at = local(listener);
    CHECK(at == Endpoint::ipv4_loopback(at.port()));
    CHECK(at.port() != 0);

    const Fd client = connect_to(at);
    wait_for(client.get(), POLLOUT);
    CHECK(PosixSockets::error(client.get()) == 0);
    const Accepted accepted = accept_from(listener);
    const Fd server(accepted.fd);
    CHECK(accepted.peer == local(client));
    CHECK(*PosixSockets::peer(client.get()) == at);
    CHECK(*PosixSockets::peer(server.get()) == local(client));
    REQUIRE(PosixSockets::write(client.get(), bytes("hello")));
    CHECK(read_text(server.get()) == "hello");
}

TEST_CASE("accept says that nobody is waiting") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    CHECK(PosixSockets::accept(listener.get()).error() == EAGAIN);
}

TEST_CASE("an IPv6 listener leaves IPv4 alone unless it is dual-stack") {
    if (!has_ipv6()) SKIP("no IPv6 here");
    const Fd alone = listen_on(Endpoint::ipv6_any(0));
    REQUIRE(v6_only(alone) == 1);

    ListenOptions options;
    options.dual_stack = true;
    const Fd both = listen_on(Endpoint::ipv6_any(0), options);
    REQUIRE(v6_only(both) == 0);
    const Fd old_client = connect_to(Endpoint::ipv4_loopback(local(both).port()));
    const Accepted accepted = accept_from(both);
    const Fd server(accepted.fd);
    CHECK(accepted.peer.family() == Family::ipv6);
    CHECK(accepted.peer.unmapped() == local(old_client));

    const Fd client = connect_to(Endpoint::ipv6_loopback(local(alone).port()));
    const Accepted other = accept_from(alone);
    const Fd other_server(other.fd);
    CHECK(other.peer == local(client));
}

TEST_CASE("a port in use is told with the address") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const NoLeak descriptors;
    const auto second = PosixSockets::listen_on(local(listener), {});
    REQUIRE_FALSE(second);
    CHECK(second.error() == EADDRINUSE);
    CHECK(second.error().message().view() ==
          "bind " + std::string(local(listener).text()) + ": address already in use");
    descriptors.check();
}

TEST_CASE("a port whose old connections linger can be listened on again") {
    Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Endpoint at = local(listener);
    Fd client = connect_to(at);
    Fd server(accept_from(listener).fd);
    listener.reset();
    server.reset();  // the side that closes first is left in TIME_WAIT
    CHECK(read_text(client.get()).empty());
    client.reset();
    CHECK(PosixSockets::listen_on(at, {}).error().code() == 0);
}

TEST_CASE("sockets share a port only if all of them ask for it") {
    ListenOptions shared;
    shared.reuse_port = true;
    const Fd first = listen_on(Endpoint::ipv4_loopback(0), shared);
    const Fd second = listen_on(local(first), shared);
    CHECK(local(second) == local(first));
    CHECK(PosixSockets::listen_on(local(first), {}).error() == EADDRINUSE);
}

TEST_CASE("an address that isn't ours can't be listened on") {
    const NoLeak descriptors;
    const auto fd = PosixSockets::listen_on(foreign(80), {});
    REQUIRE_FALSE(fd);
    CHECK(fd.error().message() == "bind 192.0.2.1:80: cannot assign requested address");
    CHECK(PosixSockets::listen_on(Endpoint(), {}).error() == EAFNOSUPPORT);
    CHECK(PosixSockets::listen_on(Endpoint::unix_unnamed(), {}).error() == EINVAL);
    CHECK(PosixSockets::open(Family::none, SocketKind::stream).error() == EAFNOSUPPORT);
    descriptors.check();
}

TEST_CASE("a Unix server has a file with the mode that was asked for") {
    const Directory directory;
    const std::string path = directory.file("server");
    const Endpoint at = *Endpoint::unix_path(path);
    ListenOptions options;
    options.unix_mode = 0622;
    const Fd listener = listen_on(at, options);
    struct stat status{};
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0622);
    CHECK(local(listener) == at);

    const Fd client = connect_to(at);
    const Accepted accepted = accept_from(listener);
    const Fd server(accepted.fd);
    CHECK(accepted.peer == Endpoint::unix_unnamed());
    CHECK(*PosixSockets::peer(client.get()) == at);
    REQUIRE(PosixSockets::write(server.get(), bytes("hello")));
    CHECK(read_text(client.get()) == "hello");
}

TEST_CASE("a Unix server's file is never taken over") {
    const Directory directory;
    const Endpoint at = *Endpoint::unix_path(directory.file("server"));
    Fd listener = listen_on(at);
    listener.reset();
    const NoLeak descriptors;
    CHECK(PosixSockets::listen_on(at, {}).error() == EADDRINUSE);
    CHECK(access(directory.file("server").c_str(), F_OK) == 0);
    CHECK(PosixSockets::connect_to(at, {}).error() == ECONNREFUSED);
    const auto nowhere = PosixSockets::listen_on(*Endpoint::unix_path("/nonexistent/x"), {});
    CHECK(nowhere.error().message() == "bind unix:/nonexistent/x: no such file or directory");
    CHECK(PosixSockets::connect_to(*Endpoint::unix_path("/nonexistent/x"), {}).error() == ENOENT);
    descriptors.check();
}

TEST_CASE("a Unix server that fails after bind leaves no file behind") {
    const Directory directory;
    const std::string path = directory.file("server");
    for (const long call : {SYS_chmod, SYS_listen}) {
        CHECK(system_support::holds_in_child([&path, call] {
            ListenOptions options;
            options.unix_mode = 0600;
            return system_support::filter_calls({call}, true, SECCOMP_RET_ERRNO | EPERM) &&
                   PosixSockets::listen_on(*Endpoint::unix_path(path), options).error() == EPERM &&
                   access(path.c_str(), F_OK) != 0;
        }));
    }
}

TEST_CASE("the longest Unix path works") {
    const Directory directory;
    std::string path = directory.file("p");
    path.resize(Endpoint::max_path, 'p');
    const Endpoint at = *Endpoint::unix_path(path);
    const Fd listener = listen_on(at);
    CHECK(local(listener) == at);
    const Fd client = connect_to(at);
    CHECK(access(path.c_str(), F_OK) == 0);
}

TEST_CASE("an abstract name needs no file") {
    const std::string name = "rondo-test-" + std::to_string(getpid());
    const Endpoint at = *Endpoint::unix_abstract(name);
    ListenOptions options;
    options.unix_mode = 0600;  // has nothing to apply to
    const Fd listener = listen_on(at, options);
    CHECK(local(listener) == at);
    const Fd client = connect_to(at);
    const Fd server(accept_from(listener).fd);
    CHECK(*PosixSockets::peer(client.get()) == at);
    CHECK(access(name.c_str(), F_OK) != 0);
}

TEST_CASE("a full queue of a Unix listener is an error at once, not a connect in progress") {
    const Directory directory;
    const Endpoint at = *Endpoint::unix_path(directory.file("server"));
    ListenOptions options;
    options.backlog = 0;
    const Fd listener = listen_on(at, options);
    const Fd first = connect_to(at);
    const NoLeak descriptors;
    CHECK(PosixSockets::connect_to(at, {}).error() == EAGAIN);
    descriptors.check();
}

TEST_CASE("connecting where nobody listens is refused, at once or later") {
    const auto silent = PosixSockets::open(Family::ipv4, SocketKind::stream);
    REQUIRE(silent);
    const Fd owner(*silent);
    REQUIRE(PosixSockets::bind(*silent, Endpoint::ipv4_loopback(0)));
    const auto fd = PosixSockets::connect_to(local(owner), {});
    if (!fd) {
        CHECK(fd.error() == ECONNREFUSED);
    } else {
        const Fd client(*fd);
        wait_for(client.get(), POLLOUT);
        CHECK(PosixSockets::error(client.get()) == ECONNREFUSED);
    }
}

TEST_CASE("a client can choose its source address and port") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Endpoint second = Endpoint::ipv4(127, 0, 0, 2, 0);
    ConnectOptions options;
    options.source = &second;
    const Fd client = connect_to(local(listener), options);
    const Accepted accepted = accept_from(listener);
    const Fd server(accepted.fd);
    CHECK(accepted.peer.with_port(0) == second);
    CHECK(accepted.peer == local(client));

    const Endpoint fixed = unused(Endpoint::ipv4(127, 0, 0, 3, 0));
    options.source = &fixed;
    const Fd other = connect_to(local(listener), options);
    CHECK(local(other) == fixed);
}

TEST_CASE("a fixed source port can be used again while its last connection lingers") {
    const Fd first = listen_on(Endpoint::ipv4_loopback(0));
    const Fd second = listen_on(Endpoint::ipv4_loopback(0));
    // An address of this process's own: nobody else can take the port meanwhile.
    const auto pid = static_cast<unsigned>(getpid());
    const auto byte = [pid](int shift) { return static_cast<uint8_t>(pid >> shift & 0xff); };
    const Endpoint source =
        unused(Endpoint::ipv4(127, static_cast<uint8_t>(64 | byte(16)), byte(8), byte(0), 0));
    ConnectOptions options;
    options.source = &source;
    Fd client = connect_to(local(first), options);
    Fd server(accept_from(first).fd);
    client.reset();  // the side that closes first is left in TIME_WAIT
    CHECK(read_text(server.get()).empty());
    server.reset();
    const Fd again = connect_to(local(second), options);
    CHECK(local(again) == source);
}

TEST_CASE("a source that can't be bound is an error, or is done without on demand") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Endpoint source = foreign(0);
    ConnectOptions options;
    options.source = &source;
    {
        const NoLeak descriptors;
        const auto fd = PosixSockets::connect_to(local(listener), options);
        CHECK(fd.error().message() == "bind 192.0.2.1:0: cannot assign requested address");
        descriptors.check();
    }
    options.best_effort_source = true;
    const NoLeak descriptors;
    {
        const Fd client = connect_to(local(listener), options);
        const Accepted accepted = accept_from(listener);
        const Fd server(accepted.fd);
        CHECK(accepted.peer.with_port(0) == Endpoint::ipv4_loopback(0));
    }
    descriptors.check();
}

TEST_CASE("a source of another family fails without a leak") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Endpoint source = *Endpoint::unix_abstract("rondo-test-source");
    ConnectOptions options;
    options.source = &source;
    const NoLeak descriptors;
    CHECK_FALSE(PosixSockets::connect_to(local(listener), options));
    CHECK_FALSE(PosixSockets::connect_to(Endpoint(), {}));
    descriptors.check();
}

TEST_CASE("out of descriptors is an error everywhere, and the connection waits") {
    const Fd listener = listen_on(Endpoint::ipv4_loopback(0));
    const Fd client = connect_to(local(listener));
    wait_for(listener.get(), POLLIN);
    const NoLeak descriptors;
    {
        const DescriptorLimit none(0);
        CHECK(PosixSockets::open(Family::ipv4, SocketKind::stream).error() == EMFILE);
        CHECK(PosixSockets::listen_on(Endpoint::ipv4_loopback(0), {}).error().message() ==
              "socket 127.0.0.1:0: too many open files");
        CHECK(PosixSockets::connect_to(local(listener), {}).error() == EMFILE);
        CHECK(PosixSockets::accept(listener.get()).error() == EMFILE);
    }
    {
        const DescriptorLimit one(1);
        CHECK(PosixSockets::pair(SocketKind::stream).error() == EMFILE);
        CHECK(PosixSockets::pipe().error() == EMFILE);
    }
    descriptors.check();
    const Fd server(accept_from(listener).fd);
    CHECK(*PosixSockets::peer(server.get()) == local(client));
}

TEST_CASE("calls on a closed descriptor or the wrong kind of one are errors that name it") {
    const auto closed = PosixSockets::accept(-1);
    CHECK(closed.error().message() == "accept fd -1: bad file descriptor");
    CHECK(PosixSockets::local(-1).error() == EBADF);
    CHECK(PosixSockets::peer(-1).error() == EBADF);
    CHECK(PosixSockets::shutdown(-1, rondo::Shutdown::both).error() == EBADF);
    CHECK(PosixSockets::bind(-1, Endpoint::ipv4_any(0)).error() == EBADF);
    CHECK(PosixSockets::listen(-1, Endpoint::ipv4_any(80), 1).error().message() ==
          "listen 0.0.0.0:80: bad file descriptor");
    CHECK(PosixSockets::connect(-1, Endpoint::ipv4_loopback(80)).error() == EBADF);
    PosixSockets::close(-1);

    const auto udp = PosixSockets::open(Family::ipv4, SocketKind::datagram);
    REQUIRE(udp);
    const Fd owner(*udp);
    CHECK(PosixSockets::accept(*udp).error() == EOPNOTSUPP);  // and doesn't spin
    CHECK(PosixSockets::peer(*udp).error() == ENOTCONN);
    CHECK(PosixSockets::bind(*udp, Endpoint()).error() == EINVAL);
    CHECK(PosixSockets::connect(*udp, Endpoint()).error() == EINVAL);
    const auto tcp = PosixSockets::open(Family::ipv4, SocketKind::stream);
    REQUIRE(tcp);
    const Fd not_listening(*tcp);
    CHECK(PosixSockets::accept(*tcp).error() == EINVAL);
    CHECK(PosixSockets::shutdown(*tcp, rondo::Shutdown::both).error() == ENOTCONN);
}

TEST_CASE("shutdown closes the directions that it names") {
    const TcpPair tcp;
    REQUIRE(PosixSockets::shutdown(tcp.client.get(), rondo::Shutdown::read));
    CHECK(read_text(tcp.client.get()).empty());
    CHECK(PosixSockets::write(tcp.client.get(), bytes("x")).bytes == 1);
    CHECK(read_text(tcp.server.get()) == "x");
    REQUIRE(PosixSockets::shutdown(tcp.client.get(), rondo::Shutdown::both));
    CHECK(read_text(tcp.server.get()).empty());
}

TEST_CASE("closing closes once, and leaves errno alone") {
    const auto fd = PosixSockets::open(Family::ipv4, SocketKind::stream);
    REQUIRE(fd);
    errno = EALREADY;
    PosixSockets::close(*fd);
    CHECK(fcntl(*fd, F_GETFD) == -1);
    errno = EALREADY;
    PosixSockets::close(-1);
    CHECK(errno == EALREADY);
}
