// SPDX-License-Identifier: BSL-1.0
// The contract of <rondo/backend/poller.hpp>, rule by rule, for every poller: P1, P2 and P6 to P8;
// tokens and what readiness means (P3 to P5) are in conformance_readiness.cpp. Descriptors come
// from P::Sockets and time from P::now(), so the same cases hold for a poller whose kernel is
// simulated.

#include "support/conformance.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <set>
#include <string_view>
#include <thread>

namespace {

using namespace rondo;
using rondo::test::AllPollers;
using rondo::test::Bench;

// P1

RULE("P1 time: the clock never goes back", nothing) {
    Bench<P> bench;
    Instant last = bench.poller.now();
    for (int i = 0; i < 1000; ++i) {
        const Instant now = bench.poller.now();
        REQUIRE(now >= last);
        last = now;
    }
}

RULE("P1 time: a wait never returns before its deadline", nothing) {
    Bench<P> bench;
    for (const int64_t us : {1, 70, 999, 1001, 2500}) {
        const Instant deadline = bench.poller.now() + Duration::microseconds(us);
        REQUIRE(bench.raw_wait(deadline) == 0);
        REQUIRE(bench.poller.now() >= deadline);
    }
}

RULE("P1 time: a deadline in the past asks without blocking", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    const Instant past[] = {Instant::min(), Instant(1),
                            bench.poller.now() - Duration::seconds(100'000), bench.poller.now()};
    for (const Instant deadline : past) {
        const Instant before = bench.poller.now();
        REQUIRE(bench.raw_wait(deadline) == 0);
        REQUIRE(bench.poller.now() >= before);
    }
    bench.send(peer);
    for (const Instant deadline : past) REQUIRE(bench.wait(deadline).size() == 1);
}

RULE("P1 time: a huge deadline saturates", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.send(peer);
    for (const int64_t ns : {int64_t{1} << 40, int64_t{1} << 53, int64_t{1} << 62, INT64_MAX - 1}) {
        REQUIRE(bench.wait(Instant(ns)).size() == 1);
    }
}

RULE("P1 time: Instant::max() waits until there is something", kernel) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    std::atomic<bool> waiting{false};
    std::thread writer([&, to = peer] {
        while (!waiting) std::this_thread::yield();
        for (int i = 0; i < 20; ++i) std::this_thread::yield();
        const std::byte byte{};
        static_cast<void>(bench.poller.sockets().write(to, {&byte, 1}));
    });
    waiting = true;
    const auto seen = bench.wait(Instant::max());
    writer.join();
    REQUIRE(seen.size() == 1);
}

RULE("P1 time: a wait ends at an event although its deadline is far", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.send(peer);
    const Instant deadline = bench.poller.now() + Duration::seconds(1000);
    REQUIRE(bench.wait(deadline).size() == 1);
    REQUIRE(bench.poller.now() < deadline);
}

// P2

RULE("P2 changes: add acts at once", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    bench.send(peer);
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::readable);
}

RULE("P2 changes: modify acts at once", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.modify(fd, Interest::read, Interest::write, Token(fd, 1)));
    REQUIRE(bench.state(fd) == Readiness::writable);
    REQUIRE(bench.poller.modify(fd, Interest::write, Interest::none, Token(fd, 1)));
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.modify(fd, Interest::none, Interest::read, Token(fd, 1)));
    bench.send(peer);
    REQUIRE(bench.state(fd) == Readiness::readable);
}

RULE("P2 changes: remove acts at once and the descriptor can be added again", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE(bench.poller.remove(fd, Interest::write));
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 2)));
    REQUIRE(bench.state(fd) == Readiness::writable);
}

RULE("P2 changes: removing one descriptor leaves the others alone", nothing) {
    Bench<P> bench;
    int fds[5];
    for (uint32_t i = 0; i < 5; ++i) {
        fds[i] = bench.pair().first;
        REQUIRE(bench.poller.add(fds[i], Interest::write, Token(fds[i], i)));
    }
    for (const int at : {1, 4, 0}) REQUIRE(bench.poller.remove(fds[at], Interest::write));
    const auto seen = bench.wait();
    REQUIRE(seen.size() == 2);
    for (const auto& one : seen) {
        REQUIRE((one.token == Token(fds[2], 2) || one.token == Token(fds[3], 3)));
    }
    REQUIRE(bench.poller.modify(fds[3], Interest::write, Interest::none, Token(fds[3], 3)));
    REQUIRE(bench.poller.remove(fds[2], Interest::write));
    REQUIRE(bench.silent());
}

RULE("P2 changes: closing alone ends a registration where it is said to", closing_removes) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    bench.close(fd);
    REQUIRE(bench.silent());
    const int reused = bench.pair().first;
    REQUIRE(reused == fd);
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.add(reused, Interest::write, Token(fd, 2)));
    const auto seen = bench.wait();
    REQUIRE(seen.size() == 1);
    REQUIRE(seen[0].token == Token(fd, 2));
}

RULE("P2 changes: add of a descriptor that is not open is EBADF", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    bench.close(fd);
    REQUIRE(bench.poller.add(-1, Interest::read, Token(-1, 1)).error() == EBADF);
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)).error() == EBADF);
    REQUIRE(bench.silent());
    const int again = bench.pair().first;
    REQUIRE(again == fd);
    REQUIRE(bench.poller.add(again, Interest::write, Token(again, 2)));
}

RULE("P2 changes: add of a registered descriptor is EEXIST and changes nothing", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 2)).error() == EEXIST);
    const auto seen = bench.wait();
    REQUIRE(seen.size() == 1);
    REQUIRE(seen[0].token == Token(fd, 1));
    REQUIRE(seen[0].readiness == Readiness::writable);
}

RULE("P2 changes: add beyond the limit is ERANGE", fd_limit) {
    Bench<P> bench;
    const int limit = P::traits.fd_limit;
    for (const int fd : {limit, limit + 1, 1 << 30}) {
        REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)).error() == ERANGE);
    }
    REQUIRE(bench.silent());
}

RULE("P2 changes: edge-triggered interest is ENOTSUP where there is none", no_edge) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    const auto added = bench.poller.add(fd, Interest::write | Interest::edge, Token(fd, 1));
    REQUIRE(added.error() == ENOTSUP);
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
}

RULE("P2 changes: priority interest is ENOTSUP where there is none", no_priority) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    const Interest both = Interest::write | Interest::priority;
    REQUIRE(bench.poller.add(fd, both, Token(fd, 1)).error() == ENOTSUP);
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    for (const Interest to : {both, Interest::priority}) {
        REQUIRE(bench.poller.modify(fd, Interest::write, to, Token(fd, 2)).error() == ENOTSUP);
        const auto seen = bench.wait();
        REQUIRE(seen.size() == 1);
        REQUIRE(seen[0].token == Token(fd, 1));
        REQUIRE(seen[0].readiness == Readiness::writable);
    }
}

RULE("P2 changes: add of a regular file is EPERM where it is not always ready", no_files) {
    Bench<P> bench;
    const int fd = bench.file();
    for (const Interest interest : {Interest::read, Interest::write, Interest::none}) {
        REQUIRE(bench.poller.add(fd, interest, Token(fd, 1)).error() == EPERM);
        REQUIRE(bench.silent());
    }
}

RULE("P2 changes: modify and remove of what is not there are ENOENT or EBADF", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    const auto absent = [](const Result<void>& result) {
        return result.error() == ENOENT || result.error() == EBADF;
    };
    for (const int number : {-1, fd}) {
        const Token token(number, 1);
        REQUIRE(absent(bench.poller.modify(number, Interest::read, Interest::write, token)));
        REQUIRE(absent(bench.poller.remove(number, Interest::read)));
    }
    REQUIRE(bench.silent());
}

// P6

RULE("P6 waking: a wake ends the next wait without an event", nothing) {
    Bench<P> bench;
    for (int i = 0; i < 3; ++i) {
        bench.poller.wake();
        REQUIRE(bench.wait(Instant::max()).empty());
    }
}

RULE("P6 waking: many wakes are one return", nothing) {
    Bench<P> bench;
    for (int i = 0; i < 1000; ++i) bench.poller.wake();
    REQUIRE(bench.wait(Instant::max()).empty());
    const Instant deadline = bench.poller.now() + Duration::milliseconds(1);
    REQUIRE(bench.raw_wait(deadline) == 0);
    REQUIRE(bench.poller.now() >= deadline);
}

RULE("P6 waking: wakes that nobody waits for never block", nothing) {
    Bench<P> bench;
    for (int i = 0; i < 70'000; ++i) bench.poller.wake();
    REQUIRE(bench.wait(Instant::max()).empty());
    bench.poller.wake();
    REQUIRE(bench.wait(Instant::max()).empty());
}

RULE("P6 waking: a wake hides no event", nothing) {
    Bench<P> bench;
    const auto [fd, peer] = bench.pair();
    REQUIRE(bench.poller.add(fd, Interest::read, Token(fd, 1)));
    bench.send(peer);
    bench.poller.wake();
    REQUIRE(bench.state(fd) == Readiness::readable);
}

RULE("P6 waking: another thread ends the wait that is running", kernel) {
    Bench<P> bench;
    for (int i = 0; i < 50; ++i) {
        std::thread other([&] { bench.poller.wake(); });
        const auto seen = bench.wait(Instant::max());
        other.join();
        REQUIRE(seen.empty());
    }
}

// P7

RULE("P7 interruption: a signal gives no event and no error and no restart", kernel) {
    Bench<P> bench;
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) {};
    REQUIRE(sigaction(SIGUSR2, &action, &before) == 0);
    std::atomic<bool> over{false};
    std::thread interrupter([&, waiting = pthread_self()] {
        while (!over) {
            pthread_kill(waiting, SIGUSR2);
            std::this_thread::yield();
        }
    });
    typename P::Event events[4];
    const auto result = bench.poller.wait(events, Instant::max());
    over = true;
    interrupter.join();
    REQUIRE(sigaction(SIGUSR2, &before, nullptr) == 0);
    REQUIRE(result);
    REQUIRE(*result == 0);
}

// P8

RULE("P8 batches: no more events than fit and at least one", nothing) {
    Bench<P> bench;
    for (int i = 0; i < 10; ++i) {
        const int fd = bench.pair().first;
        REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    }
    for (const size_t most : {1U, 3U, 10U, 64U}) {
        REQUIRE(bench.wait(Instant::min(), most).size() == std::min<size_t>(most, 10));
    }
}

RULE("P8 batches: nothing is starved by its neighbours", nothing) {
    Bench<P> bench;
    for (int i = 0; i < 10; ++i) {
        const int fd = bench.pair().first;
        REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    }
    for (const size_t most : {1U, 3U, 9U}) {
        std::set<int> heard;
        for (size_t left = 0; left < 2 * 10; left += most) {
            for (const auto& one : bench.wait(Instant::min(), most)) heard.insert(one.token.fd());
        }
        REQUIRE(heard.size() == 10);
    }
}

RULE("P8 batches: a one-shot that did not fit is still reported", nothing) {
    Bench<P> bench;
    for (int i = 0; i < 4; ++i) {
        const int fd = bench.pair().first;
        REQUIRE(bench.poller.add(fd, Interest::write | Interest::oneshot, Token(fd, 1)));
    }
    std::set<int> heard;
    for (int i = 0; i < 4; ++i) {
        const auto seen = bench.wait(Instant::min(), 1);
        REQUIRE(seen.size() == 1);
        heard.insert(seen[0].token.fd());
    }
    REQUIRE(heard.size() == 4);
    REQUIRE(bench.silent());
}

// The rest of the seam

RULE("moving: registrations and wake-ups come along", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    bench.poller.wake();
    P moved = std::move(bench.poller);
    bench.poller = std::move(moved);
    REQUIRE(bench.state(fd) == Readiness::writable);
    REQUIRE(bench.poller.modify(fd, Interest::write, Interest::none, Token(fd, 1)));
    bench.poller.wake();
    REQUIRE(bench.wait(Instant::max()).empty());
}

RULE("reopen: the set is empty and everything can be added again", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE(bench.poller.reopen());
    REQUIRE(bench.silent());
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 2)));
    REQUIRE(bench.state(fd) == Readiness::writable);
}

RULE("reopen: no wake-up is lost", nothing) {
    Bench<P> bench;
    bench.poller.wake();
    REQUIRE(bench.poller.reopen());
    REQUIRE(bench.wait(Instant::max()).empty());
    bench.poller.wake();
    REQUIRE(bench.wait(Instant::max()).empty());
}

RULE("abandon: every later call fails or does nothing", nothing) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    bench.poller.abandon();
    bench.poller.abandon();
    bench.poller.wake();
    typename P::Event events[4];
    REQUIRE_FALSE(bench.poller.wait(events, Instant::min()));
    REQUIRE_FALSE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    REQUIRE_FALSE(bench.poller.modify(fd, Interest::write, Interest::read, Token(fd, 1)));
    REQUIRE_FALSE(bench.poller.remove(fd, Interest::write));
    REQUIRE_FALSE(bench.poller.reopen());
}

RULE("abandon: the parent of a fork keeps its registrations and its wake-ups", kernel) {
    Bench<P> bench;
    const int fd = bench.pair().first;
    REQUIRE(bench.poller.add(fd, Interest::write, Token(fd, 1)));
    const pid_t child = fork();
    if (child == 0) {
        bench.poller.abandon();
        static_cast<void>(bench.poller.remove(fd, Interest::write));
        bench.poller.wake();
        {
            P gone = std::move(bench.poller);
        }
        _exit(0);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    REQUIRE(bench.raw_wait() == 1);
    REQUIRE(bench.state(fd) == Readiness::writable);
}

RULE("native handle: it is readable exactly when there is something to report", native_handle) {
    Bench<P> inner;
    Bench<P> outer;
    const int handle = inner.poller.native_handle();
    const auto [fd, peer] = inner.pair();
    REQUIRE(inner.poller.add(fd, Interest::read, Token(fd, 1)));
    REQUIRE(outer.poller.add(handle, Interest::read, Token(handle, 1)));
    REQUIRE(outer.silent());
    inner.send(peer);
    REQUIRE(outer.state(handle) == Readiness::readable);
    REQUIRE(inner.drain(fd) == 1);
    REQUIRE(outer.silent());
    inner.poller.wake();
    REQUIRE(outer.state(handle) == Readiness::readable);
    REQUIRE(inner.wait().empty());
    REQUIRE(outer.silent());
    REQUIRE(inner.poller.reopen());
    REQUIRE(inner.poller.native_handle() == handle);
}

// Printed by tests/backend/conformance_table.py.
TEST_CASE("the table of rules and pollers", "[.conformance_table]") {
    const auto all = rondo::test::rules();
    std::multimap<std::string_view, decltype(&all[0])> sorted;  // those of one rule stay in order
    for (const auto& rule : all) {
        sorted.emplace(std::string_view(rule.title).substr(0, 2), &rule);
    }
    auto* const pollers = static_cast<AllPollers*>(nullptr);
    std::printf("<!-- conformance -->\n%s\n", rondo::test::table_head(pollers).c_str());
    for (const auto& [number, rule] : sorted) {
        std::printf("%s\n", rondo::test::table_row(*rule, pollers).c_str());
    }
    std::printf("<!-- /conformance -->\n");
    SUCCEED();
}

}  // namespace
