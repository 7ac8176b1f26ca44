# SPDX-License-Identifier: BSL-1.0
"""graceful_shutdown stops listening, ends what is under way, and has a deadline."""
import signal

import driver
from driver import Server, receive_all


def ask(server, client):
    client.sendall(b"work\n")
    assert server.line().startswith("at work for connection ")


def refuses(server):
    try:
        server.connect().close()
        return False
    except ConnectionError:
        return True


def test_what_is_under_way_is_finished_and_the_rest_closed():
    for poller in ("epoll", "poll", "select"):
        with Server("graceful_shutdown", "--work-ms", 500, "--poller", poller) as server:
            with server.connect() as busy, server.connect() as idle:
                ask(server, busy)
                server.signal(signal.SIGTERM)
                assert idle.recv(1) == b"", poller
                assert refuses(server), poller
                assert receive_all(busy) == b"done: work\n", poller
                status, _, err = server.end()
                assert (status, err) == (0, ""), poller


def test_the_deadline_ends_what_takes_too_long():
    with Server("graceful_shutdown", "--work-ms", 600000, "--grace-ms", 100) as server:
        with server.connect() as busy:
            ask(server, busy)
            server.signal(signal.SIGTERM)
            assert receive_all(busy) == b""
            assert server.end()[0] == 0


def test_a_second_signal_waits_for_nothing():
    with Server("graceful_shutdown", "--work-ms", 600000, "--grace-ms", 600000) as server:
        with server.connect() as busy, server.connect() as idle:
            ask(server, busy)
            server.signal(signal.SIGINT)
            assert idle.recv(1) == b""
            server.signal(signal.SIGINT)
            assert receive_all(busy) == b""
            assert server.end()[0] == 0


def test_nothing_under_way_ends_at_once():
    with Server("graceful_shutdown", "--grace-ms", 600000) as server:
        server.stop()


driver.main()
