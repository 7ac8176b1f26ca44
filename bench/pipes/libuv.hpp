// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on libuv in two forms, with handles in an array of ours and plain callbacks. An idle
// timer is a repeating one, moved by uv_timer_again().
//
// - libuv: poll handles, which tell readiness as the other loops do. libuv's documentation says
//   that they are meant for other libraries that need a loop, that anything else isn't recommended,
//   and that its own stream handles are faster.
// - libuv-read: those stream handles.

#include <fcntl.h>
#include <uv.h>

#include <cerrno>

#include "bench/pipes/ring.hpp"

namespace bench {

/// libuv's calls answer with the negative error.
inline void must_uv(int result, const char* call) {
    if (result < 0) errno = -result;
    must(result, call);
}

/// A loop and, where the variant has them, the idle timers. The handles that are closed live until
/// it is gone.
template <Variant variant>
class LibuvLoop {
public:
    explicit LibuvLoop(size_t pipes) : timers_(variant == Variant::timer ? pipes : 0) {
        constexpr uint64_t idle_ms = uint64_t{1000} * idle_seconds;
        must_uv(uv_loop_init(&loop_), "uv_loop_init");
        for (uv_timer_t& timer : timers_) {
            must_uv(uv_timer_init(&loop_, &timer), "uv_timer_init");
            must_uv(uv_timer_start(&timer, on_idle, idle_ms, idle_ms), "uv_timer_start");
        }
    }
    LibuvLoop(const LibuvLoop&) = delete;
    LibuvLoop& operator=(const LibuvLoop&) = delete;
    ~LibuvLoop() {
        for (uv_timer_t& timer : timers_) uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
        run();
        must_uv(uv_loop_close(&loop_), "uv_loop_close");
    }

    uv_loop_t* get() { return &loop_; }
    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
    void stop() { uv_stop(&loop_); }
    void not_idle(size_t pipe) { must_uv(uv_timer_again(&timers_[pipe]), "uv_timer_again"); }

private:
    static void on_idle(uv_timer_t*) { idle_too_long(); }

    uv_loop_t loop_{};
    std::vector<uv_timer_t> timers_;
};

/// Interest is changed by calling uv_poll_start() again, as the documentation says; libuv then
/// takes the descriptor out of the epoll set at once, and adds it again before the next wait.
template <Variant variant>
class OnLibuv {
public:
    explicit OnLibuv(Ring& ring) : ring_(ring), polls_(ring.size()), loop_(ring.size()) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            uv_poll_t* const poll = &polls_[static_cast<size_t>(pipe)];
            must_uv(uv_poll_init(loop_.get(), poll, ring_.watched(pipe)), "uv_poll_init");
            poll->data = this;
            watch(poll, UV_READABLE);
        }
    }
    OnLibuv(const OnLibuv&) = delete;
    OnLibuv& operator=(const OnLibuv&) = delete;
    ~OnLibuv() {
        for (uv_poll_t& poll : polls_) uv_close(reinterpret_cast<uv_handle_t*>(&poll), nullptr);
    }

    void run() { loop_.run(); }

private:
    static void watch(uv_poll_t* poll, int events) {
        must_uv(uv_poll_start(poll, events, on_ready), "uv_poll_start");
    }

    static void on_ready(uv_poll_t* poll, int status, int events) {
        OnLibuv& self = *static_cast<OnLibuv*>(poll->data);
        const auto at = static_cast<size_t>(poll - self.polls_.data());
        const int pipe = static_cast<int>(at);
        must_uv(status, "uv_poll");
        if constexpr (variant == Variant::reply) return self.reply(pipe, poll, events);
        if ((events & UV_READABLE) == 0) return;
        if constexpr (variant == Variant::timer) self.loop_.not_idle(at);
        if constexpr (variant == Variant::toggle) {
            watch(poll, UV_READABLE | UV_WRITABLE);
            watch(poll, UV_READABLE);
        }
        if (!self.ring_.pass(pipe)) self.loop_.stop();
    }

    void reply(int pipe, uv_poll_t* poll, int events) {
        if ((events & UV_READABLE) != 0) {
            ring_.take(pipe);
            watch(poll, UV_READABLE | UV_WRITABLE);
        }
        if ((events & UV_WRITABLE) == 0) return;
        watch(poll, UV_READABLE);
        if (!ring_.give(pipe)) loop_.stop();
    }

    Ring& ring_;
    std::vector<uv_poll_t> polls_;
    LibuvLoop<variant> loop_;
};

/// libuv reads, into a buffer that all share, and hands over the bytes. A stream has no interest in
/// writing to switch: it waits for room only when a write found none. So a reply is given at once,
/// and there is no toggle.
template <Variant variant>
class OnLibuvRead {
public:
    explicit OnLibuvRead(Ring& ring) : ring_(ring), streams_(ring.size()), loop_(ring.size()) {
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) {
            uv_pipe_t* const stream = &streams_[static_cast<size_t>(pipe)];
            must_uv(uv_pipe_init(loop_.get(), stream, 0), "uv_pipe_init");
            must_uv(uv_pipe_open(stream, ring_.watched(pipe)), "uv_pipe_open");
            stream->data = this;
            must_uv(uv_read_start(reinterpret_cast<uv_stream_t*>(stream), lend, on_read),
                    "uv_read_start");
        }
    }
    OnLibuvRead(const OnLibuvRead&) = delete;
    OnLibuvRead& operator=(const OnLibuvRead&) = delete;
    ~OnLibuvRead() {
        for (int pipe = 0; pipe < ring_.pipes(); ++pipe) close(pipe);
    }

    void run() { loop_.run(); }

private:
    // The descriptor is the ring's, but uv_close() closes it, and at once, as its documentation
    // says. So it comes back under its number.
    void close(int pipe) {
        const int fd = ring_.watched(pipe);
        const int spare = must(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl");
        uv_close(reinterpret_cast<uv_handle_t*>(&streams_[static_cast<size_t>(pipe)]), nullptr);
        must(::dup3(spare, fd, O_CLOEXEC), "dup3");
        must(::close(spare), "close");
    }

    static OnLibuvRead& owner(void* data) { return *static_cast<OnLibuvRead*>(data); }

    static void lend(uv_handle_t* stream, size_t, uv_buf_t* buffer) {
        *buffer = uv_buf_init(owner(stream->data).bytes_, Ring::read_size);
    }

    static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
        OnLibuvRead& self = owner(stream->data);
        const auto* const handle = reinterpret_cast<const uv_pipe_t*>(stream);
        const auto at = static_cast<size_t>(handle - self.streams_.data());
        const int pipe = static_cast<int>(at);
        must_uv(static_cast<int>(count), "uv_read");
        if constexpr (variant == Variant::timer) self.loop_.not_idle(at);
        self.ring_.accept(pipe, buffer->base, count);
        if (!self.ring_.give(pipe)) self.loop_.stop();
    }

    Ring& ring_;
    char bytes_[Ring::read_size];
    std::vector<uv_pipe_t> streams_;
    LibuvLoop<variant> loop_;
};

}  // namespace bench
