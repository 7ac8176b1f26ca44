// SPDX-License-Identifier: BSL-1.0
// The end of child processes, by pidfd and by SIGCHLD.

#include <fcntl.h>

#include <optional>

#include <rondo/os/child_watch.hpp>

#include "support/catch.hpp"
#include "system_support.hpp"

using namespace system_support;
using rondo::PosixSystem;

namespace {

// As a loop does it: waits for the descriptor, asks, and waits again while the child runs.
template <class System>
rondo::Result<rondo::ChildStatus> await_child(System& system, int pid, int fd) {
    for (;;) {
        readable(fd, -1);
        auto status = system.reap_child(pid);
        if (status || status.error() != EAGAIN) return status;
    }
}

}  // namespace

TEMPLATE_TEST_CASE("the end of a watched child is told once, with its exit status", "[children]",
                   PosixSystem, PortableSystem) {
    TestType system;
    IdleChild child(7);
    const auto fd = system.watch_child(child.pid());
    REQUIRE(fd);
    CHECK((fcntl(*fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_FALSE(readable(*fd));
    CHECK(system.reap_child(child.pid()).error() == EAGAIN);

    child.let_exit();
    const auto status = await_child(system, child.pid(), *fd);
    REQUIRE(status);
    CHECK(status->pid == child.pid());
    CHECK_FALSE(status->signaled);
    CHECK(status->code == 7);
    CHECK(system.reap_child(child.pid()).error() == ECHILD);
    system.unwatch_child(child.pid(), *fd);
    CHECK_FALSE(is_open(*fd));
}

TEMPLATE_TEST_CASE("a child that was killed tells the signal", "[children]", PosixSystem,
                   PortableSystem) {
    TestType system;
    IdleChild child;
    const int fd = *system.watch_child(child.pid());
    kill(child.pid(), SIGKILL);
    const auto status = await_child(system, child.pid(), fd);
    REQUIRE(status);
    CHECK(status->signaled);
    CHECK(status->code == SIGKILL);
}

TEMPLATE_TEST_CASE("a child that ended before it was watched is readable at once", "[children]",
                   PosixSystem, PortableSystem) {
    TestType system;
    IdleChild child(3);
    child.await_end();
    const auto fd = system.watch_child(child.pid());
    REQUIRE(fd);
    CHECK(readable(*fd));
    const auto status = system.reap_child(child.pid());
    REQUIRE(status);
    CHECK(status->code == 3);
}

TEMPLATE_TEST_CASE("what is no child of ours can't be watched or reaped", "[children]", PosixSystem,
                   PortableSystem) {
    TestType system;
    const int before = *TestType().open_signals();
    for (const int pid : {0, -1, -2}) {
        CAPTURE(pid);
        CHECK(system.watch_child(pid).error() == EINVAL);
        CHECK(system.reap_child(pid).error() == EINVAL);
    }
    for (const int pid : {1, static_cast<int>(getpid()), static_cast<int>(getppid()), 1 << 30}) {
        CAPTURE(pid);
        CHECK(system.watch_child(pid).error() == ECHILD);
        CHECK(system.reap_child(pid).error() == ECHILD);
    }
    system.unwatch_child(1, -1);
    system.unwatch_child(1, 0);
    CHECK(is_open(0));
    CHECK(*TestType().open_signals() == before);
}

TEMPLATE_TEST_CASE("only the child that was named is reaped", "[children]", PosixSystem,
                   PortableSystem) {
    TestType system;
    IdleChild watched, stranger;
    const int fd = *system.watch_child(watched.pid());
    stranger.await_end();
    // By SIGCHLD the stranger's end wakes us too; asking makes the descriptor quiet again.
    CHECK(system.reap_child(watched.pid()).error() == EAGAIN);
    CHECK_FALSE(readable(fd));
    watched.let_exit();
    CHECK(await_child(system, watched.pid(), fd));

    siginfo_t info{};
    CHECK(waitid(P_PID, static_cast<id_t>(stranger.pid()), &info, WEXITED | WNOHANG | WNOWAIT) ==
          0);
    CHECK(info.si_pid == stranger.pid());
}

TEMPLATE_TEST_CASE("a child may be watched twice, and each watch ends on its own", "[children]",
                   PosixSystem, PortableSystem) {
    TestType system;
    IdleChild child;
    const int first = *system.watch_child(child.pid());
    const int second = *system.watch_child(child.pid());
    REQUIRE(first != second);
    system.unwatch_child(child.pid(), first);
    CHECK_FALSE(is_open(first));
    child.let_exit();
    CHECK(await_child(system, child.pid(), second));
}

TEMPLATE_TEST_CASE("a system that goes closes the descriptors of its children", "[children]",
                   PosixSystem, PortableSystem) {
    IdleChild child;
    int fd = -1;
    {
        TestType system;
        TestType moved;
        fd = *system.watch_child(child.pid());
        moved = std::move(system);
        CHECK(is_open(fd));
        CHECK(moved.reap_child(child.pid()).error() == EAGAIN);
    }
    CHECK_FALSE(is_open(fd));
}

TEST_CASE("SIGCHLD is touched only where it is needed, and put back", "[children]") {
    const Disposed guard(SIGCHLD);
    IdleChild child, other;
    {
        PosixSystem system;
        REQUIRE(system.watch_child(child.pid()));
        CHECK(is_default(SIGCHLD));
    }
    PortableSystem system;
    const int fd = *system.watch_child(child.pid());
    const int fd2 = *system.watch_child(other.pid());
    CHECK_FALSE(is_default(SIGCHLD));
    system.unwatch_child(child.pid(), fd);
    CHECK_FALSE(is_default(SIGCHLD));
    system.unwatch_child(other.pid(), fd2);
    CHECK(is_default(SIGCHLD));
}

TEST_CASE("a failed watch leaves SIGCHLD as it was", "[children]") {
    const Disposed guard(SIGCHLD);
    PortableSystem system;
    CHECK_FALSE(system.watch_child(1));
    CHECK(is_default(SIGCHLD));
}

TEST_CASE("watching SIGCHLD as a signal and watching a child don't disturb each other",
          "[children]") {
    const Disposed guard(SIGCHLD);
    PortableSystem system;
    REQUIRE(system.add_signal(SIGCHLD));
    IdleChild child;
    const int fd = *system.watch_child(child.pid());
    child.let_exit();
    CHECK(await_child(system, child.pid(), fd));
    CHECK(readable(*system.open_signals(), -1));
    CHECK(system.take_signals() == bit(SIGCHLD));
    system.unwatch_child(child.pid(), fd);
    raise(SIGCHLD);
    CHECK(system.take_signals() == bit(SIGCHLD));
}

TEST_CASE("a kernel without pidfd_open is served by SIGCHLD", "[children]") {
    for (const unsigned code : {unsigned{ENOSYS}, unsigned{EPERM}}) {
        CAPTURE(code);
        CHECK(holds_in_child([&] {
            if (!filter_calls({SYS_pidfd_open}, true, SECCOMP_RET_ERRNO | code)) return false;
            PosixSystem system;
            IdleChild child(5);
            const auto fd = system.watch_child(child.pid());
            if (!fd || is_default(SIGCHLD)) return false;
            child.let_exit();
            const auto status = await_child(system, child.pid(), *fd);
            return status && status->code == 5;
        }));
    }
}
