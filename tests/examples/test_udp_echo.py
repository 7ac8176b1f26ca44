# SPDX-License-Identifier: BSL-1.0
"""udp_echo against plain sockets, on every poller."""
import re
import signal
import socket

import driver
from driver import Server

POLLERS = ("epoll", "poll", "select")


def client(server):
    """A socket that talks to the server alone."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(driver.LIMIT)
    udp.connect(("127.0.0.1", server.port))
    return udp


def stop(server):
    """Ends the server well; answers what it told, number by number."""
    server.signal(signal.SIGINT)
    status, output, errors = server.end()
    assert (status, errors) == (0, ""), (status, errors)
    names = ("received", "receive_calls", "sent", "send_calls", "truncated", "lost")
    return dict(zip(names, map(int, re.findall(r"\d+", output))))


def test_every_client_gets_its_own_datagrams_back():
    for poller in POLLERS:
        with Server("udp_echo", "--poller", poller) as server:
            clients = [client(server) for _ in range(20)]
            for turn in range(5):
                for i, udp in enumerate(clients):
                    udp.send(b"turn %d client %d" % (turn, i))
                for i, udp in enumerate(clients):
                    assert udp.recv(4096) == b"turn %d client %d" % (turn, i), poller
            for udp in clients:
                udp.close()
            told = stop(server)
            assert told["received"] == told["sent"] == 100, (poller, told)
            assert told["lost"] == 0, (poller, told)


def test_what_waits_is_taken_in_batches():
    with Server("udp_echo") as server, client(server) as udp:
        server.signal(signal.SIGSTOP)
        for i in range(40):
            udp.send(b"%d" % i)
        server.signal(signal.SIGCONT)
        for i in range(40):
            assert udp.recv(4096) == b"%d" % i
        told = stop(server)
        assert told["received"] == told["sent"] == 40, told
        assert told["receive_calls"] < 20, told
        assert told["send_calls"] < 20, told


def test_datagrams_that_are_empty_full_or_too_long():
    with Server("udp_echo") as server, client(server) as udp:
        for size in (0, 1, 2047, 2048):
            udp.send(b"x" * size)
            assert udp.recv(4096) == b"x" * size, size
        udp.send(b"x" * 2049)
        udp.send(b"next")
        assert udp.recv(4096) == b"next"
        assert stop(server)["truncated"] == 1


def test_a_client_that_has_gone_harms_nobody():
    with Server("udp_echo") as server:
        for _ in range(10):
            gone = client(server)
            gone.send(b"farewell")
            gone.close()
        with client(server) as udp:
            udp.send(b"still there?")
            assert udp.recv(4096) == b"still there?"
        stop(server)


driver.main()
