# SPDX-License-Identifier: BSL-1.0
"""tcp_client against echo_server: from a pipe and from a file, by name, and with nobody there."""
import socket
import subprocess
import tempfile

import driver
from driver import Server

POLLERS = ("epoll", "poll", "select")
LARGE = bytes(range(256)) * 8192  # 2 MB


def client(*arguments, **how):
    return subprocess.run([str(driver.directory / "tcp_client"), *map(str, arguments)],
                          capture_output=True, timeout=driver.LIMIT, **how)


def test_what_it_is_told_comes_back():
    for poller in POLLERS:
        with Server("echo_server") as server:
            done = client("--poller", poller, "--port", server.port, input=LARGE)
            assert (done.returncode, done.stderr) == (0, b""), (poller, done.stderr)
            assert done.stdout == LARGE, (poller, len(done.stdout))
            server.stop()


def test_it_reads_a_file_too():
    with tempfile.TemporaryFile() as file:
        file.write(LARGE)
        for poller in POLLERS:
            file.seek(0)
            with Server("echo_server") as server:
                done = client("--poller", poller, "--port", server.port, stdin=file)
                assert (done.returncode, done.stderr) == (0, b""), (poller, done.stderr)
                assert done.stdout == LARGE, (poller, len(done.stdout))
                server.stop()


def test_it_finds_a_server_by_whichever_address_answers():
    # localhost may be ::1 first, where nobody listens.
    with Server("echo_server") as server:
        for host in ("localhost", "127.0.0.1"):
            done = client("--host", host, "--port", server.port, input=b"hello")
            assert (done.returncode, done.stdout) == (0, b"hello"), done


def test_it_tells_why_not():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and doesn't listen
        port = taken.getsockname()[1]
        done = client("--host", "127.0.0.1", "--port", port, input=b"")
    assert done.returncode == 1
    assert done.stderr == b"connect 127.0.0.1:%d: connection refused\n" % port, done.stderr
    done = client("--host", "no such name", "--port", 1, input=b"")
    assert done.returncode == 1
    assert done.stderr.startswith(b"resolve no such name: "), done.stderr


def test_a_server_that_resets_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = subprocess.Popen([str(driver.directory / "tcp_client"), "--host", "127.0.0.1", "--port",
                                    str(server.getsockname()[1])], stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        _, errors = program.communicate(timeout=driver.LIMIT)
        assert program.returncode == 1
        assert b"connection reset by peer" in errors, errors


driver.main()
