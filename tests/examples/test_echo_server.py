# SPDX-License-Identifier: BSL-1.0
"""echo_server against nc and plain sockets, on every poller, with clients that behave badly."""
import shutil
import socket
import struct
import subprocess

import driver
from driver import Server, receive

POLLERS = ("epoll", "poll", "select")
LARGE = bytes(range(256)) * 16384  # 4 MB


def test_it_echoes_to_nc():
    if not shutil.which("nc"):
        raise driver.Skip("no nc")
    for poller in POLLERS:
        with Server("echo_server", "--poller", poller) as server:
            done = subprocess.run(["nc", "-N", "127.0.0.1", str(server.port)], timeout=driver.LIMIT,
                                  input=LARGE, capture_output=True)
            assert done.stdout == LARGE, poller
            server.stop()


def test_it_echoes_to_many_clients_in_turn():
    for poller in POLLERS:
        with Server("echo_server", "--poller", poller) as server:
            clients = [server.connect() for _ in range(50)]
            for turn in range(3):
                for i, client in enumerate(clients):
                    client.sendall(b"turn %d client %d" % (turn, i))
                for i, client in enumerate(clients):
                    wanted = b"turn %d client %d" % (turn, i)
                    assert receive(client, len(wanted)) == wanted, poller
            for client in clients:
                client.close()
            server.stop()


def test_a_client_that_never_reads_doesnt_hold_up_the_others():
    for poller in POLLERS:
        with Server("echo_server", "--poller", poller) as server:
            greedy = server.connect()
            greedy.setblocking(False)
            sent = 0
            try:
                while sent < 64 << 20:
                    sent += greedy.send(LARGE)
            except BlockingIOError:
                pass  # the server reads no more
            assert sent < 64 << 20, poller
            other = server.connect()
            other.sendall(b"still there?")
            assert receive(other, 12) == b"still there?", poller
            greedy.close()
            other.close()
            server.signal(driver.signal.SIGINT)
            assert server.end()[0] == 0, poller


def test_a_reset_is_told_and_harms_nobody():
    with Server("echo_server") as server:
        client = server.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        client.close()
        with server.connect() as other:
            other.sendall(b"y")
            assert receive(other, 1) == b"y"
        server.signal(driver.signal.SIGINT)
        status, _, errors = server.end()
        assert status == 0, (status, errors)
        assert "connection reset by peer" in errors, errors


def test_it_waits_for_a_client_to_finish_but_not_for_ever():
    with Server("echo_server") as server:
        with server.connect() as client:
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
            server.signal(driver.signal.SIGINT)
            assert client.recv(1) == b""
        status, _, _ = server.end()
        assert status == 0


def test_the_shortest_server_does_so_too():
    with Server("hello_server", 0) as server:
        with server.connect() as client:
            client.sendall(LARGE[:100000])
            assert receive(client, 100000) == LARGE[:100000]
        status, _, errors = driver.run("hello_server", server.port)
        assert status == 1 and "in use" in errors, (status, errors)
        server.stop()


driver.main()
