// SPDX-License-Identifier: BSL-1.0
#pragma once
// Runs a piece of code in a child process and tells whether it stopped with an abort and what it
// said on stderr, so that a test can demand the sentence of a RONDO_ASSERT:
//
//     const auto death = dies([] { loop.modify(fd, Interest::read); });
//     CHECK(death.aborted);
//     CHECK_THAT(death.message, ContainsSubstring("add it first"));
//
// The child takes back the signal handlers of the test runner and of sanitizers, leaves no core
// file, and is killed by an alarm if it hangs. If the code returns, `aborted` is false.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

struct DeathResult {
    bool aborted = false;
    std::string message;
};

namespace detail_of_death {

inline void become_mortal(int message_fd) {
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGALRM}) {
        signal(number, SIG_DFL);
    }
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(message_fd, STDERR_FILENO);
    alarm(30);
}

inline std::string read_all(int fd) {
    std::string text;
    char buffer[512];
    for (;;) {
        const ssize_t n = read(fd, buffer, sizeof buffer);
        if (n > 0) text.append(buffer, static_cast<size_t>(n));
        if (n == 0 || (n < 0 && errno != EINTR)) return text;
    }
}

}  // namespace detail_of_death

template <class Code>
DeathResult dies(Code&& code) {
    int ends[2];
    if (pipe(ends) != 0) return {false, "no pipe"};
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        detail_of_death::become_mortal(ends[1]);
        // noexcept: an exception that escapes is a death of its own, with the runtime's sentence.
        [&]() noexcept { code(); }();
        _exit(0);
    }
    close(ends[1]);
    DeathResult result;
    if (child > 0) {
        result.message = detail_of_death::read_all(ends[0]);
        int status = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        result.aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    }
    close(ends[0]);
    return result;
}
