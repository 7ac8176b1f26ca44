// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server on libuv's streams, in two forms.
//
// - libuv: the guide's own: a buffer from malloc for each read, sent by uv_write, freed when sent.
// - libuv-try: one shared buffer, uv_try_write first, uv_write with a copy for the rest.

#include <uv.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench/echo/server.hpp"

namespace bench {

/// For calls of libuv, which answer an error below 0.
inline int uv_must(int result, const char* call) {
    if (result >= 0) return result;
    std::fprintf(stderr, "%s: %s\n", call, uv_strerror(result));
    std::exit(1);
}

struct UvEcho {
    uv_loop_t loop{};
    uv_tcp_t accepting{};
    uv_alloc_cb allocate;
    uv_read_cb read;
    size_t clients;
    ReadBuffer buffer{};
    size_t gone = 0;
};

struct UvRest {
    uv_write_t request{};
    std::vector<char> bytes;
};

inline void uv_accept_client(uv_stream_t* from, int status) {
    uv_must(status, "listen");
    auto& self = *static_cast<UvEcho*>(from->data);
    auto* const client = new uv_tcp_t;
    uv_must(uv_tcp_init(&self.loop, client), "uv_tcp_init");
    client->data = &self;
    auto* const stream = reinterpret_cast<uv_stream_t*>(client);
    uv_must(uv_accept(from, stream), "uv_accept");
    uv_must(uv_read_start(stream, self.allocate, self.read), "uv_read_start");
}

inline void uv_end(uv_stream_t* stream, ssize_t reason) {
    if (reason != UV_EOF && reason != UV_ECONNRESET) uv_must(static_cast<int>(reason), "read");
    uv_close(reinterpret_cast<uv_handle_t*>(stream), [](uv_handle_t* handle) {
        auto& self = *static_cast<UvEcho*>(handle->data);
        if (++self.gone == self.clients) uv_stop(&self.loop);
        delete reinterpret_cast<uv_tcp_t*>(handle);
    });
}

inline void uv_own_buffer(uv_handle_t*, size_t suggested, uv_buf_t* buffer) {
    auto* const bytes = static_cast<char*>(std::malloc(suggested));
    *buffer = uv_buf_init(bytes, static_cast<unsigned>(suggested));  // no bytes: UV_ENOBUFS
}

inline void uv_echo(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
    if (got <= 0) {
        std::free(buffer->base);
        if (got < 0) uv_end(stream, got);
        return;
    }
    auto* const request = new uv_write_t;
    request->data = buffer->base;
    const uv_buf_t out = uv_buf_init(buffer->base, static_cast<unsigned>(got));
    const auto sent = [](uv_write_t* done, int) {  // if it failed, reading tells the end
        std::free(done->data);
        delete done;
    };
    uv_must(uv_write(request, stream, &out, 1, sent), "uv_write");
}

inline void uv_shared_buffer(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    auto& shared = static_cast<UvEcho*>(handle->data)->buffer;
    *buffer = uv_buf_init(shared.data(), static_cast<unsigned>(shared.size()));
}

inline void uv_echo_try(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
    if (got < 0) return uv_end(stream, got);
    if (got == 0) return;
    uv_buf_t out = uv_buf_init(buffer->base, static_cast<unsigned>(got));
    const int sent = uv_try_write(stream, &out, 1);
    const size_t done = sent < 0 ? 0 : static_cast<size_t>(sent);
    if (done == static_cast<size_t>(got)) return;
    auto* const rest = new UvRest;
    rest->bytes.assign(buffer->base + done, buffer->base + got);
    rest->request.data = rest;
    out = uv_buf_init(rest->bytes.data(), static_cast<unsigned>(rest->bytes.size()));
    const auto freed = [](uv_write_t* request, int) { delete static_cast<UvRest*>(request->data); };
    uv_must(uv_write(&rest->request, stream, &out, 1, freed), "uv_write");
}

inline void serve_uv(int listener, size_t clients, uv_alloc_cb allocate, uv_read_cb read) {
    UvEcho self{.allocate = allocate, .read = read, .clients = clients};
    uv_must(uv_loop_init(&self.loop), "uv_loop_init");
    uv_must(uv_tcp_init(&self.loop, &self.accepting), "uv_tcp_init");
    uv_must(uv_tcp_open(&self.accepting, listener), "uv_tcp_open");
    self.accepting.data = &self;
    auto* const accepting = reinterpret_cast<uv_stream_t*>(&self.accepting);
    uv_must(uv_listen(accepting, 4096, uv_accept_client), "uv_listen");
    uv_run(&self.loop, UV_RUN_DEFAULT);
}

inline void serve_libuv(int listener, size_t clients) {
    serve_uv(listener, clients, uv_own_buffer, uv_echo);
}

inline void serve_libuv_try(int listener, size_t clients) {
    serve_uv(listener, clients, uv_shared_buffer, uv_echo_try);
}

}  // namespace bench
