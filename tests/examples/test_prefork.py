# SPDX-License-Identifier: BSL-1.0
"""prefork: several processes on one port; one that is killed is replaced, the others don't notice."""
import os
import re
import signal

import driver
from driver import Server, receive


def connect(server):
    """A client, and the process that serves it."""
    client = server.connect()
    told = b""
    while not told.endswith(b"\n"):
        told += client.recv(1)
    return client, int(re.fullmatch(rb"process (\d+)\n", told).group(1))


def echoes(client, text):
    client.sendall(text)
    return receive(client, len(text)) == text


def is_there(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def test_a_process_that_is_killed_is_replaced_and_the_others_go_on():
    with Server("prefork", "--processes", 2) as server:
        clients = {}
        for _ in range(2):  # which process accepts is the kernel's choice, unless one can't
            client, pid = connect(server)
            clients[pid] = client
            os.kill(pid, signal.SIGSTOP)
        victim, other = clients
        os.kill(other, signal.SIGCONT)
        assert server.process.pid not in clients
        os.kill(victim, signal.SIGKILL)
        new = int(re.fullmatch(rf"process (\d+) takes the place of {victim}", server.line()).group(1))
        try:
            assert clients[victim].recv(1) == b""
        except ConnectionResetError:
            pass
        assert echoes(clients[other], b"still here")
        os.kill(other, signal.SIGSTOP)
        client, seen = connect(server)
        assert seen == new and echoes(client, b"hello")
        os.kill(other, signal.SIGCONT)
        for client in (client, *clients.values()):
            client.close()
        server.stop(signal.SIGTERM)
        assert not any(map(is_there, (new, other)))


def test_all_end_when_the_parent_is_killed():
    with Server("prefork", "--processes", 2) as server:
        client, pid = connect(server)
        server.signal(signal.SIGKILL)
        assert client.recv(1) == b""  # told by the child, which drains
        client.close()
        # Its output ends when the last child has ended.
        status, _, _ = server.end()
        assert status == -signal.SIGKILL


def test_an_address_in_use_is_told():
    with Server("prefork") as server:
        status, _, errors = driver.run("prefork", "--port", server.port)
        assert status == 1
        assert errors == f"bind 127.0.0.1:{server.port}: address already in use\n", errors
        server.stop()


driver.main()
