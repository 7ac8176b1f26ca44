// SPDX-License-Identifier: BSL-1.0
// Where the sockets of a listener come from, and what it tells when accepting fails.
#include <rondo/net/listener.hpp>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <rondo/backend/default_poller.hpp>
#include <rondo/net/server.hpp>

#include "loop/rig.hpp"
#include "support/counting_memory.hpp"
#include "support/death.hpp"

using namespace rondo;
using namespace rondo::test;

KERNEL_CASE("one listener takes IPv4, IPv6 and Unix connections", "[listener]") {
    Rig<TestType> rig;
    std::vector<Family> families;
    Listener listener(rig.loop, [&](int fd, const Endpoint&) {
        families.push_back(rig.loop.sockets().local(rig.own(fd)).value().family());
    });
    const std::string path = "/tmp/rondo-listener-" + std::to_string(getpid());
    const Endpoint at_path = Endpoint::parse("unix:" + path).value();
    unlink(path.c_str());
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    REQUIRE(listener.listen(at_path, {.unix_mode = 0600}));
    if (!listener.listen(Endpoint::ipv6_any(0), {.dual_stack = true})) SKIP("no IPv6 here");
    const uint16_t port = listener.local(2).value().port();
    for (const Endpoint& to : {listener.local(0).value(), at_path, Endpoint::ipv6_loopback(port),
                               Endpoint::ipv4_loopback(port)}) {
        if (!TestType::traits.kernel && to == Endpoint::ipv4_loopback(port)) continue;
        rig.own(rig.loop.sockets().connect_to(to, {}).value());
        const size_t before = families.size();
        while (families.size() == before) rig.loop.run_once();
    }
    unlink(path.c_str());
    CHECK(families[0] == Family::ipv4);
    CHECK(families[1] == Family::unix_path);
    CHECK(families[2] == Family::ipv6);
    if (TestType::traits.kernel) CHECK(families[3] == Family::ipv6);
}

TEST_CASE("sockets that the service manager has handed in are accepted on", "[listener][kernel]") {
    const pid_t child = fork();
    if (child == 0) {
        // Numbers from 3 on are the service manager's.
        const int made = PosixSockets::listen_on(Endpoint::ipv4_loopback(0), {}).value();
        if (made != 3) dup2(made, 3);
        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", "1", 1);
        using Loop = EventLoop<DefaultPoller>;
        Loop loop;
        Server<Loop> server(loop);
        server.on_open([&](auto&) { loop.stop(); });
        const auto adopted = server.adopt_inherited();
        if (!adopted || *adopted != 1 || server.local().value().port() == 0) _exit(1);
        static_cast<void>(PosixSockets::connect_to(server.local().value(), {}).value());
        loop.run();
        _exit(server.size() == 1 ? 0 : 2);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("a listener tells why accepting failed, and that it pauses", "[listener]") {
    ManualRig rig;
    std::vector<int> told;
    Listener listener(rig.loop, [&](int fd, const Endpoint&) { rig.own(fd); });
    listener.on_error([&](const Error& error) { told.push_back(error.code()); });
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    for (const int code : {EMFILE, EPERM}) {
        rig.own(rig.loop.sockets().connect_to(listener.local().value(), {}).value());
        rig.world().accept_failure = code;
        rig.loop.poll();
        rig.loop.poll();
        rig.loop.run_once();
        rig.loop.run_once();
    }
    CHECK(told == std::vector<int>{EMFILE, EPERM});
    CHECK(listener.counters().failures == 2);
}

TEST_CASE("an error's handler that got no memory is told, and the one before stands",
          "[listener]") {
    using Counting = CountingMemory<67>;
    Rig<ManualPoller, Counting> rig;
    std::string told;
    const std::array<char, 100> large{'!'};
    Listener listener(rig.loop, [&](int fd, const Endpoint&) { rig.own(fd); });
    REQUIRE(listener.on_error([&](const Error&) { told += '.'; }));
    REQUIRE(listener.listen(Endpoint::ipv4_loopback(0)));
    const auto fail = [&] {
        rig.own(rig.loop.sockets().connect_to(listener.local().value(), {}).value());
        rig.world().accept_failure = EPERM;
        const size_t before = told.size();
        while (told.size() == before) rig.loop.run_once();
        return told;
    };
    Counting::fail_after(1);
    CHECK_FALSE(listener.on_error([&told, large](const Error&) { told += large[0]; }));
    Counting::never_fail();
    CHECK(fail() == ".");
    CHECK(listener.on_error([&told, large](const Error&) { told += large[0]; }));
    CHECK(fail() == ".!");
}

TEST_CASE("an error's handler may destroy the listener", "[listener]") {
    ManualRig rig;
    std::unique_ptr<Listener<ManualRig::Loop>> listener;
    const auto refuse = [&](int fd, const Endpoint&) { rig.own(fd); };
    listener = std::make_unique<Listener<ManualRig::Loop>>(rig.loop, refuse);
    listener->on_error([&](const Error&) { listener.reset(); });
    REQUIRE(listener->listen(Endpoint::ipv4_loopback(0)));
    rig.own(rig.loop.sockets().connect_to(listener->local().value(), {}).value());
    rig.world().accept_failure = EPERM;
    while (listener != nullptr) rig.loop.run_once();
    CHECK(rig.loop.run() == 0);
}

TEST_CASE("an error's handler doesn't set another one", "[listener]") {
    ManualRig rig;
    Listener listener(rig.loop, [&](int fd, const Endpoint&) { rig.own(fd); });
    listener.on_error([&](const Error&) { listener.on_error([](const Error&) {}); });
    listener.listen(Endpoint::ipv4_loopback(0)).value();
    rig.own(rig.loop.sockets().connect_to(listener.local().value(), {}).value());
    rig.world().accept_failure = EPERM;
    const auto death = dies([&] { rig.loop.poll(); });
    CHECK_THAT(death.message, ContainsSubstring("outside of its calls"));
}
