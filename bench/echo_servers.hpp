// SPDX-License-Identifier: BSL-1.0
#pragma once
// The same echo server in the form that each library's own documentation gives, and where another
// one is faster, that too. All send back at once, and queue what the kernel doesn't take; where the
// size of a read can be chosen, it is 256 KiB.
//
// - raw: a hand-written level-triggered epoll loop, one read and one write per event.
// - rondo: Connections that send in on_data what they are shown.
// - libuv: the guide's own: a buffer from malloc for each read, sent by uv_write, freed when sent.
// - libuv-try: one shared buffer, uv_try_write first, uv_write with a copy for the rest.
// - libevent: bufferevents; the input is moved to the output without a copy.
// - asio: async_read_some and async_write in turn, 64 KiB per session, because its operations are
//   started long before the bytes are there, so no buffer can be shared.
//
// Each serves on the descriptor of a listening socket until `clients` have come and gone.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include <rondo/backend/epoll_poller.hpp>
#include <rondo/net/server.hpp>

#if RONDO_BENCH_HAS_LIBUV
#include <uv.h>
#endif
#if RONDO_BENCH_HAS_LIBEVENT
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#endif
#if RONDO_BENCH_HAS_ASIO
#include <asio.hpp>
#endif

namespace bench {

inline constexpr size_t read_size = size_t{256} * 1024;

// On a page's start, where the kernel's copies are fastest.
class ReadBuffer {
public:
    ReadBuffer() : bytes_(static_cast<char*>(std::aligned_alloc(4096, read_size))) {}
    ReadBuffer(const ReadBuffer&) = delete;
    ReadBuffer& operator=(const ReadBuffer&) = delete;
    ~ReadBuffer() { std::free(bytes_); }

    char* data() { return bytes_; }

private:
    char* bytes_;
};

inline void serve_raw(int listener, size_t clients) {
    std::unordered_map<int, std::vector<char>> unsent;
    ReadBuffer buffer;
    const int poller = ::epoll_create1(EPOLL_CLOEXEC);
    const auto change = [&](int operation, int fd, uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        ::epoll_ctl(poller, operation, fd, &event);
    };
    change(EPOLL_CTL_ADD, listener, EPOLLIN);
    size_t gone = 0;
    std::array<epoll_event, 256> events;
    while (gone < clients) {
        const int count = ::epoll_wait(poller, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const auto& event = events[static_cast<size_t>(i)];
            const int fd = event.data.fd;
            if (fd == listener) {
                const int accepted = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (accepted >= 0) change(EPOLL_CTL_ADD, accepted, EPOLLIN);
                continue;
            }
            auto& queue = unsent[fd];
            if ((event.events & EPOLLOUT) != 0) {
                const ssize_t sent = ::write(fd, queue.data(), queue.size());
                if (sent > 0) queue.erase(queue.begin(), queue.begin() + sent);
                if (queue.empty()) change(EPOLL_CTL_MOD, fd, EPOLLIN);
                continue;
            }
            const ssize_t got = ::read(fd, buffer.data(), read_size);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) {
                ::epoll_ctl(poller, EPOLL_CTL_DEL, fd, nullptr);
                ::close(fd);
                unsent.erase(fd);
                ++gone;
                continue;
            }
            const ssize_t wrote = ::write(fd, buffer.data(), static_cast<size_t>(got));
            const ssize_t sent = wrote < 0 ? 0 : wrote;
            if (sent == got) continue;
            queue.assign(buffer.data() + sent, buffer.data() + got);
            change(EPOLL_CTL_MOD, fd, EPOLLOUT);
        }
    }
    ::close(poller);
}

inline void serve_rondo(int listener, size_t clients) {
    using Loop = rondo::EventLoop<rondo::EpollPoller>;
    Loop loop;
    rondo::Connections<Loop> connections(loop);
    size_t gone = 0;
    connections.on_data([](auto& connection, auto bytes) { connection.send(bytes); });
    connections.on_close([&](auto&, const rondo::Error&) {
        if (++gone == clients) loop.stop();
    });
    const auto added = loop.add(listener, rondo::Interest::read, [&] {
        const auto accepted = loop.sockets().accept(listener);
        if (accepted) static_cast<void>(connections.adopt(accepted->fd));
    });
    if (added) loop.run();
}

#if RONDO_BENCH_HAS_LIBUV
struct UvServer {
    uv_loop_t loop{};
    uv_alloc_cb allocate = nullptr;
    uv_read_cb read = nullptr;
    ReadBuffer buffer;
    size_t clients = 0;
    size_t gone = 0;
};

struct UvWrite {
    uv_write_t request{};
    std::vector<char> bytes;
};

inline void uv_end(uv_stream_t* stream) {
    uv_close(reinterpret_cast<uv_handle_t*>(stream), [](uv_handle_t* handle) {
        auto& of = *static_cast<UvServer*>(handle->data);
        if (++of.gone == of.clients) uv_stop(&of.loop);
        delete reinterpret_cast<uv_tcp_t*>(handle);
    });
}

inline void uv_own_buffer(uv_handle_t*, size_t suggested, uv_buf_t* buffer) {
    auto* const bytes = static_cast<char*>(std::malloc(suggested));
    *buffer = uv_buf_init(bytes, static_cast<unsigned>(suggested));
}

inline void uv_read(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
    if (got <= 0) {
        std::free(buffer->base);
        if (got < 0) uv_end(stream);
        return;
    }
    auto* const request = new uv_write_t;
    request->data = buffer->base;
    const uv_buf_t out = uv_buf_init(buffer->base, static_cast<unsigned>(got));
    uv_write(request, stream, &out, 1, [](uv_write_t* done, int) {
        std::free(done->data);
        delete done;
    });
}

inline void uv_shared_buffer(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    *buffer = uv_buf_init(static_cast<UvServer*>(handle->data)->buffer.data(), read_size);
}

inline void uv_read_try(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
    if (got < 0) return uv_end(stream);
    if (got == 0) return;
    uv_buf_t out = uv_buf_init(buffer->base, static_cast<unsigned>(got));
    const int sent = uv_try_write(stream, &out, 1);
    const size_t done = sent < 0 ? 0 : static_cast<size_t>(sent);
    if (done == static_cast<size_t>(got)) return;
    auto* const rest = new UvWrite;
    rest->bytes.assign(buffer->base + done, buffer->base + got);
    rest->request.data = rest;
    out = uv_buf_init(rest->bytes.data(), static_cast<unsigned>(rest->bytes.size()));
    uv_write(&rest->request, stream, &out, 1,
             [](uv_write_t* request, int) { delete static_cast<UvWrite*>(request->data); });
}

inline void serve_uv(int listener, size_t clients, uv_alloc_cb allocate, uv_read_cb read) {
    UvServer server;
    server.clients = clients;
    server.allocate = allocate;
    server.read = read;
    uv_loop_init(&server.loop);
    uv_tcp_t at{};
    uv_tcp_init(&server.loop, &at);
    uv_tcp_open(&at, listener);
    at.data = &server;
    uv_listen(reinterpret_cast<uv_stream_t*>(&at), 4096, [](uv_stream_t* from, int) {
        auto& of = *static_cast<UvServer*>(from->data);
        auto* const client = new uv_tcp_t;
        uv_tcp_init(&of.loop, client);
        client->data = &of;
        auto* const stream = reinterpret_cast<uv_stream_t*>(client);
        uv_accept(from, stream);
        uv_tcp_nodelay(client, 1);
        uv_read_start(stream, of.allocate, of.read);
    });
    uv_run(&server.loop, UV_RUN_DEFAULT);
}

inline void serve_libuv(int listener, size_t clients) {
    serve_uv(listener, clients, uv_own_buffer, uv_read);
}

inline void serve_libuv_try(int listener, size_t clients) {
    serve_uv(listener, clients, uv_shared_buffer, uv_read_try);
}
#endif

#if RONDO_BENCH_HAS_LIBEVENT
struct EventServer {
    event_base* base = nullptr;
    size_t clients = 0;
    size_t gone = 0;
};

inline void serve_libevent(int listener, size_t clients) {
    EventServer server{event_base_new(), clients, 0};
    const auto on_accept = [](evutil_socket_t fd, short, void* context) {
        auto& of = *static_cast<EventServer*>(context);
        const int accepted = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) return;
        bufferevent* const stream =
            bufferevent_socket_new(of.base, accepted, BEV_OPT_CLOSE_ON_FREE);
        bufferevent_set_max_single_read(stream, read_size);
        bufferevent_set_max_single_write(stream, read_size);
        bufferevent_setcb(
            stream,
            [](bufferevent* from, void*) {
                evbuffer_add_buffer(bufferevent_get_output(from), bufferevent_get_input(from));
            },
            nullptr,
            [](bufferevent* from, short, void* owner) {
                auto& its = *static_cast<EventServer*>(owner);
                bufferevent_free(from);
                if (++its.gone == its.clients) event_base_loopbreak(its.base);
            },
            context);
        bufferevent_enable(stream, EV_READ | EV_WRITE);
    };
    event* const accepting =
        event_new(server.base, listener, EV_READ | EV_PERSIST, on_accept, &server);
    event_add(accepting, nullptr);
    event_base_dispatch(server.base);
}
#endif

#if RONDO_BENCH_HAS_ASIO
class AsioSession : public std::enable_shared_from_this<AsioSession> {
public:
    AsioSession(asio::ip::tcp::socket socket, size_t* left)
        : socket_(std::move(socket)), left_(left) {}

    void read() {
        socket_.async_read_some(
            asio::buffer(buffer_),
            [self = shared_from_this()](const asio::error_code& error, size_t got) {
                if (error) return self->end();
                self->write(got);
            });
    }

private:
    void write(size_t size) {
        asio::async_write(socket_, asio::buffer(buffer_.data(), size),
                          [self = shared_from_this()](const asio::error_code& error, size_t) {
                              if (error) return self->end();
                              self->read();
                          });
    }
    void end() {
        if (--*left_ == 0) {
            static_cast<asio::io_context&>(socket_.get_executor().context()).stop();
        }
    }

    asio::ip::tcp::socket socket_;
    size_t* left_;
    std::array<char, size_t{64} * 1024> buffer_;
};

inline void asio_accept(asio::ip::tcp::acceptor& acceptor, size_t& left) {
    acceptor.async_accept([&](const asio::error_code& error, asio::ip::tcp::socket socket) {
        if (error) return;
        socket.set_option(asio::ip::tcp::no_delay(true));
        std::make_shared<AsioSession>(std::move(socket), &left)->read();
        asio_accept(acceptor, left);
    });
}

inline void serve_asio(int listener, size_t clients) {
    asio::io_context context(1);
    asio::ip::tcp::acceptor acceptor(context, asio::ip::tcp::v4(), listener);
    size_t left = clients;
    asio_accept(acceptor, left);
    context.run();
}
#endif

}  // namespace bench
