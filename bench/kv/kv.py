#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""kv_server (told as rondo-kv) beside redis-server, under redis-benchmark with 50 connections.

Each server is pinned to one processor and the client to another. What counts is the server's CPU time
per request, because the client is the slower side; requests per second are told beside. The servers
take turns, each round gives one ratio, and what is reported is the median ratio with its 95 % interval
(harness.hpp has the reasons). A target is met, open or missed: see verdict() of records.py.

usage: kv.py KV_SERVER [--smoke | --quick] [--pairs N] [--requests N] [--keys N] [--only TEXT]
             [--json FILE]
       kv.py KV_SERVER --counts [--json FILE]

--counts traces the system calls of kv_server: a batch of pipelined requests takes one read and one
write. Counts don't depend on how busy the machine is, so they are limits, not targets.
"""
import argparse
import collections
import contextlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import records

SKIPPED = 4
OURS = "rondo-kv"
CONNECTIONS = 50
# command, requests at once, the most that CPU time per request may be of redis-server's, requests
PLAN = [("SET", 1, 0.95, 20_000), ("GET", 1, 0.95, 20_000),
        ("SET", 16, 0.70, 160_000), ("GET", 16, 0.70, 160_000)]


class Server:
    """A server on a port of its own, alone on a processor if there are two."""

    def __init__(self, name, command, ready, port=None):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        preexec_fn=lambda: pin(0))
        for line in self.process.stdout:
            if said := re.search(ready, line):
                self.port = port or int(said.group(1))
                return
        sys.exit(f"{name} didn't start: {' '.join(command)}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, *words):
        """The reply to one command, which must be short."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(" ".join(words).encode() + b"\r\nquit\r\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).removesuffix(b"+OK\r\n")

    def executed(self):
        return int(re.search(rb"total_commands_processed:(\d+)", self.ask("info", "stats")).group(1))

    def cpu(self):
        """Seconds that all threads have used: the clock that clock_getcpuclockid() names."""
        return time.clock_gettime((~self.process.pid << 3) | 2)


def pin(n):
    """To the n-th processor that this process may use."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        os.sched_setaffinity(0, {processors[n]})


def kv_server(program, *tracer):
    return Server(OURS, [*tracer, program], rb"listening on 127\.0\.0\.1:(\d+)")


@contextlib.contextmanager
def redis_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                   "--appendonly", "no", "--io-threads", "1", "--dir", folder]
        with Server("redis-server", command, rb"Ready to accept connections", port) as server:
            yield server


def load(server, test, pipeline, requests, keys):
    """Requests per second."""
    keyspace = ["-r", str(keys)] if keys else []
    done = subprocess.run(["redis-benchmark", "-p", str(server.port), "-c", str(CONNECTIONS), "-n",
                           str(requests), "-P", str(pipeline), "-t", test.lower(), "--csv", *keyspace],
                          capture_output=True, text=True, preexec_fn=lambda: pin(1))
    rates = re.findall(rf'^"{test}","([\d.]+)"', done.stdout, re.MULTILINE)
    if done.returncode != 0 or len(rates) != 1:
        sys.exit(f"redis-benchmark against {server.name}: {done.stdout}{done.stderr}")
    return float(rates[0])


Round = collections.namedtuple("Round", "time rate executed")


def play(server, test, pipeline, requests, keys):
    """One server's part of a round: CPU time per request in ns, requests/s, commands executed."""
    executed, cpu = server.executed(), server.cpu()
    rate = load(server, test, pipeline, requests, keys)
    cpu = server.cpu() - cpu
    return Round(cpu / requests * 1e9, rate, server.executed() - executed)


def compare(servers, options, *plan):
    """Lets the servers take turns, every other round backwards: the rounds of each server."""
    rounds = ([], [])
    for server in servers:
        play(server, *plan)  # warm-up
    for turn in range(options.pairs):
        for who in (0, 1) if turn % 2 == 0 else (1, 0):
            rounds[who].append(play(servers[who], *plan))
    return rounds


def report(params, name, target, mine, base):
    """Two rows for one server: its CPU time and its rate, beside those of redis-server."""
    rows = [records.compared("kv", params, name, "time", "ns", [each.time for each in mine],
                             [each.time for each in base], target),
            records.told("kv", params, name, "rate", "requests/s",
                         *(statistics.median(each.rate for each in some) for some in (mine, base)))]
    print("\n".join(map(records.text, rows)), flush=True)
    return rows


def measure(options):
    rows, good = [], True
    with redis_server() as redis, kv_server(options.program) as mine:
        version = re.search(rb"redis_version:(\S+)", redis.ask("info", "server")).group(1).decode()
        print(f"kv: CPU time per request, ratio to redis-server {version}, median [95 % interval] of "
              f"{options.pairs} rounds", flush=True)
        for server in (redis, mine):  # so that a GET finds what it asks for
            load(server, "SET", 16, 16_000, options.keys)
        for test, pipeline, target, requests in PLAN:
            params = f"{test}, pipeline {pipeline}"
            if options.only not in params:
                continue
            requests = options.requests or requests // options.share
            base, found = compare((redis, mine), options, test, pipeline, requests, options.keys)
            rows += report(params, redis.name, None, base, base)
            rows += report(params, mine.name, target, found, base)
            if [each.executed for each in base] != [each.executed for each in found]:
                print(f"kv {params}: kv_server executed other commands than redis-server")
                good = False
        key = "key:__rand_int__"
        if not options.keys and mine.ask("get", key) != redis.ask("get", key):
            print("kv: the servers hold different values")
            good = False
    return rows, good


def calls(program, test, pipeline, requests):
    """How often kv_server made each system call while it served so many requests."""
    with tempfile.NamedTemporaryFile("r") as out:
        with kv_server(program, "strace", "-f", "-c", "-o", out.name) as server:
            load(server, test, pipeline, requests, 0)
            server.ask("shutdown", "nosave")
            server.process.wait(timeout=60)
        table = out.read()
    counted = re.findall(r"^\s*[\d.]+\s+\S+\s+\S+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", table, re.MULTILINE)
    return {name: int(count) for count, name in counted if name != "total"}


def count(options):
    """System calls per request. What is done once drops out: it is the difference of two runs."""
    rows, good = [], True
    for pipeline, short, long in ((1, 1000, 3000), (16, 8000, 24000)):
        few, many = (calls(options.program, "SET", pipeline, n) for n in (short, long))
        per = {"reads": 0, "writes": 0, "waits": 0, "others": 0}
        for name in set(few) | set(many):
            kind = ("reads" if re.match(r"p?read|recv", name) else
                    "writes" if re.match(r"p?write|send", name) else
                    "waits" if re.match(r"epoll_p?wait", name) else "others")
            per[kind] += (many.get(name, 0) - few.get(name, 0)) / (long - short)
        # A tenth of a batch more: what grows now and then, and the timer that expires keys.
        for kind, limit in (("reads", 1.1), ("writes", 1.1), ("others", 0.1), ("waits", None)):
            rows.append(records.told("kv", f"SET, pipeline {pipeline}", OURS, kind, "per request",
                                     per[kind], per[kind], limit and limit / pipeline))
            good &= not records.exceeds(rows[-1])
            print(records.text(rows[-1], 4), flush=True)
    return rows, good


def main():
    parser = argparse.ArgumentParser(description="kv_server beside redis-server")
    parser.add_argument("program", type=pathlib.Path, help="kv_server")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--smoke", action="store_true", help="a few seconds: does it run?")
    length.add_argument("--quick", action="store_true", help="15 seconds: a first impression")
    parser.add_argument("--pairs", "--rounds", type=int, help="rounds (15)")
    parser.add_argument("--requests", type=int, default=0, help="requests per round and server")
    parser.add_argument("--keys", type=int, default=0, help="random keys, as redis-benchmark -r (one key)")
    parser.add_argument("--only", default="", help="those whose parameters contain this text")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--counts", action="store_true", help="system calls per request")
    options = parser.parse_args()
    options.program = str(options.program.resolve())
    options.pairs = options.pairs or (2 if options.smoke else 5 if options.quick else 15)
    options.share = 10 if options.smoke else 2 if options.quick else 1
    for tool in ("redis-benchmark", "strace" if options.counts else "redis-server"):
        if shutil.which(tool) is None:
            print(f"kv: n.a. ({tool} is not installed)")
            return SKIPPED
    rows, good = count(options) if options.counts else measure(options)
    if options.json:
        records.write(options.json, rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
