// SPDX-License-Identifier: BSL-1.0
// An echo server by libuv, as its guide has it: a buffer for each read, which is written and then
// freed. It reads no more of a connection while over a megabyte of it isn't sent.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

namespace {

constexpr size_t unsent_max = size_t{1} << 20;

struct Connection {
    uv_tcp_t handle;
    uv_shutdown_t shutdown;
    bool paused;

    uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&handle); }
};

struct Write {
    uv_write_t request;
    uv_buf_t buffer;
};

void end(Connection& connection) {
    auto* const handle = reinterpret_cast<uv_handle_t*>(&connection.handle);
    if (uv_is_closing(handle) != 0) return;
    uv_close(handle, [](uv_handle_t* closed) { delete static_cast<Connection*>(closed->data); });
}

void on_buffer(uv_handle_t*, size_t size, uv_buf_t* buffer) {
    *buffer = uv_buf_init(static_cast<char*>(malloc(size)), static_cast<unsigned>(size));
}

void on_read(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer);

void on_written(uv_write_t* request, int status) {
    auto* const write = static_cast<Write*>(request->data);
    auto& connection = *static_cast<Connection*>(request->handle->data);
    free(write->buffer.base);
    delete write;
    if (status < 0) return end(connection);
    if (!connection.paused) return;
    connection.paused = false;
    uv_read_start(connection.stream(), on_buffer, on_read);
}

// Nothing more comes: it ends when all is sent.
void finish(Connection& connection) {
    const auto on_finished = [](uv_shutdown_t* request, int) {
        end(*static_cast<Connection*>(request->handle->data));
    };
    uv_read_stop(connection.stream());
    if (uv_shutdown(&connection.shutdown, connection.stream(), on_finished) != 0) end(connection);
}

void on_read(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
    auto& connection = *static_cast<Connection*>(stream->data);
    if (got <= 0) {
        free(buffer->base);
        if (got == UV_EOF) return finish(connection);
        if (got < 0) end(connection);
        return;
    }
    auto* const write = new Write{{}, uv_buf_init(buffer->base, static_cast<unsigned>(got))};
    write->request.data = write;
    if (uv_write(&write->request, stream, &write->buffer, 1, on_written) != 0) {
        free(write->buffer.base);
        delete write;
        return end(connection);
    }
    if (uv_stream_get_write_queue_size(stream) <= unsent_max) return;
    connection.paused = true;
    uv_read_stop(stream);
}

void on_connection(uv_stream_t* listener, int status) {
    if (status < 0) return;
    auto* const connection = new Connection{};
    uv_tcp_init(listener->loop, &connection->handle);
    connection->handle.data = connection;
    if (uv_accept(listener, connection->stream()) != 0) return end(*connection);
    uv_tcp_nodelay(&connection->handle, 1);
    uv_read_start(connection->stream(), on_buffer, on_read);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);  // libuv writes by write(2)
    uv_loop_t* const loop = uv_default_loop();
    uv_tcp_t listener;
    sockaddr_in at;
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &at);
    int failed = uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&at), 0);
    if (failed == 0) {
        failed = uv_listen(reinterpret_cast<uv_stream_t*>(&listener), SOMAXCONN, on_connection);
    }
    if (failed != 0) {
        fprintf(stderr, "listen: %s\n", uv_strerror(failed));
        return 1;
    }
    puts("listening");
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
