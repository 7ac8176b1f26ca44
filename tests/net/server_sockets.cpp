// SPDX-License-Identifier: BSL-1.0
// What a server's connections have of the sockets that it listens on.
#include <rondo/net/server.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

#include <rondo/backend/default_poller.hpp>

#include "net/server_rig.hpp"
#include "os/socket_support.hpp"
#include "support/pollers.hpp"

using namespace rondo;
using namespace rondo::test;

namespace {

// What the kernel says of the connections of a server, once `count` are open.
template <class P>
void check_no_delay(EchoSite<P>& site, size_t count, bool wanted) {
    while (site.opened < count) site.rig.loop.run_once();
    size_t checked = 0;
    site.server.for_each([&](auto& connection) {
        int on = 0;
        socklen_t length = sizeof on;
        const int asked = getsockopt(connection.fd(), IPPROTO_TCP, TCP_NODELAY, &on, &length);
        if (asked != 0) return;  // a Unix socket
        CHECK((on != 0) == wanted);
        ++checked;
    });
    CHECK(checked != 0);
}

// Tells how often TCP_NODELAY is set on a descriptor of its own.
struct CountingSockets : PosixSockets {
    static inline int calls = 0;
    static Result<void> set_no_delay(int fd, bool on) noexcept {
        ++calls;
        return PosixSockets::set_no_delay(fd, on);
    }
};
struct CountingPoller : DefaultPoller {
    using Sockets = CountingSockets;
    static Result<CountingPoller> open() {
        auto opened = DefaultPoller::open();
        if (!opened) return opened.error();
        return CountingPoller(std::move(*opened));
    }
    Sockets& sockets() noexcept { return counting; }
    Sockets counting;

private:
    explicit CountingPoller(DefaultPoller&& poller) : DefaultPoller(std::move(poller)) {}
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("the connections of a server have TCP_NODELAY as its options say",
                        "[server][kernel]", KernelPollers) {
    for (const bool wanted : {true, false}) {
        ConnectionOptions options;
        options.no_delay = wanted;
        EchoSite<TestType> site(options);
        site.connect();
        check_no_delay(site, 1, wanted);
    }
}

TEMPLATE_LIST_TEST_CASE("TCP_NODELAY is there also if the user made the listening socket",
                        "[server][kernel]", KernelPollers) {
    EchoSite<TestType> site;
    site.server.stop_listening();
    auto& sockets = site.rig.loop.sockets();
    const int fd = sockets.listen_on(Endpoint::ipv4_loopback(0), ListenOptions()).value();
    REQUIRE(site.server.adopt_listening(fd));
    site.connect();
    check_no_delay(site, 1, true);
}

TEMPLATE_LIST_TEST_CASE("TCP_NODELAY is there also if Unix sockets are served beside",
                        "[server][kernel]", KernelPollers) {
    EchoSite<TestType> site;
    const sockets_test::Directory directory;
    const auto at = Endpoint::unix_path(directory.file("server")).value();
    REQUIRE(site.server.listen(at));
    site.rig.own(site.rig.loop.sockets().connect_to(at, {}).value());
    site.connect();
    check_no_delay(site, 2, true);
}

TEMPLATE_LIST_TEST_CASE("a server's Unix connections are read to their end", "[server][kernel]",
                        KernelPollers) {
    EchoSite<TestType> site;
    const sockets_test::Directory directory;
    const auto at = Endpoint::unix_path(directory.file("server")).value();
    REQUIRE(site.server.listen(at));
    const int client = site.rig.own(site.rig.loop.sockets().connect_to(at, {}).value());
    sockets_test::send_with_descriptor(client, "before");  // where a read stops
    site.say(client, "behind");
    CHECK(site.hear(client, 12) == "beforebehind");
}

TEST_CASE("TCP_NODELAY is set once for all connections where they inherit it", "[server]") {
    CountingSockets::calls = 0;
    EchoSite<CountingPoller> site;
    for (int i = 0; i < 5; ++i) site.connect();
    check_no_delay(site, 5, true);
    CHECK(CountingSockets::calls == (PosixSockets::inherits_no_delay ? 0 : 5));
}

TEST_CASE("TCP_NODELAY is set on an adopted listening socket, and not on each connection",
          "[server]") {
    EchoSite<CountingPoller> site;
    site.server.stop_listening();
    auto& sockets = site.rig.loop.sockets();
    const int fd = sockets.listen_on(Endpoint::ipv4_loopback(0), ListenOptions()).value();
    CountingSockets::calls = 0;
    REQUIRE(site.server.adopt_listening(fd));
    for (int i = 0; i < 5; ++i) site.connect();
    check_no_delay(site, 5, true);
    CHECK(CountingSockets::calls == (PosixSockets::inherits_no_delay ? 1 : 6));
}

TEMPLATE_LIST_TEST_CASE("connections of an adopted Unix socket are read to their end",
                        "[server][kernel]", KernelPollers) {
    EchoSite<TestType> site;
    const sockets_test::Directory directory;
    const auto at = Endpoint::unix_path(directory.file("server")).value();
    auto& sockets = site.rig.loop.sockets();
    REQUIRE(site.server.adopt_listening(sockets.listen_on(at, ListenOptions()).value()));
    const int client = site.rig.own(sockets.connect_to(at, {}).value());
    sockets_test::send_with_descriptor(client, "before");  // where a read stops
    site.say(client, "behind");
    CHECK(site.hear(client, 12) == "beforebehind");
}
