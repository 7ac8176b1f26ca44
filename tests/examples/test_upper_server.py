# SPDX-License-Identifier: BSL-1.0
"""upper_server against nc and plain sockets, on every poller, with clients that behave badly."""
import fcntl
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import driver
from driver import Server, receive, receive_all, run

POLLERS = ("epoll", "poll", "select")
WAYS = [("--poller", poller) for poller in POLLERS] + [("--edge",), ("--edge", "--buffer", "5"),
                                                       ("--buffer", "5")]
LARGE = bytes(range(256)) * 4096  # 1 MB


def narrow(server):
    """A connection that the kernel buffers little for."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(driver.LIMIT)
    client.connect(("127.0.0.1", server.port))
    return client


def unacknowledged(client):
    return struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, b"\0" * 4))[0]


def test_it_answers_nc():
    if not shutil.which("nc"):
        raise driver.Skip("no nc")
    for way in WAYS:
        with Server("upper_server", *way) as server:
            done = subprocess.run(["nc", "-N", "127.0.0.1", str(server.port)], timeout=driver.LIMIT,
                                  input=b"Hello, World\nagain\n", capture_output=True)
            assert done.stdout == b"HELLO, WORLD\nAGAIN\n", (way, done)
            server.stop()


def test_it_answers_many_clients_in_turn():
    for way in WAYS:
        with Server("upper_server", *way) as server:
            clients = [server.connect() for _ in range(20)]
            for turn in range(3):
                for i, client in enumerate(clients):
                    client.sendall(b"turn %d client %d" % (turn, i))
                for i, client in enumerate(clients):
                    wanted = b"TURN %d CLIENT %d" % (turn, i)
                    assert receive(client, len(wanted)) == wanted, way
            server.stop()
            for client in clients:
                assert client.recv(1) == b"", way
                client.close()


def test_a_megabyte_sent_in_one_go_comes_back():
    for way in WAYS:
        with Server("upper_server", *way) as server, server.connect() as client:
            client.sendall(LARGE)  # nothing is read meanwhile
            assert receive(client, len(LARGE)) == LARGE.upper(), way
            client.sendall(b"more")
            assert receive(client, 4) == b"MORE", way
            server.stop()


def test_a_client_that_has_finished_sending_gets_all_replies():
    text = LARGE * 5  # more than the kernel keeps for a reader like this, less than the server does
    for way in WAYS[:4]:
        with Server("upper_server", *way) as server, narrow(server) as client:
            client.sendall(text)
            deadline = time.monotonic() + 10
            while unacknowledged(client) > 0 and time.monotonic() < deadline:
                select.select([], [], [], 0.01)
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == text.upper(), way
            server.stop()


def test_a_slow_reader_gets_everything_and_holds_up_nobody():
    for way in WAYS[:4]:
        with Server("upper_server", *way) as server, narrow(server) as slow:
            sender = threading.Thread(target=slow.sendall, args=(LARGE * 6,), daemon=True)
            sender.start()
            got = bytearray()
            while len(got) < len(LARGE) * 6:
                got += receive(slow, 1 << 16)
                if len(got) % (1 << 20) == 0:
                    with server.connect() as other:
                        other.sendall(b"other")
                        assert receive(other, 5) == b"OTHER", way
            sender.join(driver.LIMIT)
            assert got == LARGE.upper() * 6, way
            server.stop()


def test_a_client_that_never_reads_is_not_read_from_any_more():
    with Server("upper_server") as server, server.connect() as client:
        client.setblocking(False)
        sent = 0
        while select.select([], [client], [], 1)[1]:
            sent += client.send(LARGE[sent % len(LARGE):])
            assert sent < 100 << 20, "the server takes everything"
        client.settimeout(driver.LIMIT)
        client.shutdown(socket.SHUT_WR)
        text = LARGE.upper() * (sent // len(LARGE) + 1)
        assert receive_all(client) == text[:sent]
        server.stop()


def test_a_reset_closes_that_connection_alone():
    for way in WAYS:
        with Server("upper_server", *way) as server, server.connect() as other:
            for _ in range(10):
                client = server.connect()
                client.sendall(LARGE[:100000])
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            other.sendall(b"still here")
            assert receive(other, 10) == b"STILL HERE", way
            server.stop()


def test_both_signals_end_it_well():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Server("upper_server") as server, server.connect() as client:
            server.stop(number)
            assert client.recv(1) == b""


def test_a_port_in_use_is_told():
    with Server("upper_server") as server:
        status, out, err = run("upper_server", "--port", server.port)
        assert (status, out) == (1, "")
        assert err == f"listen 127.0.0.1:{server.port}: address already in use\n"
        server.stop()


def test_edge_needs_a_poller_that_has_it():
    for poller in ("poll", "select"):
        status, out, err = run("upper_server", "--edge", "--poller", poller)
        assert (status, out) == (1, "")
        assert err == f"edge-triggered watching {poller}: operation not supported\n"


def test_beyond_what_select_can_watch_a_connection_is_closed():
    if driver.raise_descriptor_limit() < 2100:
        raise driver.Skip("limit")
    with Server("upper_server", "--poller", "select") as server:
        clients = [server.connect() for _ in range(1030)]
        assert clients[-1].recv(1) == b""
        clients[0].sendall(b"first")
        assert receive(clients[0], 5) == b"FIRST"
        for client in clients:
            client.close()
        server.stop()


driver.main()
