// SPDX-License-Identifier: BSL-1.0
#pragma once
// One connection of `load`: it keeps as many messages under way as it may, and checks what comes
// back.

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <rondo/rondo.hpp>

#include "examples/histogram.hpp"
#include "examples/script.hpp"

namespace example {

struct Plan {
    rondo::Endpoint server;
    size_t connections = 1;
    size_t pipeline = 1;  // messages under way on a connection
    size_t size = 64;     // bytes of a message
    size_t messages = 1;  // on each connection
    bool echo = false;    // the replies are not in upper case
    rondo::Duration time = rondo::never;
    rondo::Duration patience = rondo::Duration::seconds(10);  // with a server that is silent
};

/// A connection and what is counted on it: messages asked, bytes sent and received.
template <class Loop>
class Conversation {
public:
    Conversation(Loop& loop, const Plan& plan, const Script& script, size_t number)
        : loop_(loop),
          script_(script),
          size_(plan.size),
          place_(number * 7919),
          asked_at_(plan.pipeline) {}
    Conversation(const Conversation&) = delete;
    Conversation& operator=(const Conversation&) = delete;
    ~Conversation() { close(); }

    bool settled = false;  // for its owner

    size_t answered() const { return received_ / size_; }
    bool waiting() const { return received_ < asked_ * size_; }
    bool is_open() const { return fd_ >= 0; }

    /// Connects; `on_ready` is called when there is something to do. Answers 0 or an errno.
    template <class F>
    int open(const rondo::Endpoint& server, F on_ready) {
        const auto fd = loop_.sockets().connect_to(server, {});
        if (!fd) return fd.error().code();
        fd_ = *fd;
        auto ok = loop_.sockets().set_no_delay(fd_, true);
        if (ok) ok = loop_.add(fd_, rondo::Interest::write, on_ready);
        return ok.error().code();
    }

    void close() { loop_.close(std::exchange(fd_, -1)); }

    /// Asks what the pipeline has room for, up to `most` messages in all. Answers 0 or an errno.
    int send(size_t most) {
        using enum rondo::Interest;
        most = std::min(most, answered() + asked_at_.size());
        for (; asked_ < most; ++asked_) asked_at_[asked_ % asked_at_.size()] = loop_.poller().now();
        while (sent_ < asked_ * size_) {
            const auto text = script_.asked(place_ + sent_, asked_ * size_ - sent_);
            const auto put = loop_.sockets().write(fd_, std::as_bytes(std::span(text)));
            if (put.would_block()) break;
            if (!put) return put.code;
            sent_ += put.bytes;
        }
        loop_.modify(fd_, sent_ < asked_ * size_ ? read | write : read);
        return 0;
    }

    /// Checks what has come. Answers 0 or an errno; EBADMSG: it isn't what must come now.
    int receive(Histogram& latency) {
        if (const int code = loop_.sockets().error(fd_)) return code;
        char buffer[Script::longest];
        const auto got = loop_.sockets().read(fd_, std::as_writable_bytes(std::span(buffer)));
        if (!got) return got.would_block() ? 0 : got.code;
        if (got.bytes == 0) return ECONNRESET;
        const std::string_view reply(buffer, got.bytes);
        if (received_ + got.bytes > sent_) return EBADMSG;
        if (reply != script_.reply(place_ + received_, got.bytes)) return EBADMSG;
        const size_t before = answered();
        received_ += got.bytes;
        const auto now = loop_.poller().now();
        for (size_t i = before; i < answered(); ++i) {
            latency.add(now - asked_at_[i % asked_at_.size()]);
        }
        return 0;
    }

private:
    Loop& loop_;
    const Script& script_;
    const size_t size_;
    const size_t place_;  // in the script
    int fd_ = -1;
    size_t asked_ = 0;
    size_t sent_ = 0;
    size_t received_ = 0;
    std::vector<rondo::Instant> asked_at_;  // of the messages that are under way
};

}  // namespace example
