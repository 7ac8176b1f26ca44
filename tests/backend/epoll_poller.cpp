// SPDX-License-Identifier: BSL-1.0
// What is true of epoll alone; the contract that it shares is in conformance.cpp. [kernel]
#include <rondo/backend/epoll_poller.hpp>

#if RONDO_HAS_EPOLL

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "support/catch.hpp"

using namespace rondo;

namespace {

// Makes epoll_pwait2 fail in this process, for good. False: the system doesn't let us.
bool forbid_epoll_pwait2(int code) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(code)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{4, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// In a child without the call: 0 if waits are never early, 1 if one is, 2 if it can't be tried.
int waits_without_epoll_pwait2(int code) {
    if (!forbid_epoll_pwait2(code)) return 2;
    auto poller = EpollPoller::open().value();
    EpollPoller::Event events[4];
    for (const int64_t us : {1, 999, 1001, 2500}) {
        const Instant deadline = poller.now() + Duration::microseconds(us);
        const auto result = poller.wait(events, deadline);
        if (!result || *result != 0 || poller.now() < deadline) return 1;
    }
    poller.wake();
    const auto huge = poller.wait(events, Instant(INT64_MAX - 1));
    return huge && *huge == 1 ? 0 : 1;
}

}  // namespace

TEST_CASE("without epoll_pwait2 a wait is rounded up to milliseconds") {
    for (const int code : {ENOSYS, EPERM}) {
        const pid_t child = fork();
        if (child == 0) _exit(waits_without_epoll_pwait2(code));
        int status = -1;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(WIFEXITED(status));
        if (WEXITSTATUS(status) == 2) SKIP("seccomp is not available");
        CHECK(WEXITSTATUS(status) == 0);
    }
}

TEST_CASE("epoll refuses a regular file with EPERM") {
    auto poller = EpollPoller::open().value();
    const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
    const auto added = poller.add(file.get(), Interest::read, Token(file.get(), 1));
    CHECK(added.error() == EPERM);
    CHECK(added.error().object() == Error::on_fd(EPERM, "", file.get()).object());
}

TEST_CASE("epoll reports an event of a closed descriptor while a duplicate lives, until reopen") {
    auto poller = EpollPoller::open().value();
    const auto [fd, peer] = poller.sockets().pair(SocketKind::stream).value();
    const Fd writer(peer);
    REQUIRE(poller.add(fd, Interest::write, Token(fd, 1)));
    const Fd duplicate(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    poller.sockets().close(fd);

    EpollPoller::Event events[4];
    REQUIRE(poller.wait(events, Instant::min()).value() == 1);
    CHECK(events[0].token() == Token(fd, 1));
    CHECK(poller.remove(fd, Interest::write).error() == EBADF);
    REQUIRE(poller.reopen());
    CHECK(poller.wait(events, Instant::min()).value() == 0);
}

TEST_CASE("epoll's descriptors are closed on exec and when the poller goes") {
    int handle = -1;
    {
        auto poller = EpollPoller::open().value();
        handle = poller.native_handle();
        CHECK(fcntl(handle, F_GETFD) == FD_CLOEXEC);
        REQUIRE(poller.reopen());
        CHECK(fcntl(handle, F_GETFD) == FD_CLOEXEC);
    }
    CHECK(fcntl(handle, F_GETFD) == -1);
}

TEST_CASE("an epoll event is the kernel's struct and nothing more") {
    STATIC_REQUIRE(sizeof(EpollPoller::Event) == sizeof(epoll_event));
    STATIC_REQUIRE(std::is_trivially_copyable_v<EpollPoller::Event>);
}

#endif  // RONDO_HAS_EPOLL
