// SPDX-License-Identifier: BSL-1.0
#pragma once
// The work on libuv: poll handles in an array of ours, plain callbacks. Interest is changed by
// calling uv_poll_start() again, as its documentation says; libuv then takes the descriptor out of
// the epoll set at once, and adds it again before the next wait. An idle timer is a repeating one,
// moved by uv_timer_again().

#include <uv.h>

#include <cerrno>

#include "bench/pipes/ring.hpp"

namespace bench {

template <Variant variant>
class OnLibuv {
public:
    explicit OnLibuv(Ring& ring)
        : ring_(ring), polls_(ring.size()), timers_(variant == Variant::timer ? ring.size() : 0) {
        check(uv_loop_init(&loop_), "uv_loop_init");
        for (int pipe = 0; pipe < ring.pipes(); ++pipe) watch(pipe);
    }
    OnLibuv(const OnLibuv&) = delete;
    OnLibuv& operator=(const OnLibuv&) = delete;
    ~OnLibuv() {
        for (uv_poll_t& poll : polls_) uv_close(reinterpret_cast<uv_handle_t*>(&poll), nullptr);
        for (uv_timer_t& timer : timers_) uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        check(uv_loop_close(&loop_), "uv_loop_close");
    }

    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

private:
    static int check(int result, const char* call) {
        if (result < 0) errno = -result;
        return must(result, call);
    }

    void watch(int pipe) {
        const auto at = static_cast<size_t>(pipe);
        uv_poll_t& poll = polls_[at];
        check(uv_poll_init(&loop_, &poll, ring_.watched(pipe)), "uv_poll_init");
        poll.data = this;
        check(uv_poll_start(&poll, UV_READABLE, on_ready), "uv_poll_start");
        if constexpr (variant == Variant::timer) {
            constexpr uint64_t idle_ms = uint64_t{1000} * idle_seconds;
            check(uv_timer_init(&loop_, &timers_[at]), "uv_timer_init");
            check(uv_timer_start(&timers_[at], on_idle, idle_ms, idle_ms), "uv_timer_start");
        }
    }

    static void on_ready(uv_poll_t* poll, int status, int events) {
        OnLibuv& self = *static_cast<OnLibuv*>(poll->data);
        const auto at = static_cast<size_t>(poll - self.polls_.data());
        const int pipe = static_cast<int>(at);
        check(status, "uv_poll");
        if constexpr (variant == Variant::reply) return self.reply(pipe, poll, events);
        if ((events & UV_READABLE) == 0) return;
        if constexpr (variant == Variant::timer) {
            check(uv_timer_again(&self.timers_[at]), "uv_timer_again");
        }
        if constexpr (variant == Variant::toggle) {
            check(uv_poll_start(poll, UV_READABLE | UV_WRITABLE, on_ready), "uv_poll_start");
            check(uv_poll_start(poll, UV_READABLE, on_ready), "uv_poll_start");
        }
        if (!self.ring_.pass(pipe)) uv_stop(&self.loop_);
    }

    void reply(int pipe, uv_poll_t* poll, int events) {
        if ((events & UV_READABLE) != 0) {
            ring_.take(pipe);
            check(uv_poll_start(poll, UV_READABLE | UV_WRITABLE, on_ready), "uv_poll_start");
        }
        if ((events & UV_WRITABLE) == 0) return;
        check(uv_poll_start(poll, UV_READABLE, on_ready), "uv_poll_start");
        if (!ring_.give(pipe)) uv_stop(&loop_);
    }

    static void on_idle(uv_timer_t*) { idle_too_long(); }

    Ring& ring_;
    uv_loop_t loop_{};
    std::vector<uv_poll_t> polls_;
    std::vector<uv_timer_t> timers_;
};

}  // namespace bench
