// SPDX-License-Identifier: BSL-1.0
// An echo over TCP on loopback: each contender's server is a process of its own on one processor,
// the load runs on another. What counts is the server's CPU time per message, because the load is
// the slower side; messages per second are told beside. So is the memory that a server holds for a
// connection that has said something and says no more, measured before any server has had a load.
//
// The load keeps its messages on the way, so a slower server finds more of them after each wait
// and pays for fewer waits per message. That flatters the slower ones, whoever they are.
//
// echo --list tells the contenders. echo --count NAME CONNECTIONS MESSAGES serves one load whose
// messages are exchanged one by one on each connection, and ends: counts.py looks at its system
// calls.

#include <signal.h>

#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "bench/echo/load.hpp"
#include "bench/echo/process.hpp"
#include "bench/echo/servers.hpp"
#include "bench/harness.hpp"
#include "bench/system.hpp"

namespace {

using bench::EchoServer;
using Servers = std::vector<EchoServer>;

constexpr size_t few = 64;  // connections; poll(2) takes part only with so many

// A server and the load that talks to it.
class Match {
public:
    Match(const EchoServer& server, const bench::Processors& processors,
          const bench::EchoPlan& plan, uint64_t messages)
        : messages_(messages), server_(server.name, processors), load_(server_.port(), plan) {}

    bench::Sample run() {
        const auto messages = static_cast<double>(load_.rounded(messages_));
        const double before = server_.cpu_ns();
        const double begin = bench::now_ns();
        const uint64_t heard = load_.run(messages_);
        rates_.push_back(messages / (bench::now_ns() - begin) * 1e9);
        const double cpu = server_.cpu_ns() - before;
        samples_.push_back({cpu / messages, heard});
        return samples_.back();
    }

    double rate() const { return bench::Summary(rates_).median; }
    const bench::ServerProcess& server() const { return server_; }
    const std::vector<bench::Sample>& samples() const { return samples_; }

private:
    uint64_t messages_;
    bench::ServerProcess server_;
    bench::EchoLoad load_;
    std::vector<double> rates_;
    std::vector<bench::Sample> samples_;
};

// Those of one cell, by name.
class Cell {
public:
    Cell(const Servers& servers, const bench::Processors& processors, const bench::EchoPlan& plan,
         uint64_t messages) {
        for (const EchoServer& server : servers) {
            if (server.name == "rondo-poll" && plan.connections > few) continue;
            names_.push_back(server.name);
            matches_.emplace_back(server, processors, plan, messages);
        }
    }

    bool compare(bench::Report& report, const std::string& params) {
        std::vector<bench::Contender> contenders;
        for (size_t i = 0; i < names_.size(); ++i) {
            const bool main = names_[i] == "rondo-epoll";
            contenders.push_back({names_[i], [&match = matches_[i]] { return match.run(); },
                                  main ? 1.03 : 0, main ? 1.0 : 0});
        }
        if (!report.compare(params, contenders)) return false;
        for (size_t i = 0; i < names_.size(); ++i) {
            report.tell(params, names_[i], "rate", "messages/s", matches_[i].rate());
        }
        return true;
    }

    // rondo beside another than the baseline, in the form that is named. Nothing is measured anew:
    // what they took in the same rounds is compared.
    void compare_with(bench::Report& report, const std::string& params, const std::string& other,
                      const char* form, double target) {
        const Match* const ours = find("rondo-epoll");
        const Match* const theirs = find(other);
        if (theirs == nullptr) return;
        report.compare(params + ", beside " + form,
                       {{other, again(*theirs)}, {"rondo-epoll", again(*ours), target}});
    }

private:
    const Match* find(const std::string& name) const {
        for (size_t i = 0; i < names_.size(); ++i) {
            if (names_[i] == name) return &matches_[i];
        }
        return nullptr;
    }

    static std::function<bench::Sample()> again(const Match& match) {
        return [&match, next = size_t{0}]() mutable { return match.samples().at(next++); };
    }

    std::vector<std::string> names_;
    std::deque<Match> matches_;
};

class Echo {
public:
    Echo(bench::Report& report, const Servers& servers, size_t descriptors)
        : report_(report), servers_(servers), descriptors_(descriptors) {
        processors_.pin(1);
    }

    void measure_memory(size_t connections) {
        const std::string params = std::to_string(connections) + " idle connections";
        if (!may_measure(params, connections + 200)) return;
        for (const EchoServer& server : servers_) {
            if (server.name == "rondo-poll") continue;
            // With a first load, what a server needs for any is there.
            Match match(server, processors_, {.connections = 100}, 100);
            match.run();
            const double before = match.server().memory();
            bench::EchoLoad idle(match.server().port(), {.connections = connections});
            idle.run(connections);
            const double more = match.server().memory() - before;
            report_.tell(params, server.name, "memory per connection", "bytes",
                         more / static_cast<double>(connections));
        }
    }

    void measure(const bench::EchoPlan& plan, uint64_t messages) {
        char params[64];
        std::snprintf(params, sizeof params, "%zu x %zu B, pipeline %zu", plan.connections,
                      plan.size, plan.pipeline);
        if (!may_measure(params, servers_.size() * (plan.connections + 10))) return;
        Cell cell(servers_, processors_, plan, messages);
        if (!cell.compare(report_, params)) return;
        const bool bulk = plan.size > 1024 && plan.pipeline > 1;
        if (bulk) cell.compare_with(report_, params, "raw-16k", "raw-16k", 0.65);
        cell.compare_with(report_, params, "libevent", "libevent's bufferevents", 1 / 1.4);
        cell.compare_with(report_, params, "libuv", "libuv's uv_write", 1 / 1.4);
    }

private:
    bool may_measure(const std::string& params, size_t descriptors) const {
        if (!report_.options().wants(params)) return false;
        if (descriptors <= descriptors_) return true;
        report_.not_available(params, "",
                              std::to_string(descriptors) +
                                  " descriptors are needed, the limit is " +
                                  std::to_string(descriptors_));
        return false;
    }

    bench::Report& report_;
    const Servers& servers_;
    const size_t descriptors_;
    const bench::Processors processors_;
};

int count(const Servers& servers, const char* name, size_t connections, uint64_t messages) {
    const EchoServer* const server = bench::find_server(servers, name);
    if (server == nullptr) return 2;
    return bench::serve_here(server->serve, connections, [&](uint16_t port) {
        bench::EchoLoad(port, {.connections = connections}).run(messages);
    });
}

}  // namespace

int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);
    const size_t descriptors = bench::raise_descriptor_limit();
    const Servers servers = bench::echo_servers();
    if (const int code = bench::list_or_serve(servers, argc, argv); code >= 0) return code;
    if (argc == 5 && std::strcmp(argv[1], "--count") == 0) {
        return count(servers, argv[2], std::strtoul(argv[3], nullptr, 10),
                     std::strtoull(argv[4], nullptr, 10));
    }
    bench::Report report("echo", bench::Options(argc, argv));
    const bench::Options& options = report.options();
    bench::tell_missing(report);
    bench::tell_missing_ring(report);
    Echo echo(report, servers, descriptors);
    echo.measure_memory(options.size(8000U, 2000U, 200U));
    for (const size_t connections : {few, options.size<size_t>(1000, 200, 200)}) {
        for (const size_t size : {64U, 4096U}) {
            for (const size_t pipeline : {1U, 16U}) {
                const uint64_t messages = pipeline == 1 ? 16'000 : size == 64 ? 128'000 : 48'000;
                echo.measure({connections, size, pipeline}, messages / options.size(1U, 8U, 40U));
            }
        }
    }
    return report.finish();
}
