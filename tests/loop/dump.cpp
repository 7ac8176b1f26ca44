// SPDX-License-Identifier: BSL-1.0
// What dump() says, in the form that remembers places. That form is another inline namespace, so
// this file uses none of the test support that is compiled into the plain one.

#ifndef RONDO_TRACE_LOCATIONS
#define RONDO_TRACE_LOCATIONS
#endif

#include <rondo/loop/event_loop.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include <rondo/backend/poll_poller.hpp>

#include "support/catch.hpp"

namespace {

using namespace rondo;
using Loop = EventLoop<PollPoller>;

const auto nothing = [] {};

std::vector<std::string> lines_of(Loop& loop) {
    std::vector<std::string> lines;
    loop.dump([&](std::string_view line) { lines.emplace_back(line); });
    return lines;
}

std::string at_line(int line) {
    return std::string(" at ") + __FILE__ + ":" + std::to_string(line);
}

}  // namespace

TEST_CASE("dump names each watch with its interest and the place where it was made",
          "[dump][kernel]") {
    Loop loop;
    const FdPair pipe = loop.sockets().pipe().value();
    const std::string first = "fd " + std::to_string(pipe.first);
    REQUIRE(loop.add(pipe.first, Interest::read, nothing));
    const int made = __LINE__ - 1;
    CHECK(lines_of(loop) == std::vector{first + ": read" + at_line(made)});
    loop.modify(pipe.first, Interest::none);
    loop.background(pipe.first, true);
    CHECK(lines_of(loop) == std::vector{first + ": nothing, background" + at_line(made)});
    loop.remove(pipe.first);
    {
        const auto watch = loop.watch(pipe.second, Interest::write, nothing);
        const std::string second = "fd " + std::to_string(pipe.second);
        CHECK(lines_of(loop) == std::vector{second + ": write" + at_line(__LINE__ - 2)});
    }
    CHECK(lines_of(loop).empty());
    loop.sockets().close(pipe.first);
    loop.sockets().close(pipe.second);
}

TEST_CASE("dump names each timer, its time, and the place where it was made", "[dump][kernel]") {
    Loop loop;
    loop.at(loop.now(), nothing);
    CHECK_THAT(lines_of(loop).at(0),
               ContainsSubstring("timer in ") && ContainsSubstring(at_line(__LINE__ - 2)));
    const TimerId id = loop.every(Duration::milliseconds(3'600'000), nothing);
    const int made = __LINE__ - 1;
    loop.background(id, true);
    CHECK_THAT(lines_of(loop).at(1), ContainsSubstring("periodic timer in 35") &&
                                         ContainsSubstring(" ms, background" + at_line(made)));
    auto timer = loop.timer();
    timer.after(Duration::milliseconds(1000), nothing);
    CHECK_THAT(lines_of(loop).at(2), ContainsSubstring(at_line(__LINE__ - 1)));
    timer.every(Duration::milliseconds(1000), nothing);
    CHECK_THAT(lines_of(loop).at(2), ContainsSubstring(at_line(__LINE__ - 1)));
    timer.at(loop.now(), nothing);
    CHECK_THAT(lines_of(loop).at(2), ContainsSubstring(at_line(__LINE__ - 1)));
}

TEST_CASE("dump names tasks and Remotes that keep the loop going", "[dump][kernel]") {
    Loop loop;
    auto remote = loop.remote();
    CHECK(lines_of(loop) == std::vector<std::string>{"remotes: in use"});
    loop.background(remote, true);
    CHECK(lines_of(loop).empty());
    REQUIRE(loop.defer(nothing));
    CHECK(lines_of(loop) == std::vector<std::string>{"tasks: waiting"});
    loop.poll();
    REQUIRE(loop.post(nothing));
    CHECK(lines_of(loop) == std::vector<std::string>{"tasks: waiting"});
}

TEST_CASE("dump names the loop's own descriptors and the watches of signals", "[dump][kernel]") {
    Loop loop;
    const int here = __LINE__ + 1;
    const auto watch = loop.on_signal(10, nothing);
    REQUIRE(watch);
    const auto lines = lines_of(loop);
    REQUIRE(lines.size() == 1);
    CHECK_THAT(lines[0], ContainsSubstring("(of the loop): read, background" + at_line(here)));
}

TEST_CASE("dump names children, and timers that never run", "[dump][kernel]") {
    Loop loop;
    const int pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    {
        const auto watch = loop.on_child(pid, nothing);
        REQUIRE(watch);
        const auto lines = lines_of(loop);
        REQUIRE(lines.size() == 2);
        CHECK_THAT(lines[1], ContainsSubstring("child " + std::to_string(pid) + " by fd "));
    }
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    loop.at(Instant::max(), nothing);
    const int made = __LINE__ - 1;
    CHECK(lines_of(loop) == std::vector{"timer: never" + at_line(made)});
}
