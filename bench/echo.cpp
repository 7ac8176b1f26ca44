// SPDX-License-Identifier: BSL-1.0
// An echo over TCP on loopback: each contender's server is a process of its own, pinned to one
// processor, the load runs on another. What counts is the server's CPU time per message, because
// the load is the slower side; messages per second are told beside. So is the memory that a server
// holds for a connection that has said something and says no more.
//
// echo --count NAME CONNECTIONS MESSAGES serves one load whose messages are exchanged one by one on
// each connection, and ends: counts.py looks at its system calls.

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <deque>
#include <fstream>

#include "echo_load.hpp"
#include "echo_servers.hpp"
#include "harness.hpp"

namespace {

using Serve = void (*)(int listener, size_t clients);

struct Kind {
    const char* name;
    Serve serve;
};

constexpr Kind kinds[] = {
    {"raw", bench::serve_raw},           {"rondo-epoll", bench::serve_rondo},
#if RONDO_BENCH_HAS_LIBUV
    {"libuv", bench::serve_libuv},       {"libuv-try", bench::serve_libuv_try},
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    {"libevent", bench::serve_libevent},
#endif
#if RONDO_BENCH_HAS_ASIO
    {"asio", bench::serve_asio},
#endif
};

struct Port {
    int listener;
    uint16_t number;
};

Port open_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    socklen_t length = sizeof at;
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const address = reinterpret_cast<sockaddr*>(&at);
    if (::bind(fd, address, length) != 0 || ::listen(fd, 4096) != 0 ||
        ::getsockname(fd, address, &length) != 0) {
        std::perror("listen");
        std::exit(1);
    }
    return {fd, ntohs(at.sin_port)};
}

cpu_set_t processors() {
    cpu_set_t all;
    CPU_ZERO(&all);
    ::sched_getaffinity(0, sizeof all, &all);
    return all;
}

// To the n-th of them.
void pin(const cpu_set_t& all, int n) {
    cpu_set_t one;
    CPU_ZERO(&one);
    if (CPU_COUNT(&all) < 2) return;
    for (size_t at = 0; at < CPU_SETSIZE; ++at) {
        if (CPU_ISSET(at, &all) && n-- == 0) CPU_SET(at, &one);
    }
    ::sched_setaffinity(0, sizeof one, &one);
}

// A server in a process of its own, and the load that talks to it.
class Match {
public:
    Match(const Kind& kind, const cpu_set_t& all, const bench::EchoPlan& plan, uint64_t messages)
        : messages_(messages),
          port_(open_port()),
          child_(start(kind, all, plan.connections)),
          load_(port_.number, plan) {}
    Match(const Match&) = delete;
    Match& operator=(const Match&) = delete;
    ~Match() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }

    bench::Sample run() {
        const double begin = bench::now_ns();
        const double before = used();
        const uint64_t done = load_.run(messages_);
        const double cpu = used() - before;
        const auto messages = static_cast<double>(done);
        rates_.push_back(messages / (bench::now_ns() - begin) * 1e9);
        return {cpu / messages, done};
    }
    double rate() const { return bench::Summary(rates_).median; }

    /// Bytes of the server's own memory, without pages of files.
    double memory() const {
        const std::string path = "/proc/" + std::to_string(child_) + "/status";
        std::ifstream status(path);
        size_t kib = 0;
        for (std::string word; status >> word;) {
            if (word == "RssAnon:") status >> kib;
        }
        return static_cast<double>(kib) * 1024;
    }
    uint16_t port() const { return port_.number; }

private:
    pid_t start(const Kind& kind, const cpu_set_t& all, size_t clients) {
        const pid_t child = ::fork();
        if (child != 0) {
            ::close(port_.listener);  // if the child dies, the load fails
            return child;
        }
        pin(all, 0);
        kind.serve(port_.listener, clients + 1);  // ends by a signal
        std::_Exit(0);
    }

    double used() const {
        clockid_t clock;
        timespec time{};
        if (::clock_getcpuclockid(child_, &clock) != 0) return 0;
        ::clock_gettime(clock, &time);
        return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
    }

    uint64_t messages_;
    Port port_;
    pid_t child_;
    bench::EchoLoad load_;
    std::vector<double> rates_;
};

void measure(bench::Report& report, const cpu_set_t& all, const bench::EchoPlan& plan,
             uint64_t messages) {
    char params[64];
    std::snprintf(params, sizeof params, "%zu x %zu B, pipeline %zu", plan.connections, plan.size,
                  plan.pipeline);
    if (std::string(params).find(report.options().only) == std::string::npos) return;
    std::deque<Match> matches;
    std::vector<bench::Contender> contenders;
    for (const Kind& kind : kinds) {
        Match& match = matches.emplace_back(kind, all, plan, messages);
        const double target = std::string(kind.name) == "rondo-epoll" ? 1.03 : 0;
        contenders.push_back({kind.name, [&match] { return match.run(); }, target});
    }
    report.compare(params, contenders);
    for (size_t i = 0; i < matches.size(); ++i) {
        report.tell(params, contenders[i].name, "rate", "messages/s", matches[i].rate());
    }
}

void measure_memory(bench::Report& report, const cpu_set_t& all, size_t connections) {
    const std::string params = std::to_string(connections) + " idle connections";
    if (params.find(report.options().only) == std::string::npos) return;
    for (const Kind& kind : kinds) {
        Match match(kind, all, {100, 64, 1}, 100);  // what a server needs for any is there now
        match.run();
        const double before = match.memory();
        bench::EchoLoad idle(match.port(), {connections, 64, 1});
        idle.run(connections);
        const double each = (match.memory() - before) / static_cast<double>(connections);
        report.tell(params, kind.name, "memory per connection", "bytes", each);
    }
}

int count(const char* name, size_t connections, uint64_t messages) {
    for (const Kind& kind : kinds) {
        if (std::string(kind.name) != name) continue;
        const Port port = open_port();
        const pid_t child = ::fork();
        if (child == 0) {
            bench::EchoLoad(port.number, {connections, 64, 1}).run(messages);
            std::_Exit(0);
        }
        kind.serve(port.listener, connections);
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    std::fprintf(stderr, "echo: no contender %s\n", name);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    if (argc == 5 && std::strcmp(argv[1], "--count") == 0) {
        return count(argv[2], std::strtoul(argv[3], nullptr, 10),
                     std::strtoull(argv[4], nullptr, 10));
    }
    bench::Report report("echo", bench::Options(argc, argv));
    if (!RONDO_BENCH_HAS_LIBUV) std::printf("  libuv: missing (install libuv1-dev)\n");
    if (!RONDO_BENCH_HAS_LIBEVENT) std::printf("  libevent: missing (install libevent-dev)\n");
    if (!RONDO_BENCH_HAS_ASIO) std::printf("  asio: missing (install libasio-dev)\n");
    const cpu_set_t all = processors();
    pin(all, 1);
    for (const size_t connections : {64U, 1000U}) {
        for (const size_t size : {64U, 4096U}) {
            for (const size_t pipeline : {1U, 16U}) {
                const uint64_t messages = pipeline == 1 ? 20'000 : size == 64 ? 160'000 : 64'000;
                measure(report, all, {connections, size, pipeline},
                        report.options().smoke ? 4000 : messages);
            }
        }
    }
    measure_memory(report, all, report.options().smoke ? 500 : 8000);
    return report.finish();
}
