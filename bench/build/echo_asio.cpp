// SPDX-License-Identifier: BSL-1.0
// An echo server by asio, as its examples have it: a session that owns itself reads, writes what it
// has read, and reads again.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <utility>

#ifdef ECHO_PARTS  // only what it needs
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#else
#include <asio.hpp>
#endif

namespace {

using asio::ip::tcp;

class Session : public std::enable_shared_from_this<Session> {
public:
    explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

    void read() {
        socket_.async_read_some(
            asio::buffer(bytes_),
            [self = shared_from_this()](const asio::error_code& error, size_t size) {
                if (!error) self->write(size);
            });
    }

private:
    void write(size_t size) {
        asio::async_write(socket_, asio::buffer(bytes_, size),
                          [self = shared_from_this()](const asio::error_code& error, size_t) {
                              if (!error) self->read();
                          });
    }

    tcp::socket socket_;
    char bytes_[65536];
};

void accept(tcp::acceptor& acceptor) {
    acceptor.async_accept([&acceptor](const asio::error_code& error, tcp::socket socket) {
        asio::error_code ignored;
        if (!error) {
            socket.set_option(tcp::no_delay(true), ignored);
            std::make_shared<Session>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        asio::io_context context(1);
        const auto port = static_cast<asio::ip::port_type>(std::atoi(argv[1]));
        tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), port));
        accept(acceptor);
        std::puts("listening");
        std::fflush(stdout);
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
