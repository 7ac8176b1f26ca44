// SPDX-License-Identifier: BSL-1.0
// Runs a command, passes on what it says, and tells how it ended. Try it: run_command ls -l /
#include "examples/run_command.hpp"

#include <fcntl.h>

#include "examples/options.hpp"

// Our ends of the pipe are non-blocking; a command doesn't expect that of its own.
static int spawn(char** command, rondo::FdPair pipe) {
    if (const int pid = fork(); pid != 0) return pid;
    fcntl(pipe.second, F_SETFL, 0);
    dup2(pipe.second, STDOUT_FILENO);
    dup2(pipe.second, STDERR_FILENO);
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

int main(int argc, char** argv) {
    example::Options options(argc, argv, "COMMAND [ARGUMENT]...");
    if (argc < 2) options.refuse("no command");
    return example::with_loop_on<rondo::DefaultPoller>([&](auto& loop) {
        example::Command command(loop);
        const auto started = command.start([&](auto pipe) { return spawn(argv + 1, pipe); });
        if (!started) return example::report(started.error());
        loop.run();
        const auto [pid, signaled, code] = command.end();
        std::fprintf(stderr, "[process %d: %s %d]\n", pid, signaled ? "signal" : "exit status",
                     code);
        return signaled ? 128 + code : code;  // what a shell answers
    });
}
