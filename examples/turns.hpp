// SPDX-License-Identifier: BSL-1.0
#pragma once
// Two sockets become readable at once. The handler of each defers a task; the first one also posts
// a task, starts a timer that is due at once, and its deferred task defers another. In a browser
// the handlers would be tasks, defer() is queueMicrotask(), a timer is setTimeout(), post() is
// postMessage().
#include <cstdio>
#include <string>
#include <vector>

#include <rondo/rondo.hpp>

namespace example {

template <class Loop>
class Turns {
public:
    explicit Turns(Loop& loop) : loop_(loop) {}
    ~Turns() {
        for (const int fd : fds_) loop_.sockets().close(fd);
    }

    rondo::Result<void> run() {
        auto first = readable([this] { on_first(); });
        if (!first) return first.error();
        auto second = readable([this] { on_second(); });
        if (!second) return second.error();
        const auto hook = loop_.before_sleep([this] { ++turn_; });
        while (ran_.size() < 7) loop_.run_once();
        return {};
    }

    void print() const {
        // After every single task a browser empties the queue of microtasks, whatever joins it.
        constexpr const char* browser[] = {"task       first socket",
                                           "microtask  deferred by the first",
                                           "microtask  deferred by that",
                                           "task       second socket",
                                           "microtask  deferred by the second",
                                           "task       timer",
                                           "task       posted"};
        std::printf("%-40s%s\n", "rondo", "a browser");
        for (size_t i = 0; i < ran_.size(); ++i) {
            std::printf("%-40s%s\n", ran_[i].c_str(), browser[i]);
        }
    }

private:
    // A socket with something to read, which is told once.
    template <class F>
    rondo::Result<typename Loop::Watch> readable(F handler) {
        const auto pair = loop_.sockets().pair(rondo::SocketKind::stream);
        if (!pair) return pair.error();
        fds_.insert(fds_.end(), {pair->first, pair->second});
        const auto sent = loop_.sockets().write(pair->second, std::as_bytes(std::span("x")));
        if (!sent) return sent.error("write", pair->second);
        return loop_.watch(pair->first, rondo::Interest::read | rondo::Interest::oneshot, handler);
    }

    void on_first() {
        note("io", "first socket");
        loop_.post([this] { note("tasks", "posted"); });
        loop_.after(rondo::Duration(), [this] { note("timers", "timer"); });
        loop_.defer([this] {
            note("tasks", "deferred by the first");
            loop_.defer([this] { note("tasks", "deferred by that"); });
        });
    }
    void on_second() {
        note("io", "second socket");
        loop_.defer([this] { note("tasks", "deferred by the second"); });
    }
    void note(const char* phase, const char* what) {
        char line[64];
        std::snprintf(line, sizeof line, "turn %d  %-8s%s", turn_, phase, what);
        ran_.push_back(line);
    }

    Loop& loop_;
    int turn_ = 0;
    std::vector<int> fds_;
    std::vector<std::string> ran_;
};

}  // namespace example
