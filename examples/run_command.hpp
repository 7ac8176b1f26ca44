// SPDX-License-Identifier: BSL-1.0
#pragma once
// A child process whose output comes through a pipe. Its end and the end of its output are two
// events, in either order; when both were there, the loop has nothing left to wait for.

#include <cstdio>

#include <rondo/rondo.hpp>

namespace example {

template <class Loop>
class Command {
public:
    explicit Command(Loop& loop) : loop_(loop) {}
    ~Command() { close(); }

    /// `spawn(pipe)` starts the child, which writes to `pipe.second`, and answers its pid.
    template <class Spawn>
    rondo::Result<void> start(Spawn spawn) {
        const auto pipe = loop_.sockets().pipe();
        if (!pipe) return pipe.error();
        output_ = pipe->first;
        const int pid = spawn(*pipe);
        const int code = errno;
        loop_.sockets().close(pipe->second);  // the child has it: this one would hide the end
        if (pid < 0) return rondo::Error(code, "fork");
        auto watch = loop_.on_child(pid, [this](const rondo::ChildStatus& end) { end_ = end; });
        if (!watch) return watch.error();
        child_ = std::move(*watch);
        return loop_.add(output_, rondo::Interest::read, [this] { read(); });
    }

    /// How it ended.
    const rondo::ChildStatus& end() const { return end_; }

private:
    void read() {
        char text[4096];
        const auto got = loop_.sockets().read(output_, std::as_writable_bytes(std::span(text)));
        if (got.would_block()) return;
        if (!got || got.bytes == 0) return close();
        std::fwrite(text, 1, got.bytes, stdout);
        std::fflush(stdout);
    }

    void close() {
        loop_.remove(output_);
        loop_.sockets().close(std::exchange(output_, -1));
    }

    Loop& loop_;
    int output_ = -1;
    typename Loop::Watch child_;
    rondo::ChildStatus end_;
};

}  // namespace example
