# SPDX-License-Identifier: BSL-1.0
"""load tells the truth: it counts what a server does wrong, and nothing else."""
import os
import pty
import re
import signal
import socket
import threading

import driver
from driver import Program, Server, figures, receive, run

SUMMARY = re.compile(r"connections \d+, messages \d+, messages/s \d+, p50 [\d.]+ ms, p99 [\d.]+ ms, "
                     r"max [\d.]+ ms, errors \d+\n")


class WrongServer:
    """Serves each connection by a function, on a thread."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(driver.LIMIT)
                self.serve(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def errors_of(serve, *arguments):
    with WrongServer(serve) as server:
        status, out, err = run("load", "--port", server.port, "--connections", 1, *arguments)
        assert SUMMARY.fullmatch(out), out
        return status, figures(out)["errors"], err.partition(": ")[2]


def test_all_messages_are_counted_and_checked():
    for poller in ("epoll", "poll", "select"):
        with Server("upper_server", "--poller", poller) as server:
            status, out, err = run("load", "--port", server.port, "--connections", 7, "--pipeline",
                                   3, "--messages", 11, "--size", 100001, "--poller", poller)
            assert (status, err) == (0, ""), err
            assert SUMMARY.fullmatch(out), out
            seen = figures(out)
            assert (seen["connections"], seen["messages"], seen["errors"]) == (7, 77, 0), out
            assert 0 < seen["p50"] <= seen["p99"] <= seen["max"], out
            server.stop()


def test_a_wrong_byte_is_an_error():
    def flip(connection):
        text = bytearray(receive(connection, 64).upper())
        text[63] ^= 1
        connection.sendall(text)

    assert errors_of(flip) == (1, 1, "bad message\n")


def test_text_that_is_not_upper_case_is_an_error():
    assert errors_of(lambda connection: connection.sendall(receive(connection, 64)))[:2] == (1, 1)


def test_more_than_was_asked_for_is_an_error():
    assert errors_of(lambda connection: connection.sendall(receive(connection, 64).upper() + b"!"),
                     "--messages", 2)[:2] == (1, 1)


def test_a_missing_reply_is_an_error():
    def half(connection):
        connection.sendall(receive(connection, 64).upper()[:32])

    assert errors_of(half) == (1, 1, "connection reset by peer\n")


def test_a_server_that_is_silent_is_given_up():
    with Server("upper_server") as server:
        server.signal(signal.SIGSTOP)
        status, out, err = run("load", "--port", server.port, "--connections", 3)
        server.signal(signal.SIGCONT)
        assert status == 1 and figures(out)["errors"] == 3, out
        assert "connection timed out" in err, err
        server.stop()


def test_no_server_is_an_error_on_each_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    status, out, err = run("load", "--port", port, "--connections", 600)
    assert status == 1 and figures(out)["errors"] == 600, out
    assert err == f"connection to 127.0.0.1:{port}: connection refused\n"


def test_it_ends_after_its_time_and_when_interrupted():
    with Server("upper_server") as server:
        status, out, _ = run("load", "--port", server.port, "--seconds", 1)
        assert status == 0 and figures(out)["errors"] == 0, out
        assert "\r" not in out
        with Program("load", "--port", server.port, "--connections", 1) as load:
            load.signal(signal.SIGINT)
            status, out, _ = load.end()
        assert status in (0, -signal.SIGINT), status  # it may not have begun to watch for it
        server.stop()


def test_on_a_terminal_it_shows_how_far_it_is():
    master, slave = pty.openpty()
    with Server("upper_server") as server:
        with Program("load", "--port", server.port, "--seconds", 30, terminal=slave) as load:
            os.close(slave)
            seen = b""
            while seen.count(b"\r") < 2:
                seen += os.read(master, 4096)
            assert re.match(rb"connections \d+, messages \d+, .*errors 0  \r", seen), seen
            load.signal(signal.SIGINT)
            assert load.end()[0] == 0
        os.close(master)
        server.stop()


driver.main()
