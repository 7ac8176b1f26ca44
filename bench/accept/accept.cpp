// SPDX-License-Identifier: BSL-1.0
// Short connections over TCP on loopback: connect, one message of 64 bytes there and back, close.
// The servers are those of the echo benchmark, each in a process of its own on one processor; the
// load runs on another. What counts is the server's CPU time per connection; connections per second
// are told beside.
//
// All servers do the same for a connection: accept it, set no option (TCP_NODELAY is inherited),
// make what their library needs for a client, echo, and close when the reset of the client is read.
//
// accept --list tells the contenders. accept --count NAME CONNECTIONS serves so many connections
// and ends, for tools that look at its system calls.

#include <signal.h>

#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "bench/accept/load.hpp"
#include "bench/echo/process.hpp"
#include "bench/echo/servers.hpp"
#include "bench/harness.hpp"
#include "bench/system.hpp"

namespace {

using bench::EchoServer;
using Servers = std::vector<EchoServer>;

constexpr size_t at_once = 64;

// Without the forms that differ from another only in how they read and write. Both of asio's take
// part: one makes a session of 64 KiB per connection, the other a small one.
Servers accept_servers() {
    Servers servers = bench::echo_servers();
    std::erase_if(servers, [](const EchoServer& server) {
        for (const char* const left_out :
             {"raw-16k", "raw-edge", "raw-uring", "rondo-poll", "libuv"}) {
            if (server.name == left_out) return true;
        }
        return false;
    });
    return servers;
}

// A server and the load that talks to it.
class Match {
public:
    Match(const EchoServer& server, const bench::Processors& processors, uint64_t connections)
        : connections_(connections),
          server_(server.name, processors),
          load_(server_.port(), at_once) {}

    bench::Sample run() {
        const auto connections = static_cast<double>(connections_);
        const double before = server_.cpu_ns();
        const double begin = bench::now_ns();
        const uint64_t sum = load_.run(connections_);
        rates_.push_back(connections / (bench::now_ns() - begin) * 1e9);
        const double cpu = server_.cpu_ns() - before;
        return {cpu / connections, sum};
    }

    double rate() const { return bench::Summary(rates_).median; }

private:
    uint64_t connections_;
    bench::ServerProcess server_;
    bench::AcceptLoad load_;
    std::vector<double> rates_;
};

void measure(bench::Report& report, const Servers& servers, uint64_t connections) {
    const std::string params = std::to_string(at_once) + " at once, 64 B";
    const bench::Processors processors;
    processors.pin(1);
    std::deque<Match> matches;
    std::vector<bench::Contender> contenders;
    for (const EchoServer& server : servers) {
        Match& match = matches.emplace_back(server, processors, connections);
        const double target = server.name == "rondo-epoll" ? 1 / 1.1 : 0;
        contenders.push_back({server.name, [&match] { return match.run(); }, 0, target});
    }
    if (!report.compare(params, contenders)) return;
    for (size_t i = 0; i < matches.size(); ++i) {
        report.tell(params, contenders[i].name, "rate", "connections/s", matches[i].rate());
    }
    const rondo::ListenerLimits limits;
    report.tell(params, "rondo-epoll", "accepted per turn at most, the default", "connections",
                static_cast<double>(limits.accepts_per_turn));
}

int count(const Servers& servers, const char* name, size_t connections) {
    const EchoServer* const server = bench::find_server(servers, name);
    if (server == nullptr) return 2;
    return bench::serve_here(server->serve, connections, [&](uint16_t port) {
        bench::AcceptLoad(port, at_once).run(connections);
    });
}

}  // namespace

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);
    const Servers servers = accept_servers();
    if (const int code = bench::list_or_serve(servers, argc, argv); code >= 0) return code;
    if (argc == 4 && std::strcmp(argv[1], "--count") == 0) {
        return count(servers, argv[2], std::strtoul(argv[3], nullptr, 10));
    }
    bench::Report report("accept", bench::Options(argc, argv));
    bench::tell_missing(report);
    measure(report, servers, report.options().size(25'000U, 3000U, 1000U));
    return report.finish();
}
