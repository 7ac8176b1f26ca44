#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""kv_server beside redis-server, under redis-benchmark with 50 connections.

Each server is pinned to one processor and the client to another. What counts is the server's CPU time
per request, because the client is the slower side; requests per second are told beside. The servers
take turns, each round gives one ratio, and what is reported is the median ratio with its 95 % interval
(harness.hpp has the reasons). A target is missed when the lower end of the interval is above it.

usage: kv.py KV_SERVER [--smoke] [--pairs N] [--requests N] [--keys N] [--only TEXT] [--json FILE]
       kv.py KV_SERVER --counts [--json FILE]

--counts traces the system calls of kv_server: a batch of pipelined requests takes one read and one
write. Counts don't depend on how busy the machine is, so they are limits, not targets.
"""
import argparse
import collections
import contextlib
import json
import math
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

SKIPPED = 4
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
    return Server("kv_server", [*tracer, program], rb"listening on 127\.0\.0\.1:(\d+)")


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


def interval(values):
    """The median and its 95 % interval, from the order statistics: harness.hpp's Summary."""
    values = sorted(values)
    half, reach = len(values) / 2, 0.98 * math.sqrt(len(values))
    low, high = (min(max(int(rank), 0), len(values) - 1)
                 for rank in (math.floor(half - reach), math.ceil(half + reach) - 1))
    return statistics.median(values), values[low], values[high]


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
    times, rates = [each.time for each in mine], [each.rate for each in mine]
    median, rate = statistics.median(times), statistics.median(rates)
    ratio, low, high = interval([one.time / other.time for one, other in zip(mine, base)])
    pace = statistics.median(one.rate / other.rate for one, other in zip(mine, base))
    verdict = f"  <= {target:.2f} {'MISSED' if low > target else 'ok'}" if target else ""
    print(f"  {params:<28} {name:<12} {median:9.1f} ns  {ratio:6.3f} [{low:.3f} {high:.3f}]{verdict}\n"
          f"  {params:<28} {name:<12} {rate:9.0f} requests/s  {pace:.3f}", flush=True)
    row = {"bench": "kv", "params": params, "contender": name}
    return [row | {"metric": "time", "unit": "ns", "median": round(median, 2),
                   "min": round(min(times), 2), "max": round(max(times), 2), "rounds": len(times),
                   "ratio": round(ratio, 4), "low": round(low, 4), "high": round(high, 4)},
            row | {"metric": "rate", "unit": "requests/s", "value": round(rate, 1),
                   "ratio": round(pace, 4)}]


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
            requests = options.requests or requests // (10 if options.smoke else 1)
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
        batch = 1 / pipeline
        for kind, most in (("reads", batch), ("writes", batch), ("others", 0), ("waits", None)):
            # A tenth of a batch: what grows now and then, and the timer that expires keys.
            fits = most is None or per[kind] <= most + 0.1 * batch
            good &= fits
            verdict = "" if most is None else f" (at most {most:g}) {'ok' if fits else 'TOO MANY'}"
            print(f"SET, pipeline {pipeline}: {kind} per request {per[kind]:.4f}{verdict}", flush=True)
            rows.append({"bench": "kv", "params": f"SET, pipeline {pipeline}", "contender": "kv_server",
                         "metric": kind, "unit": "calls/request", "value": round(per[kind], 4),
                         "limit": most})
    return rows, good


def main():
    parser = argparse.ArgumentParser(description="kv_server beside redis-server")
    parser.add_argument("program", type=pathlib.Path, help="kv_server")
    parser.add_argument("--smoke", action="store_true", help="a few seconds: does it run?")
    parser.add_argument("--pairs", "--rounds", type=int, help="rounds (15)")
    parser.add_argument("--requests", type=int, default=0, help="requests per round and server")
    parser.add_argument("--keys", type=int, default=0, help="random keys, as redis-benchmark -r (one key)")
    parser.add_argument("--only", default="", help="those whose parameters contain this text")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--counts", action="store_true", help="system calls per request")
    options = parser.parse_args()
    options.program = str(options.program.resolve())
    options.pairs = options.pairs or (2 if options.smoke else 15)
    for tool in ("redis-benchmark", "strace" if options.counts else "redis-server"):
        if shutil.which(tool) is None:
            print(f"kv: n.a. ({tool} is not installed)")
            return SKIPPED
    rows, good = count(options) if options.counts else measure(options)
    if options.json:
        body = ",\n".join("  " + json.dumps(row) for row in rows)
        options.json.write_text(f"[\n{body}\n]\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
