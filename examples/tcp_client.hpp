// SPDX-License-Identifier: BSL-1.0
#pragma once
// A client: looks a name up, connects to whichever of its addresses answers, sends what comes on
// the standard input, and prints what comes back. It reads no faster than it can send.

#include <array>
#include <cstdio>
#include <optional>
#include <span>
#include <string_view>

#include <rondo/rondo.hpp>

namespace example {

template <class Loop, class Executor>
class TcpClient {
public:
    // [client]
    TcpClient(Loop& loop, Executor& executor)
        : loop_(loop), resolver_(loop, executor), connector_(loop), streams_(loop) {
        streams_.on_data([](auto&, std::span<const std::byte> bytes) {
            std::fwrite(bytes.data(), 1, bytes.size(), stdout);
            std::fflush(stdout);
        });
        streams_.on_drain([this](auto&) { watch_input(); });
        streams_.on_close([this](auto&, const rondo::Error& reason) {
            input_.reset();
            if (reason) fail(reason);
        });
    }

    void connect(std::string_view name, uint16_t port) {
        const auto asked = resolver_.resolve(name, port, [this](rondo::ResolveResult found) {
            if (!found) return fail(found.error());
            const auto begun = connector_.connect(*found, [this](rondo::Result<int> fd) {
                if (!fd) return fail(fd.error());
                const auto adopted = streams_.adopt(*fd);
                if (!adopted) return refuse(*fd, adopted.error());
                stream_ = *adopted;
                watch_input();
            });
            if (!begun) fail(begun.error());
        });
        if (!asked) return fail(asked.error());
        asked_ = *asked;
    }
    // [/client]

    /// Connects no longer; sends what it has, and ends when the server has finished too.
    void stop() {
        resolver_.cancel(asked_);
        connector_.cancel();
        if (auto* const stream = streams_.find(stream_)) stream->close();
    }
    bool failed() const { return failed_; }

private:
    void fail(const rondo::Error& error) {
        std::fprintf(stderr, "%s\n", error.message().c_str());
        failed_ = true;
    }

    void refuse(int fd, const rondo::Error& error) {
        loop_.sockets().close(fd);
        fail(error);
    }

    // epoll doesn't watch files: they are always ready.
    void watch_input() {
        auto watch = loop_.watch(0, rondo::Interest::read, [this] { take_input(); });
        if (watch) return void(input_.emplace(std::move(*watch)));
        if (watch.error() != EPERM) return fail(watch.error());
        loop_.defer([this] {
            if (take_input()) watch_input();
        });
    }

    // True if there may be more, and room for it.
    bool take_input() {
        auto* const stream = streams_.find(stream_);
        if (stream == nullptr) return false;
        std::array<std::byte, 65536> buffer;
        const rondo::IoResult got = loop_.sockets().read(0, buffer);
        if (got.would_block()) return true;
        if (got.bytes == 0) stream->end();
        const bool more = got.bytes != 0 && stream->send(std::span(buffer).first(got.bytes));
        if (more && !stream->full()) return true;
        input_.reset();
        return false;
    }

    Loop& loop_;
    rondo::Resolver<Loop, Executor> resolver_;
    rondo::Connector<Loop> connector_;
    rondo::Connections<Loop> streams_;
    rondo::ResolveId asked_;
    rondo::ConnectionHandle stream_;
    std::optional<typename Loop::Watch> input_;
    bool failed_ = false;
};

}  // namespace example
