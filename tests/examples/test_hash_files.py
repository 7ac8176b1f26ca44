# SPDX-License-Identifier: BSL-1.0
"""hash_files: a FIFO without a writer stands for a file that takes long, so that nothing depends on time."""
import os
import pathlib
import signal
import socket
import tempfile
import threading

import driver
from driver import Server, receive, receive_all

POLLERS = ("epoll", "poll", "select")


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return b"%016x" % value


def finish(client):
    """What it still says after it has been told that there are no more questions, in any order."""
    client.shutdown(socket.SHUT_WR)
    return sorted(receive_all(client).splitlines())


def test_it_hashes_files():
    for poller in POLLERS:
        with tempfile.TemporaryDirectory() as root:
            contents = {b"empty": b"", b"a b": b"some text\n", b"large": bytes(range(256)) * 1024}
            for name, content in contents.items():
                (pathlib.Path(root) / name.decode()).write_bytes(content)
            with Server("hash_files", "--root", root, "--poller", poller) as server:
                with server.connect() as client:
                    client.sendall(b"".join(b"hash %s\n" % name for name in contents))
                    wanted = sorted(fnv(content) + b" " + name for name, content in contents.items())
                    assert finish(client) == wanted, poller
                server.stop()


def test_pings_are_answered_while_a_hash_hangs():
    for poller in POLLERS:
        with tempfile.TemporaryDirectory() as root:
            os.mkfifo(root + "/slow")
            with Server("hash_files", "--root", root, "--poller", poller) as server:
                with server.connect() as client, server.connect() as other:
                    client.sendall(b"hash slow\nping\n")
                    assert receive(client, 5) == b"pong\n", poller
                    for _ in range(10):
                        other.sendall(b"ping\n")
                        assert receive(other, 5) == b"pong\n", poller
                    with open(root + "/slow", "wb") as slow:  # a worker is reading
                        slow.write(b"late")
                    assert finish(client) == [fnv(b"late") + b" slow"], poller
                server.stop()


def test_it_tells_what_it_cant_hash():
    with tempfile.TemporaryDirectory() as top:
        root = pathlib.Path(top) / "root"
        (root / "directory").mkdir(parents=True)
        (pathlib.Path(top) / "secret").write_text("secret")
        (root / "link").symlink_to("../secret")
        with Server("hash_files", "--root", root) as server:
            with server.connect() as client:
                client.sendall(b"hash none\nhash /etc/passwd\nhash ../secret\nhash directory\nhash link\n"
                               b"what?\r\n")
                assert finish(client) == [
                    b"error ../secret: a path that leads upwards",
                    b"error /etc/passwd: an absolute path",
                    b"error directory: not a file",
                    b"error link: a link that leads elsewhere",
                    b"error none: No such file or directory",
                    b"error: say ping, or hash PATH",
                ]
            server.stop()


def test_a_client_that_has_gone_gets_no_answer_and_harms_nobody():
    with tempfile.TemporaryDirectory() as root:
        for name in ("gone", "slow"):  # a writer would also meet the reader that is about to end
            os.mkfifo(f"{root}/{name}")
        with Server("hash_files", "--root", root) as server:
            with server.connect() as client:
                client.sendall(b"hash gone\nping\n")
                assert receive(client, 5) == b"pong\n"
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with open(root + "/gone", "wb"):
                pass
            with server.connect() as other:
                other.sendall(b"hash slow\nping\n")
                assert receive(other, 5) == b"pong\n"
                with open(root + "/slow", "wb"):
                    pass
                assert finish(other) == [fnv(b"") + b" slow"]
            server.stop()


def test_a_full_pool_makes_its_askers_wait_and_loses_nothing():
    with tempfile.TemporaryDirectory() as root:
        (pathlib.Path(root) / "file").write_bytes(b"x")
        os.mkfifo(root + "/slow")
        with Server("hash_files", "--root", root, "--threads", 1, "--jobs", 2) as server:
            with server.connect() as client, server.connect() as other:
                client.sendall(b"ping\nhash slow\n" + b"hash file\n" * 50)
                assert receive(client, 5) == b"pong\n"
                other.sendall(b"ping\n")
                assert receive(other, 5) == b"pong\n"
                with open(root + "/slow", "wb"):
                    pass
                wanted = [fnv(b"x") + b" file"] * 50 + [fnv(b"") + b" slow"]
                assert finish(client) == sorted(wanted)
            server.stop()


def test_much_may_be_asked_before_anything_is_read():
    asked = 20000
    with tempfile.TemporaryDirectory() as root:
        (pathlib.Path(root) / "file").write_bytes(b"x")
        with Server("hash_files", "--root", root, "--threads", 1, "--jobs", 2) as server:
            with server.connect() as client:
                sender = threading.Thread(target=client.sendall, args=(b"hash file\n" * asked,))
                sender.start()
                line = fnv(b"x") + b" file\n"
                assert receive(client, len(line) * asked) == line * asked
                sender.join()
                assert finish(client) == []
            server.stop()


def test_a_hash_under_way_is_told_after_a_signal_and_nothing_else():
    with tempfile.TemporaryDirectory() as root:
        os.mkfifo(root + "/slow")
        with Server("hash_files", "--root", root, "--grace-ms", 600000) as server:
            with server.connect() as busy, server.connect() as idle:
                busy.sendall(b"hash slow\nping\n")
                assert receive(busy, 5) == b"pong\n"
                server.signal(signal.SIGTERM)
                assert idle.recv(1) == b""
                busy.sendall(b"ping\n")
                with open(root + "/slow", "wb") as slow:
                    slow.write(b"late")
                assert receive_all(busy) == fnv(b"late") + b" slow\n"
                status, _, err = server.end()
                assert (status, err) == (0, ""), (status, err)


driver.main()
