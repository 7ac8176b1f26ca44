// SPDX-License-Identifier: BSL-1.0
// An echo server by hand, on epoll: what the others are compared with. It reads no more of a
// connection while something of it isn't sent.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

struct Connection {
    explicit Connection(int at) : fd(at) {}

    int fd;
    size_t begin = 0;  // what isn't sent
    size_t end = 0;
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

bool watch(int poller, int operation, int fd, Connection* connection, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = connection;
    return epoll_ctl(poller, operation, fd, &event) == 0;
}

void accept_one(int poller, int listener) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto* const connection = new Connection(fd);
    if (watch(poller, EPOLL_CTL_ADD, fd, connection, EPOLLIN)) return;
    close(fd);
    delete connection;
}

// False: it is over.
bool send_rest(Connection& connection) {
    while (connection.begin != connection.end) {
        const ssize_t sent = send(connection.fd, connection.bytes + connection.begin,
                                  connection.end - connection.begin, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        connection.begin += static_cast<size_t>(sent);
    }
    return true;
}

// False: it is over.
bool serve(int poller, Connection& connection) {
    const bool waited = connection.begin != connection.end;
    if (!waited) {
        const ssize_t got = read(connection.fd, connection.bytes, sizeof connection.bytes);
        if (got <= 0) return got < 0 && errno == EAGAIN;
        connection.begin = 0;
        connection.end = static_cast<size_t>(got);
    }
    if (!send_rest(connection)) return false;
    const bool waits = connection.begin != connection.end;
    return waits == waited ||
           watch(poller, EPOLL_CTL_MOD, connection.fd, &connection, waits ? EPOLLOUT : EPOLLIN);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const int listener = listen_on(static_cast<uint16_t>(atoi(argv[1])));
    const int poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || !watch(poller, EPOLL_CTL_ADD, listener, nullptr, EPOLLIN)) {
        perror("epoll");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    for (;;) {
        epoll_event events[256];
        const int count = epoll_wait(poller, events, 256, -1);
        if (count < 0 && errno != EINTR) return 1;
        for (int i = 0; i < count; ++i) {
            auto* const connection = static_cast<Connection*>(events[i].data.ptr);
            if (connection == nullptr) {
                accept_one(poller, listener);
            } else if (!serve(poller, *connection)) {
                close(connection->fd);
                delete connection;
            }
        }
    }
}
