// SPDX-License-Identifier: BSL-1.0
#pragma once
// One process per core, the oldest of the three classic models: the parent opens the port and forks
// before any loop exists, each child accepts from the socket that they share, and the parent
// replaces a child that is killed. A child that finds its parent gone ends too.

#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rondo/rondo.hpp>

#include "examples/options.hpp"

namespace example {

/// What a child is: an echo server that says first which process it is.
template <class Loop>
class Child {
public:
    Child(Loop& loop, pid_t pid) : server_(loop) {
        server_.on_open(
            [pid](auto& connection) { connection.send("process " + std::to_string(pid) + "\n"); });
        server_.on_data(
            [](auto& connection, std::span<const std::byte> bytes) { connection.send(bytes); });
    }
    auto adopt(int listener) { return server_.adopt_listening(listener); }
    void stop() { server_.drain(std::chrono::seconds(1)); }

private:
    rondo::Server<Loop> server_;
};

/// What the children are given: where to accept, and a pipe whose other end the parent holds.
struct Heritage {
    int listener;
    rondo::FdPair parent;

    int serve() const {
        rondo::PosixSockets::close(parent.second);
        return with_loop_on<rondo::DefaultPoller>([this](auto& loop) {
            Child child(loop, getpid());
            if (const auto adopted = child.adopt(listener); !adopted) {
                return report(adopted.error());
            }
            const auto stop = [&] {
                loop.remove(parent.first);
                child.stop();
            };
            const auto alone = loop.add(parent.first, rondo::Interest::read, stop);
            return alone ? run_until_signal(loop, stop) : report(alone.error());
        });
    }
};

// [parent]
template <class Loop>
class Parent {
public:
    Parent(Loop& loop, const Heritage& heritage, const std::vector<pid_t>& children)
        : loop_(loop), heritage_(heritage) {
        for (const pid_t pid : children) watch(pid);
    }

    void stop() {
        stopping_ = true;
        for (const pid_t pid : children_) kill(pid, SIGTERM);
    }

private:
    void watch(pid_t pid) {
        children_.push_back(pid);
        watches_.push_back(
            loop_.on_child(pid, [this](rondo::ChildStatus end) { ended(end); }).value());
    }

    void ended(const rondo::ChildStatus& end) {
        std::erase(children_, end.pid);
        if (stopping_ || !end.signaled) return;
        const pid_t pid = fork();
        if (pid == 0) {
            loop_.abandon();  // it is the parent's: nothing of it may be used here
            std::_Exit(heritage_.serve());
        }
        say("process %d takes the place of %d\n", pid, end.pid);
        watch(pid);
    }
    // [/parent]

    Loop& loop_;
    const Heritage heritage_;
    std::vector<pid_t> children_;
    std::vector<typename Loop::Watch> watches_;
    bool stopping_ = false;
};

}  // namespace example
