// SPDX-License-Identifier: BSL-1.0
// An echo server by libevent: a listener and a bufferevent for each connection, which moves its
// input to its output. It reads no more of a connection while over a megabyte of it isn't sent.
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

namespace {

constexpr size_t unsent_max = size_t{1} << 20;

void on_read(bufferevent* connection, void*) {
    evbuffer* const output = bufferevent_get_output(connection);
    evbuffer_add_buffer(output, bufferevent_get_input(connection));
    if (evbuffer_get_length(output) > unsent_max) bufferevent_disable(connection, EV_READ);
}

void on_sent(bufferevent* connection, void*) { bufferevent_enable(connection, EV_READ); }

void on_last_sent(bufferevent* connection, void*) { bufferevent_free(connection); }

void on_event(bufferevent* connection, short what, void*) {
    const bool unsent = evbuffer_get_length(bufferevent_get_output(connection)) != 0;
    if (what == (BEV_EVENT_EOF | BEV_EVENT_READING) && unsent) {
        bufferevent_setcb(connection, nullptr, on_last_sent, on_event, nullptr);
    } else {
        bufferevent_free(connection);
    }
}

void on_accept(evconnlistener* listener, evutil_socket_t fd, sockaddr*, int, void*) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bufferevent* const connection =
        bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    if (connection == nullptr) {
        evutil_closesocket(fd);
        return;
    }
    bufferevent_setcb(connection, on_read, on_sent, on_event, nullptr);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);  // libevent writes by writev(2)
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(static_cast<uint16_t>(atoi(argv[1])));
    event_base* const base = event_base_new();
    evconnlistener* const listener = evconnlistener_new_bind(
        base, on_accept, nullptr, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        SOMAXCONN, reinterpret_cast<sockaddr*>(&at), sizeof at);
    if (listener == nullptr) {
        perror("listen");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    event_base_dispatch(base);
    evconnlistener_free(listener);
    event_base_free(base);
}
