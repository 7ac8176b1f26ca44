# SPDX-License-Identifier: BSL-1.0
"""What the tests of kv_server share: a real redis-server, requests and replies of its protocol, and what
there is to compare.
"""
import shutil
import socket
import subprocess
import tempfile
import time

import driver

POLLERS = ("epoll", "poll", "select")


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise driver.Skip(f"no {tool}")


class Redis:
    """A real redis-server, without persistence."""

    def __init__(self, *arguments):
        self.arguments = map(str, arguments)

    def __enter__(self):
        need("redis-server")
        version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
        if " v=7.0." not in version:
            raise driver.Skip(f"redis-server is not 7.0 but {version.strip()}")
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", self.folder.name, *self.arguments], stdout=subprocess.PIPE)
        while b"Ready to accept" not in self.process.stdout.readline():
            assert self.process.poll() is None
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def connect(self):
        return connect(self.port)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port, host="127.0.0.1"):
    return socket.create_connection((host, port), timeout=driver.LIMIT)


def encode(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def reply(stream):
    """One whole reply, as bytes."""
    line = stream.readline()
    if line[:1] == b"$" and int(line[1:]) >= 0:
        return line + stream.read(int(line[1:]) + 2)
    if line[:1] == b"*":
        return line + b"".join(reply(stream) for _ in range(max(int(line[1:]), 0)))
    return line


def value(stream):
    """One whole reply: bytes, an int, None, a list; a status or an error as bytes with its sign."""
    line = stream.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
    if kind == b"*":
        return [value(stream) for _ in range(int(rest))]
    return line[:-2]


def ask(client, *words, read=reply):
    client.sendall(encode(*words))
    with client.makefile("rb") as stream:
        return read(stream)


def ask_all(client, requests, read=reply):
    """The replies to a pipeline of requests, each as the bytes to send."""
    with client.makefile("rb") as stream:
        found = []
        for i in range(0, len(requests), 100):  # so that neither side has to hold many replies
            client.sendall(b"".join(requests[i:i + 100]))
            found += [read(stream) for _ in requests[i:i + 100]]
        return found


def info(client, field):
    """A number of INFO."""
    text = ask(client, "info", read=value)
    return int(text.split(b"\r\n%s:" % field.encode())[1].split(b"\r\n")[0])


def memory(program):
    """Bytes that a program has asked the system for."""
    with open(f"/proc/{program.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData:"))


def until(true):
    """Asks again and again, up to the time limit."""
    deadline = time.monotonic() + driver.LIMIT
    while not true():
        assert time.monotonic() < deadline, "it never came true"


def ended(client):
    """Whether the server has cut this client off, whatever was on the way."""
    try:
        driver.receive_all(client)
    except ConnectionResetError:
        pass
    return True
