// SPDX-License-Identifier: BSL-1.0
#pragma once
// What the examples share: the command line, the choice of a poller, and running until a signal
// comes. A poller is a type, so it is chosen once, at the top, and everything below is compiled for
// it.

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rondo/rondo.hpp>

namespace example {

/// `--name value` and `--flag` words; what isn't known ends the program with the usage text.
class Options {
public:
    Options(int argc, char** argv, const char* usage) : argc_(argc), argv_(argv), usage_(usage) {}

    /// The value of `--name`, or `fallback`.
    std::string_view text(std::string_view name, std::string_view fallback) {
        for (int i = 1; i < argc_; ++i) {
            if (argv_[i] == nullptr || name != argv_[i]) continue;
            if (i + 1 == argc_ || argv_[i + 1] == nullptr) refuse(argv_[i]);
            fallback = argv_[i + 1];
            argv_[i] = argv_[i + 1] = nullptr;
        }
        return fallback;
    }

    /// The same for a number from `least` to `most`.
    long number(std::string_view name, long fallback, long least = 0, long most = 1'000'000'000) {
        const std::string value(text(name, std::to_string(fallback)));
        char* end = nullptr;
        const long parsed = std::strtol(value.c_str(), &end, 10);
        if (value.empty() || *end != '\0' || parsed < least || parsed > most) refuse(value.c_str());
        return parsed;
    }

    size_t count(std::string_view name, long fallback) {
        return static_cast<size_t>(number(name, fallback, 1));
    }

    bool flag(std::string_view name) {
        bool found = false;
        for (int i = 1; i < argc_; ++i) {
            if (argv_[i] == nullptr || name != argv_[i]) continue;
            argv_[i] = nullptr;
            found = true;
        }
        return found;
    }

    /// The value of `--port` on this machine.
    rondo::Endpoint port() {
        return rondo::Endpoint::ipv4_loopback(static_cast<uint16_t>(number("--port", 0, 0, 65535)));
    }

    /// `--bind` with up to 16 addresses, separated by commas, at `--port`; without it, this machine
    /// alone. Others than this machine are only for servers that ask for a password.
    std::vector<rondo::Endpoint> addresses(bool password) {
        const std::string port = std::to_string(number("--port", 0, 0, 65535));
        const std::string_view list = text("--bind", "127.0.0.1");
        std::vector<rondo::Endpoint> found;
        for (size_t at = 0; at <= list.size();) {
            const size_t end = std::min(list.find(',', at), list.size());
            std::string word(list.substr(at, end - at));
            at = end + 1;
            const bool v6 = word.find(':') != word.npos;
            const auto parsed = rondo::Endpoint::parse((v6 ? "[" + word + "]" : word) + ":" + port);
            const bool here = word == "::1" || word.starts_with("127.");
            if (!parsed || found.size() == 16 || (!here && !password)) refuse(word.c_str());
            found.push_back(*parsed);
        }
        return found;
    }

    /// To be called when all options have been asked for.
    void done() const {
        for (int i = 1; i < argc_; ++i) {
            if (argv_[i] != nullptr) refuse(argv_[i]);
        }
    }

    [[noreturn]] void refuse(const char* word) const {
        std::fprintf(stderr, "%s: not understood: %s\nusage: %s %s\n", argv_[0], word, argv_[0],
                     usage_);
        std::exit(2);
    }

private:
    int argc_;
    char** argv_;
    const char* usage_;
};

/// Tells an error and answers with main's exit status.
inline int report(const rondo::Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
    return 1;
}

/// Tells something at once, also into a pipe.
template <class... Values>
void say(const char* format, const Values&... values) {
    std::printf(format, values...);
    std::fflush(stdout);
}

/// As many descriptors as the system lets this process have without asking the administrator.
inline void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/// Says what of that the system won't give.
inline void warn_of_limits(size_t clients, int backlog) {
    constexpr size_t others = 32;  // descriptors besides those of clients
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < clients + others) {
        std::fprintf(stderr, "warning: %zu clients need %zu descriptors, and there are only %zu\n",
                     clients, clients + others, static_cast<size_t>(limit.rlim_cur));
    }
    int most = 0;
    std::FILE* const file = std::fopen("/proc/sys/net/core/somaxconn", "r");
    if (file == nullptr) return;
    if (std::fscanf(file, "%d", &most) == 1 && most < backlog) {
        std::fprintf(stderr, "warning: the backlog of %d is clipped to somaxconn, %d\n", backlog,
                     most);
    }
    std::fclose(file);
}

/// Calls `run` with a loop on that poller.
template <class Poller, class Run>
int with_loop_on(Run&& run) {
    auto poller = Poller::open();
    if (!poller) return report(poller.error());
    rondo::EventLoop<Poller> loop(std::move(*poller));
    return run(loop);
}

/// Calls `run` with a loop on the poller that `--poller` names; asks for no options after that.
template <class Run>
int with_loop(Options& options, Run&& run) {
    const auto poller = options.text("--poller", rondo::DefaultPoller::name());
    options.done();
    raise_descriptor_limit();
    if (poller == rondo::DefaultPoller::name()) return with_loop_on<rondo::DefaultPoller>(run);
    if (poller == "poll") return with_loop_on<rondo::PollPoller>(run);
    if (poller == "select") return with_loop_on<rondo::SelectPoller>(run);
    options.refuse(std::string(poller).c_str());
}

/// Runs the loop; SIGINT and SIGTERM call `stop`.
template <class Loop, class Stop>
int run_until_signal(Loop& loop, Stop stop) {
    const auto interrupted = loop.on_signal(SIGINT, stop);
    if (!interrupted) return report(interrupted.error());
    const auto terminated = loop.on_signal(SIGTERM, stop);
    if (!terminated) return report(terminated.error());
    loop.run();
    return 0;
}

/// Listens, tells where, and runs until a signal stops the server.
template <class Loop, class Server>
int serve(Loop& loop, Server& server, const std::vector<rondo::Endpoint>& addresses) {
    for (const auto& at : addresses) {
        if (const auto listening = server.listen(at); !listening) return report(listening.error());
    }
    // The loop says it, when it watches for signals: one may come right after.
    loop.defer([&server] { say("listening on %s\n", server.local().text().c_str()); });
    return run_until_signal(loop, [&server] { server.stop(); });
}

/// How poll(2) is told to wait until `deadline`: in milliseconds, rounded up; -1 is for ever.
inline int poll_timeout(rondo::Instant now, rondo::Instant deadline) {
    if (deadline == rondo::Instant::max()) return -1;
    return static_cast<int>(std::clamp<int64_t>((deadline - now).ms_rounded_up(), 0, INT_MAX));
}

inline bool on_terminal() { return isatty(STDOUT_FILENO) == 1; }

}  // namespace example
