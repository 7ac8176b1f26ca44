// SPDX-License-Identifier: BSL-1.0
#pragma once
// Servers in processes of their own, for the benchmarks that talk to one over loopback: what it
// costs can then be read off the process. No child is left behind, however the program ends, and a
// server that dies or falls silent ends the program with an error.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "bench/statistics.hpp"
#include "bench/system.hpp"

namespace bench {

/// Where a server that was started finds its listening socket.
inline constexpr int serve_fd = 3;

/// Serves on a listening socket until so many clients have come and gone.
using Serve = void (*)(int listener, size_t clients);

/// Ends the benchmark, for what errno doesn't explain.
[[noreturn]] inline void give_up(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

inline void control(int poller, int operation, int fd, uint32_t events, uint64_t data) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = data;
    must(::epoll_ctl(poller, operation, fd, &event), "epoll_ctl");
}

/// The events that are there, at least one unless `milliseconds` have passed.
inline std::span<epoll_event> wait_for(int poller, std::span<epoll_event> room,
                                       int milliseconds = -1) {
    for (;;) {
        const int count =
            ::epoll_wait(poller, room.data(), static_cast<int>(room.size()), milliseconds);
        if (count >= 0) return room.first(static_cast<size_t>(count));
        if (errno != EINTR) fail("epoll_wait");
    }
}

/// For the load: a server that says nothing for so long never will.
inline std::span<epoll_event> wait_for_server(int poller, std::span<epoll_event> room) {
    const auto events = wait_for(poller, room, 20'000);
    if (events.empty()) give_up("a server hasn't answered for 20 seconds");
    return events;
}

struct Port {
    int listener;
    uint16_t number;
};

inline sockaddr_in loopback(uint16_t port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(port);
    return at;
}

/// Those who are accepted inherit TCP_NODELAY on Linux (the kernel copies the listening socket), so
/// no contender has to set it for each.
inline Port open_port() {
    const int fd = must(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in at = loopback(0);
    socklen_t length = sizeof at;
    auto* const address = reinterpret_cast<sockaddr*>(&at);
    const int on = 1;
    must(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
    must(::bind(fd, address, length), "bind");
    must(::listen(fd, 4096), "listen");
    must(::getsockname(fd, address, &length), "getsockname");
    return {fd, ntohs(at.sin_port)};
}

/// The processes that were started here. They are killed when the program exits; if it is killed,
/// the kernel kills them too.
class Children {
public:
    static Children& all() {
        static Children children;
        return children;
    }
    Children(const Children&) = delete;
    Children& operator=(const Children&) = delete;
    ~Children() {
        while (!running_.empty()) end(running_.back());
    }

    /// As fork(2).
    pid_t start() {
        std::fflush(nullptr);  // or the child would write it once more
        const pid_t parent = ::getpid();
        const pid_t child = must(::fork(), "fork");
        if (child != 0) {
            running_.push_back(child);
            return child;
        }
        running_.clear();  // they are its siblings
        must(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
        if (::getppid() != parent) std::_Exit(1);
        return 0;
    }

    void end(pid_t child) {
        ::kill(child, SIGKILL);
        static_cast<void>(wait(child));
    }

    /// True if it has ended well.
    bool wait(pid_t child) {
        int status = 0;
        while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        std::erase(running_, child);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }

private:
    Children() = default;

    std::vector<pid_t> running_;
};

/// A server on the first processor, for as long as this lives: the same program once more, as
/// `--serve NAME`, so that it begins with a heap and descriptors of its own.
class ServerProcess {
public:
    ServerProcess(const std::string& name, const Processors& processors)
        : port_(open_port()), child_(Children::all().start()) {
        if (child_ == 0) become(name, processors);
        ::close(port_.listener);  // if the child dies, connections are refused
    }
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;
    ~ServerProcess() { Children::all().end(child_); }

    uint16_t port() const { return port_.number; }

    /// What it has used when it has nothing more to do. The kernel doesn't count for others what a
    /// running process has used since it was last switched to, or since the last tick.
    double cpu_ns() const {
        const double begin = now_ns();
        for (int asleep = 0; asleep < 2;) {  // twice: it says so just before it is switched from
            asleep = sleeps() ? asleep + 1 : 0;
            if (now_ns() - begin > 20e9) give_up("a server doesn't come to rest for 20 seconds");
        }
        return cpu_ns_of(child_);
    }

    /// Bytes of its own memory.
    double memory() const { return memory_of(child_); }

private:
    // What it inherits besides the listener is closed by exec, or is what every program has.
    [[noreturn]] void become(const std::string& name, const Processors& processors) const {
        processors.pin(0);
        must(::dup2(port_.listener, serve_fd), "dup2");
        if (port_.listener == serve_fd) must(::fcntl(serve_fd, F_SETFD, 0), "fcntl");
        ::execl("/proc/self/exe", "server", "--serve", name.c_str(), nullptr);
        fail("exec");
    }

    std::string path(const char* what) const {
        return "/proc/" + std::to_string(child_) + "/" + what;
    }

    bool sleeps() const {
        std::ifstream stat(path("stat"));
        std::string text;
        std::getline(stat, text);
        const size_t end_of_name = text.rfind(") ");
        const char state = end_of_name == std::string::npos ? 'X' : text[end_of_name + 2];
        if (state == 'Z' || state == 'X') give_up("a server has died");
        return state == 'S';
    }

    Port port_;
    pid_t child_;
};

/// Serves in this process, so that tools can look at it, what `load(port)` asks for in a child.
/// Answers the program's exit code.
template <class Load>
int serve_here(Serve serve, size_t clients, const Load& load) {
    const Port port = open_port();
    const pid_t child = Children::all().start();
    if (child == 0) {
        ::close(port.listener);
        std::atexit([] { ::kill(::getppid(), SIGTERM); });  // the load has failed: nobody comes
        load(port.number);
        std::_Exit(0);
    }
    serve(port.listener, clients);
    return Children::all().wait(child) ? 0 : 1;
}

}  // namespace bench
