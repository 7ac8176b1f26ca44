// SPDX-License-Identifier: BSL-1.0
#pragma once
// The libraries' loops that watch a ring; loops.hpp has the others and says what they do. What the
// user has to keep for each descriptor is in one array that is made before, where the library
// allows it.

#include <cerrno>
#include <type_traits>
#include <vector>

#include "bench/scaling/ring.hpp"

#if RONDO_BENCH_HAS_LIBEV
#include "bench/libev.hpp"
#endif

#if RONDO_BENCH_HAS_LIBEVENT
#include <event2/event.h>
#endif
#if RONDO_BENCH_HAS_LIBUV
#include <uv.h>
#endif
#if RONDO_BENCH_HAS_ASIO
#include <asio.hpp>
#endif

namespace bench {

#if RONDO_BENCH_HAS_LIBEV
/// The watchers are the user's. It tells epoll of them in its first turn.
class OnLibev {
public:
    explicit OnLibev(Ring& ring)
        : loop_(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV)), watchers_(ring.stations().size()) {
        if (loop_ == nullptr) fail("ev_loop_new");
        for (size_t i = 0; i < watchers_.size(); ++i) {
            ev_io* const watcher = &watchers_[i];
            Station& station = ring.stations()[i];
            ev_io_init(watcher, on_ready, station.fd, libev_read);
            watcher->data = &station;
            ev_io_start(loop_, watcher);
        }
    }
    OnLibev(const OnLibev&) = delete;
    OnLibev& operator=(const OnLibev&) = delete;
    ~OnLibev() { ev_loop_destroy(loop_); }

    void run() { ev_run(loop_, 0); }

private:
    static void on_ready(struct ev_loop* loop, ev_io* watcher, int) {
        if (!static_cast<Station*>(watcher->data)->pass()) ev_break(loop, EVBREAK_ALL);
    }

    struct ev_loop* loop_;
    std::vector<ev_io> watchers_;
};
#endif

#if RONDO_BENCH_HAS_LIBEVENT
/// event_new() allocates each event; its documentation advises against events in memory of one's
/// own, whose size would change with the version. Locks are off, as they are unless asked for.
class OnLibevent {
public:
    explicit OnLibevent(Ring& ring) : base_(event_base_new()) {
        if (base_ == nullptr) fail("event_base_new");
        ring.at_end([this] { must(event_base_loopbreak(base_), "event_base_loopbreak"); });
        events_.reserve(ring.stations().size());
        for (Station& each : ring.stations()) {
            events_.push_back(event_new(base_, each.fd, EV_READ | EV_PERSIST, on_ready, &each));
            if (events_.back() == nullptr) fail("event_new");
            must(event_add(events_.back(), nullptr), "event_add");
        }
    }
    OnLibevent(const OnLibevent&) = delete;
    OnLibevent& operator=(const OnLibevent&) = delete;
    ~OnLibevent() {
        for (event* each : events_) event_free(each);
        event_base_free(base_);
    }

    void run() { must(event_base_dispatch(base_), "event_base_dispatch"); }

private:
    static void on_ready(evutil_socket_t, short, void* data) {
        auto* const station = static_cast<Station*>(data);
        if (!station->pass()) station->ring->end();
    }

    event_base* base_;
    std::vector<event*> events_;
};
#endif

#if RONDO_BENCH_HAS_LIBUV
/// libuv's calls answer with the negative error.
inline void must_uv(int result, const char* call) {
    if (result >= 0) return;
    errno = -result;
    fail(call);
}

/// The handles are the user's, and stay until their closing was told. It tells epoll of them in its
/// first turn.
class OnLibuv {
public:
    explicit OnLibuv(Ring& ring) : handles_(ring.stations().size()) {
        must_uv(uv_loop_init(&loop_), "uv_loop_init");
        for (size_t i = 0; i < handles_.size(); ++i) {
            uv_poll_t* const handle = &handles_[i];
            Station& station = ring.stations()[i];
            must_uv(uv_poll_init(&loop_, handle, station.fd), "uv_poll_init");
            handle->data = &station;
            must_uv(uv_poll_start(handle, UV_READABLE, on_ready), "uv_poll_start");
        }
    }
    OnLibuv(const OnLibuv&) = delete;
    OnLibuv& operator=(const OnLibuv&) = delete;
    ~OnLibuv() {
        for (uv_poll_t& each : handles_) uv_close(reinterpret_cast<uv_handle_t*>(&each), nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        uv_loop_close(&loop_);
    }

    void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

private:
    static void on_ready(uv_poll_t* handle, int status, int) {
        must_uv(status, "uv_poll");
        if (!static_cast<Station*>(handle->data)->pass()) uv_stop(handle->loop);
    }

    uv_loop_t loop_;
    std::vector<uv_poll_t> handles_;
};
#endif

#if RONDO_BENCH_HAS_ASIO
enum class AsioForm { wait, read };

/// No locks (ASIO_CONCURRENCY_HINT_UNSAFE), and the executor's own type instead of the type-erased
/// any_io_executor: the leanest that its documentation has. Each event starts the next operation.
/// `wait`: async_wait for readability, as the others do. `read`: asio reads into a buffer itself;
/// that operation is started before the token goes on, so that it never finds it there at once.
template <AsioForm form>
class OnAsio {
public:
    explicit OnAsio(Ring& ring) {
        ring.at_end([this] { context_.stop(); });
        watched_.reserve(ring.stations().size());
        for (Station& each : ring.stations()) {
            watched_.emplace_back(context_, each);
            watched_.back().start();
        }
    }
    OnAsio(const OnAsio&) = delete;
    OnAsio& operator=(const OnAsio&) = delete;
    ~OnAsio() {
        for (Watched& each : watched_) each.release();
    }

    void run() {
        context_.restart();
        context_.run();
    }

private:
    using Descriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;
    struct NoToken {};
    using Token = std::conditional_t<form == AsioForm::read, uint64_t, NoToken>;

    class Watched {
    public:
        Watched(asio::io_context& context, Station& station)
            : descriptor_(context, station.fd), station_(&station) {}

        void start() {
            if constexpr (form == AsioForm::wait) {
                descriptor_.async_wait(Descriptor::wait_read, [this](asio::error_code error) {
                    if (error) return;
                    const bool more = station_->pass();
                    start();
                    if (!more) station_->ring->end();
                });
            } else {
                descriptor_.async_read_some(asio::buffer(&token_, sizeof token_),
                                            [this](asio::error_code error, size_t size) {
                                                if (!error) read(size);
                                            });
            }
        }
        // The descriptor is the ring's.
        void release() { descriptor_.release(); }

    private:
        void read(size_t size) {
            if (size != sizeof token_) fail("async_read_some");
            const uint64_t token = token_;
            start();
            if (!station_->ring->arrived(*station_, token)) station_->ring->end();
        }

        Descriptor descriptor_;
        Station* station_;
        [[no_unique_address]] Token token_{};
    };

    asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
    std::vector<Watched> watched_;
};
#endif

}  // namespace bench
