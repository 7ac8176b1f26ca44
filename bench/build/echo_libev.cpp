// SPDX-License-Identifier: BSL-1.0
// An echo server by libev, which tells when a descriptor is ready and leaves the rest to its user.
// It reads no more of a connection while something of it isn't sent.
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

struct Connection {
    ev_io watcher;
    size_t begin;  // what isn't sent
    size_t end;
    char bytes[65536];
};

int listen_on(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || listen(fd, SOMAXCONN) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

// False: it is over.
bool receive(Connection& connection) {
    const ssize_t got = read(connection.watcher.fd, connection.bytes, sizeof connection.bytes);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    connection.begin = 0;
    connection.end = static_cast<size_t>(got);
    return true;
}

// False: it is over.
bool send_rest(Connection& connection) {
    while (connection.begin != connection.end) {
        const ssize_t sent = send(connection.watcher.fd, connection.bytes + connection.begin,
                                  connection.end - connection.begin, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        connection.begin += static_cast<size_t>(sent);
    }
    return true;
}

void on_ready(struct ev_loop* loop, ev_io* watcher, int) {
    auto& connection = *static_cast<Connection*>(watcher->data);
    const bool waited = connection.begin != connection.end;
    if ((!waited && !receive(connection)) || !send_rest(connection)) {
        ev_io_stop(loop, watcher);
        close(watcher->fd);
        delete &connection;
        return;
    }
    const bool waits = connection.begin != connection.end;
    if (waits == waited) return;
    ev_io_stop(loop, watcher);
    ev_io_set(watcher, watcher->fd, waits ? EV_WRITE : EV_READ);
    ev_io_start(loop, watcher);
}

void on_accept(struct ev_loop* loop, ev_io* listener, int) {
    const int fd = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto* const connection = new Connection;
    connection->begin = connection->end = 0;
    connection->watcher.data = connection;
    ev_io_init(&connection->watcher, on_ready, fd, EV_READ);
    ev_io_start(loop, &connection->watcher);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    struct ev_loop* const loop = EV_DEFAULT;
    ev_io listener;
    ev_io_init(&listener, on_accept, listen_on(static_cast<uint16_t>(atoi(argv[1]))), EV_READ);
    ev_io_start(loop, &listener);
    puts("listening");
    fflush(stdout);
    ev_run(loop, 0);
}
