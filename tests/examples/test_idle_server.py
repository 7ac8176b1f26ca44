# SPDX-License-Identifier: BSL-1.0
"""idle_server closes who is quiet, not before its time, and nobody else."""
import select
import time

import driver
from driver import Server, receive


def test_a_quiet_client_is_closed_and_one_that_talks_is_not():
    for poller in ("epoll", "poll", "select"):
        with Server("idle_server", "--idle-ms", 300, "--poller", poller) as server:
            with server.connect() as talking:
                begin = time.monotonic()
                with server.connect() as quiet:
                    while not select.select([quiet], [], [], 0)[0]:
                        talking.sendall(b"hello")
                        assert receive(talking, 5) == b"hello", poller
                    assert quiet.recv(1) == b"", poller
                    assert time.monotonic() - begin >= 0.3, poller
                talking.sendall(b"still here")
                assert receive(talking, 10) == b"still here", poller
                assert talking.recv(1) == b"", poller  # now it is quiet, too
            server.stop()


def test_what_is_large_comes_back():
    with Server("idle_server") as server, server.connect() as client:
        text = bytes(range(256)) * 1024
        client.sendall(text)
        assert receive(client, len(text)) == text
        server.stop()


driver.main()
