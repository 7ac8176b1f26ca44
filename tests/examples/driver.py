# SPDX-License-Identifier: BSL-1.0
"""What the tests of the examples share: programs with a time limit, sockets with a deadline.

A test file has functions named test_*, and ends with driver.main(). It gets the directory of the example
programs as its argument. Nothing sleeps: everything waits for a line, for a socket or for an end.
"""
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import traceback

LIMIT = 30  # seconds for anything that should happen at once
SKIPPED = 4  # the exit status that ctest takes for "not run"

directory = None


class Skip(Exception):
    """What a test needs isn't there."""


class Program:
    """A running example. Its lines can be read one by one; leaving the block ends it."""

    running = []

    def __init__(self, name, *arguments, terminal=subprocess.PIPE):
        command = [str(directory / name), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=terminal,
                                        stderr=subprocess.PIPE)
        self.running.append(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        return self.process.stdout.readline().decode().rstrip("\n")

    def tell(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, timeout=LIMIT):
        """Waits for the end: (status, what is left of the output, errors)."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, (out or b"").decode(), err.decode()


class Server(Program):
    """A program that says where it listens."""

    def __init__(self, name, *arguments):
        super().__init__(name, *arguments)
        said = self.line()
        assert said.startswith("listening on 127.0.0.1:"), said or self.end()
        self.port = int(said.rsplit(":", 1)[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def stop(self, number=signal.SIGINT):
        """Ends it by a signal, and demands that it ends well."""
        self.signal(number)
        status, _, errors = self.end()
        assert (status, errors) == (0, ""), (status, errors)


def run(name, *arguments, timeout=LIMIT):
    """Runs an example to its end: (status, output, errors)."""
    done = subprocess.run([str(directory / name), *map(str, arguments)], capture_output=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def receive(connection, size):
    """Exactly that many bytes, or what came before the end."""
    parts = []
    while size > 0:
        part = connection.recv(min(size, 1 << 16))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive_all(connection):
    return receive(connection, sys.maxsize)


def raise_descriptor_limit():
    """The soft limit is raised to the hard one, which is returned."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def figures(summary):
    """The summary line of `load` as a dictionary: {"connections": 200.0, "p50": 1.2, ...}."""
    return {name: float(value) for name, value in re.findall(r"([\w/]+) ([\d.]+)", summary)}


def give_up(*_):
    """The last resort: something hangs."""
    traceback.print_stack()
    print("FAIL  the time is up", flush=True)
    for process in Program.running:
        process.kill()
    os._exit(1)


def main(limit=100):
    """Calls every test of the calling module; the exit status says how it went."""
    global directory
    directory = pathlib.Path(sys.argv[1]).resolve()
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(limit)
    module = sys.modules["__main__"]
    skipped = failed = ran = 0
    for name, test in list(vars(module).items()):
        if not name.startswith("test_"):
            continue
        begin = time.monotonic()
        try:
            test()
            ran += 1
            print(f"ok    {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Skip as reason:
            skipped += 1
            print(f"n.a. ({reason})  {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else SKIPPED if skipped and not ran else 0)
