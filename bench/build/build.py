#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What does a library cost to build with? The same echo server by each: CPU seconds of the compiler, lines
that it reads, and the size of the program when it is stripped.

All are compiled by the same flags and take turns; the linker's time isn't counted. Each round gives one
ratio to the baseline, which is the server by hand, and one of rondo to asio, the other library that is
all headers. Of libev, libevent and libuv the size is that of the program alone: their own code is in
shared libraries, compiled before. `-parts` includes the headers that it needs instead of all.

Every server must send back every byte to a client that reads late, stop reading from it meanwhile, and
end when it ends; so nobody is small by doing less.

usage: build.py [--smoke | --quick] [--pairs N] [--only TEXT] [--json FILE]
"""
import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import records

SKIPPED = 4
PARAMS = "echo server"
FLAGS = ["-std=c++20", "-O2", "-DNDEBUG", f"-I{ROOT / 'include'}"]
COMPILER = os.environ.get("CXX", "g++")
SIZE_MAX = 65536
# More than a server's side of the kernel's buffers holds, so that it has to queue.
MESSAGE = random.Random(1).randbytes(16 << 20)
QUEUE_MAX = 6 << 20
PATIENCE = 30


class Server(NamedTuple):
    name: str
    source: str
    header: str = ""
    package: str = ""
    link: tuple = ()
    define: tuple = ()
    rival: str = ""
    target: float | None = None  # the ratio to the rival's compile time


PARTS = ("-DECHO_PARTS",)
SERVERS = [
    Server("raw", "echo_raw.cpp"),
    Server("rondo-epoll", "echo_rondo.cpp", rival="asio", target=0.40),
    Server("rondo-parts", "echo_rondo.cpp", define=PARTS, rival="asio-parts"),
    Server("libev", "echo_libev.cpp", "ev.h", "libev-dev", ("-lev",)),
    Server("libevent", "echo_libevent.cpp", "event2/event.h", "libevent-dev", ("-levent_core",)),
    Server("libuv", "echo_libuv.cpp", "uv.h", "libuv1-dev", ("-luv",)),
    Server("asio", "echo_asio.cpp", "asio.hpp", "libasio-dev", ("-pthread",)),
    Server("asio-parts", "echo_asio.cpp", "asio.hpp", "libasio-dev", ("-pthread",), PARTS),
]


def run(*words):
    """CPU seconds of a command and all that it starts, and what it says."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out,
                                   env=os.environ | {"CCACHE_DISABLE": "1"})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, words)
        out.seek(0)
        return used.ru_utime + used.ru_stime, out.read()


def has(header):
    text = f"#if !__has_include(<{header}>)\n#error\n#endif\n"
    return not header or subprocess.run([COMPILER, "-E", "-xc++", "-"], input=text, text=True,
                                        capture_output=True, check=False).returncode == 0


def compile_one(server, folder, *flags):
    """CPU seconds."""
    return run(COMPILER, *FLAGS, *flags, *server.define, "-c", str(HERE / server.source), "-o",
               f"{folder}/{server.name}.o")[0]


def lines(server):
    """How many the compiler reads, without empty ones and directives."""
    _, text = run(COMPILER, *FLAGS, *server.define, "-E", str(HERE / server.source))
    return sum(bool(line.strip()) and not line.startswith(b"#") for line in text.splitlines())


def link(server, folder):
    """The stripped program."""
    program = pathlib.Path(folder, server.name)
    run(COMPILER, "-s", f"{program}.o", "-o", str(program), *server.link)
    return program


def connect(port):
    """A client whose side of the kernel's buffers is small."""
    client = socket.socket()
    client.settimeout(PATIENCE)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        client.setsockopt(socket.SOL_SOCKET, option, 65536)
    client.connect(("127.0.0.1", port))
    return client


def last_of(client):
    """What comes until the server ends, because nothing more is sent."""
    client.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


def memory_of(process):
    """Bytes of its own, without pages of files."""
    status = pathlib.Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"RssAnon:\s*(\d+) kB", status)[1]) * 1024


def talk(server, port):
    """What comes back to a client that reads only when the server takes no more."""
    with connect(port) as other, connect(port) as client:
        sent, back = 0, bytearray()
        client.setblocking(False)
        while sent < len(MESSAGE) and select.select([], [client], [], 0.1)[1]:
            sent += client.send(MESSAGE[sent:sent + 65536])
        if memory_of(server) > QUEUE_MAX:
            raise RuntimeError("reads on from a client that doesn't read")
        while sent < len(MESSAGE):
            readable, writable, _ = select.select([client], [client], [], PATIENCE)
            if readable:
                part = client.recv(1 << 20)
                if not part:
                    raise RuntimeError("ends before its client")
                back += part
            if writable:
                sent += client.send(MESSAGE[sent:sent + 65536])
            elif not readable:
                raise RuntimeError("echoes no more")
        client.settimeout(PATIENCE)
        back += last_of(client)
        other.sendall(MESSAGE[:65536])
        return bytes(back + last_of(other))


def echoes(program):
    """The checksum of what the server sends back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([program, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if process.stdout.readline() != b"listening\n":
            raise RuntimeError("doesn't listen")
        return hashlib.sha256(talk(process.pid, port)).hexdigest()[:16]
    finally:
        process.kill()
        process.communicate()


def check(programs):
    """True if all servers do the same work."""
    wanted = hashlib.sha256(MESSAGE + MESSAGE[:65536]).hexdigest()[:16]
    good = True
    for program in programs:
        try:
            wrong = "" if echoes(program) == wanted else "echoes other bytes"
        except (OSError, RuntimeError) as error:
            wrong = str(error)
        if wrong:
            print(f"build {program.name}: {wrong}")
            good = False
    if good:
        print(f"  {PARAMS:<28} checksum {wanted}")
    return good


def tell(server, times, programs, base):
    """The three records of a server. `base`: the baseline's lines and size."""
    row = records.compared("build", PARAMS, server.name, "compile time", "s", times[server.name],
                           times[SERVERS[0].name])
    if server.rival in times:
        row = records.beside(row, server.rival, times[server.name], times[server.rival], server.target)
    size = programs[server.name].stat().st_size
    limit = SIZE_MAX if server.name.startswith("rondo") else None
    rows = [row,
            records.told("build", PARAMS, server.name, "preprocessed", "lines", lines(server), base[0]),
            records.told("build", PARAMS, server.name, "stripped size", "bytes", size, base[1], limit)]
    for each, digits in zip(rows, (3, 0, 0)):
        print(records.text(each, digits), flush=True)
    return rows


def measure(servers, folder, rounds):
    print(f"build: CPU seconds of {COMPILER}, ratio to the baseline, median [95 % interval] of "
          f"{rounds} rounds", flush=True)
    times = {server.name: [] for server in servers}
    base = [lines(server) for server in servers][0]  # also fills the cache of files
    for turn in range(rounds):
        for server in servers if turn % 2 == 0 else reversed(servers):
            times[server.name].append(compile_one(server, folder))
    programs = {server.name: link(server, folder) for server in servers}
    good = check(programs.values())
    base = base, programs[servers[0].name].stat().st_size
    return [row for server in servers for row in tell(server, times, programs, base)], good


def smoke(servers, folder):
    """Only whether each compiles and serves."""
    def build(server):
        compile_one(server, folder, "-O0")
        return link(server, folder)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return check(pool.map(build, servers))


def main():
    parser = argparse.ArgumentParser(description="what an echo server costs to build")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--smoke", action="store_true", help="does each compile and serve? without -parts")
    length.add_argument("--quick", action="store_true", help="one round, without -parts")
    parser.add_argument("--pairs", type=int, help="rounds (6)")
    parser.add_argument("--only", default="", help="only if the parameters contain this text")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if shutil.which(COMPILER) is None:
        print(f"build: n.a. ({COMPILER} is not installed)")
        return SKIPPED
    rows, servers, good = [], [], True
    for server in SERVERS if options.only in PARAMS else []:
        if (options.quick or options.smoke) and server.define:
            continue
        if has(server.header):
            servers.append(server)
        else:
            rows.append(records.missing("build", server.name, server.package))
            print(records.text(rows[-1]))
    try:
        with tempfile.TemporaryDirectory() as folder:
            if servers and options.smoke:
                good = smoke(servers, folder)
            elif servers:
                found, good = measure(servers, folder, options.pairs or (1 if options.quick else 6))
                rows += found
    except subprocess.CalledProcessError as error:
        print(f"build: {error}")
        good = False
    if options.json:
        records.write(options.json, rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
