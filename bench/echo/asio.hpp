// SPDX-License-Identifier: BSL-1.0
#pragma once
// The echo server on asio, in two forms. One thread runs the context, which its concurrency hint
// says, so that nothing is locked. Sockets have the context's executor for a type, in place of
// any_io_executor, which is faster.
//
// - asio: async_read_some and async_write in turn, 64 KiB per session, because its operations are
//   started long before the bytes are there, so that no buffer can be shared.
// - asio-wait: async_wait, then non-blocking calls with one shared buffer; async_write sends what
//   the kernel didn't take.

#include <array>
#include <asio.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "bench/echo/server.hpp"

namespace bench {

using AsioExecutor = asio::io_context::executor_type;
using AsioSocket = asio::basic_stream_socket<asio::ip::tcp, AsioExecutor>;
using AsioAcceptor = asio::basic_socket_acceptor<asio::ip::tcp, AsioExecutor>;

struct AsioEcho {
    asio::io_context context{ASIO_CONCURRENCY_HINT_UNSAFE};
    size_t left;
    ReadBuffer buffer{};

    void end(const asio::error_code& reason) {
        if (reason != asio::error::eof && !is_end(reason.value())) throw asio::system_error(reason);
        if (--left == 0) context.stop();
    }
};

class AsioSession : public std::enable_shared_from_this<AsioSession> {
public:
    AsioSession(AsioSocket socket, AsioEcho& server)
        : socket_(std::move(socket)), server_(server) {}

    void start() {
        socket_.async_read_some(
            asio::buffer(buffer_),
            [self = shared_from_this()](const asio::error_code& error, size_t got) {
                if (error) return self->server_.end(error);
                self->write(got);
            });
    }

private:
    void write(size_t size) {
        asio::async_write(socket_, asio::buffer(buffer_.data(), size),
                          [self = shared_from_this()](const asio::error_code& error, size_t) {
                              if (error) return self->server_.end(error);
                              self->start();
                          });
    }

    AsioSocket socket_;
    AsioEcho& server_;
    std::array<char, size_t{64} * 1024> buffer_;
};

class AsioWaitSession : public std::enable_shared_from_this<AsioWaitSession> {
public:
    AsioWaitSession(AsioSocket socket, AsioEcho& server)
        : socket_(std::move(socket)), server_(server) {
        socket_.non_blocking(true);
    }

    void start() {
        socket_.async_wait(AsioSocket::wait_read,
                           [self = shared_from_this()](const asio::error_code& error) {
                               if (error) return self->server_.end(error);
                               self->echo();
                           });
    }

private:
    void echo() {
        asio::error_code error;
        char* const bytes = server_.buffer.data();
        const size_t got = socket_.read_some(asio::buffer(bytes, server_.buffer.size()), error);
        if (error == asio::error::would_block) return start();
        if (error) return server_.end(error);
        const size_t sent = socket_.write_some(asio::buffer(bytes, got), error);
        if (error && error != asio::error::would_block) return server_.end(error);
        if (sent == got) return start();
        unsent_.assign(bytes + sent, bytes + got);
        asio::async_write(socket_, asio::buffer(unsent_),
                          [self = shared_from_this()](const asio::error_code& failed, size_t) {
                              if (failed) return self->server_.end(failed);
                              self->start();
                          });
    }

    AsioSocket socket_;
    AsioEcho& server_;
    std::vector<char> unsent_;
};

template <class Session>
void asio_accept(AsioAcceptor& acceptor, AsioEcho& server) {
    acceptor.async_accept([&](const asio::error_code& error, AsioSocket socket) {
        if (error) throw asio::system_error(error);
        std::make_shared<Session>(std::move(socket), server)->start();
        asio_accept<Session>(acceptor, server);
    });
}

template <class Session>
void serve_asio(int listener, size_t clients) {
    AsioEcho server{.left = clients};
    AsioAcceptor acceptor(server.context, asio::ip::tcp::v4(), listener);
    asio_accept<Session>(acceptor, server);
    server.context.run();
}

}  // namespace bench
