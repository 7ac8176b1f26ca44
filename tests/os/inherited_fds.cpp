// SPDX-License-Identifier: BSL-1.0
// In a child, since the environment and the descriptors from 3 on are the process' own.

#include <rondo/os/inherited_fds.hpp>

#include <stdio.h>
#include <sys/wait.h>

#include "support/catch.hpp"

using namespace rondo;

namespace {

// What a child that was handed two pipes answers; its own checks make its exit status.
template <class Check>
int in_child(const char* count, bool mine, Check check) {
    const pid_t child = fork();
    if (child == 0) {
        int ends[2];
        if (pipe(ends) != 0) _exit(99);
        const int reading = fcntl(ends[0], F_DUPFD, 10), writing = fcntl(ends[1], F_DUPFD, 10);
        dup2(reading, 3);
        dup2(writing, 4);
        close(5);
        char pid[16];
        snprintf(pid, sizeof pid, "%d", static_cast<int>(mine ? getpid() : getppid()));
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", count, 1);
        _exit(check() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool prepared(int fd) {
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

}  // namespace

TEST_CASE("inherited descriptors are counted and prepared, each time that one asks") {
    CHECK(in_child("2", true, [] {
              return detail::inherited_fds().value() == 2 && prepared(3) && prepared(4) &&
                     detail::inherited_fds().value() == 2;
          }) == 0);
}

TEST_CASE("inherited descriptors can be forgotten") {
    CHECK(in_child("2", true, [] {
              detail::forget_inherited_fds();
              return detail::inherited_fds().value() == 0 && getenv("LISTEN_PID") == nullptr;
          }) == 0);
}

TEST_CASE("descriptors that were meant for another process are let alone") {
    CHECK(in_child("2", false,
                   [] { return detail::inherited_fds().value() == 0 && !prepared(3); }) == 0);
}

TEST_CASE("a LISTEN_FDS that is wrong is an error") {
    CHECK(in_child("two", true, [] { return detail::inherited_fds().error() == EINVAL; }) == 0);
    CHECK(in_child("-1", true, [] { return detail::inherited_fds().error() == EINVAL; }) == 0);
    CHECK(in_child("3", true, [] { return detail::inherited_fds().error() == EBADF; }) == 0);
}

TEST_CASE("without LISTEN_FDS nothing is inherited") {
    if (getenv("LISTEN_FDS") == nullptr) CHECK(detail::inherited_fds().value() == 0);
}
