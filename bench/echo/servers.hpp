// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo servers by name. All serve on a listening socket, send back at once what they read, and
// queue what the kernel doesn't take; where the size of a read can be chosen, it is 256 KiB. What
// each does in its own way is told in its header.

#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "bench/echo/process.hpp"
#include "bench/echo/raw.hpp"
#include "bench/echo/raw_edge.hpp"
#include "bench/echo/rondo.hpp"
#include "bench/harness.hpp"

#if RONDO_BENCH_HAS_LIBURING
#include "bench/echo/raw_uring.hpp"
#endif
#if RONDO_BENCH_HAS_LIBEV
#include "bench/echo/libev.hpp"
#endif
#if RONDO_BENCH_HAS_LIBEVENT
#include "bench/echo/libevent.hpp"
#include "bench/echo/libevent_events.hpp"
#endif
#if RONDO_BENCH_HAS_LIBUV
#include "bench/echo/libuv.hpp"
#endif
#if RONDO_BENCH_HAS_ASIO
#include "bench/echo/asio.hpp"
#endif

namespace bench {

struct EchoServer {
    std::string name;
    Serve serve;
};

/// All that this program was built with and this machine permits; the baseline comes first.
inline std::vector<EchoServer> echo_servers() {
    std::vector<EchoServer> all{
        {"raw", serve_raw},
        {"raw-16k", serve_raw_16k},
        {"raw-edge", serve_raw_edge},
    };
#if RONDO_BENCH_HAS_LIBURING
    if (RawUringEcho::refusal() == 0) all.push_back({"raw-uring", serve_raw_uring});
#endif
    all.push_back({"rondo-epoll", serve_rondo<rondo::EpollPoller>});
    all.push_back({"rondo-poll", serve_rondo<rondo::PollPoller>});
#if RONDO_BENCH_HAS_LIBEV
    all.push_back({"libev", serve_libev});
#endif
#if RONDO_BENCH_HAS_LIBEVENT
    all.push_back({"libevent", serve_libevent});
    all.push_back({"libevent-events", serve_libevent_events});
#endif
#if RONDO_BENCH_HAS_LIBUV
    all.push_back({"libuv", serve_libuv});
    all.push_back({"libuv-try", serve_libuv_try});
#endif
#if RONDO_BENCH_HAS_ASIO
    all.push_back({"asio", serve_asio<AsioSession>});
    all.push_back({"asio-wait", serve_asio<AsioWaitSession>});
#endif
    return all;
}

/// Tells which libraries aren't there.
inline void tell_missing([[maybe_unused]] Report& report) {
#if !RONDO_BENCH_HAS_LIBEV
    report.missing("libev", "libev-dev");
#endif
#if !RONDO_BENCH_HAS_LIBEVENT
    report.missing("libevent", "libevent-dev");
#endif
#if !RONDO_BENCH_HAS_LIBUV
    report.missing("libuv", "libuv1-dev");
#endif
#if !RONDO_BENCH_HAS_ASIO
    report.missing("asio", "libasio-dev");
#endif
}

/// And whether io_uring is.
inline void tell_missing_ring(Report& report) {
#if RONDO_BENCH_HAS_LIBURING
    const int refusal = RawUringEcho::refusal();
    if (refusal != 0) {
        report.not_available("", "raw-uring", std::string("io_uring: ") + std::strerror(refusal));
    }
#else
    report.missing("raw-uring", "liburing-dev");
#endif
}

/// nullptr if there is none, which is told.
inline const EchoServer* find_server(std::span<const EchoServer> servers, const char* name) {
    for (const EchoServer& server : servers) {
        if (server.name == name) return &server;
    }
    std::fprintf(stderr, "there is no contender %s; --list tells which are\n", name);
    return nullptr;
}

/// For `--list`, and for `--serve NAME`, which is how a ServerProcess begins. Answers the program's
/// exit code, or -1 if it was called otherwise.
inline int list_or_serve(std::span<const EchoServer> servers, int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
        for (const EchoServer& server : servers) std::puts(server.name.c_str());
        return 0;
    }
    if (argc != 3 || std::strcmp(argv[1], "--serve") != 0) return -1;
    const EchoServer* const server = find_server(servers, argv[2]);
    if (server == nullptr) return 2;
    server->serve(serve_fd, SIZE_MAX);
    give_up("a server has ended by itself");
}

}  // namespace bench
