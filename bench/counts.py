#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Counts what the loop adds to a hand-written one per event: user instructions (callgrind) and system
calls (strace); and what a connection adds per message of an echo. Counts don't depend on how busy the
machine is, so they are limits, not targets.

usage: counts.py DIRECTORY_OF_THE_BENCHMARKS [--json FILE]

Each figure is the difference of two runs of different length, so that what the program does once
drops out.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

SHORT, LONG = 20000, 60000
# pipes, active, instructions per event that the loop may add
SHAPES = [(1000, 100, 40.0), (1000, 10, 60.0)]


def run(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)


def calls(command, traced_children, name="total"):
    """How often a program has made a system call; all of them without a name."""
    follow = ["-f"] if traced_children else []
    done = run(["strace", *follow, "-c", "-o", "/dev/stdout", *command])
    found = re.search(rf"^\s*[\d.]+\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?{name}$", done.stdout,
                      re.MULTILINE)
    return int(found.group(1)) if found else 0


def instructions(program, who, pipes, active, events):
    done = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "--count",
                who, str(pipes), str(active), str(events)])
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def system_calls(program, who, pipes, active, events):
    return calls([program, "--count", who, str(pipes), str(active), str(events)], True)


def per_event(counter, *args):
    return (counter(*args, LONG) - counter(*args, SHORT)) / (LONG - SHORT)


def compare(row, rondo, most, rows):
    """One row: what rondo takes, at most so much more than the hand-written loop. True if so."""
    added = rondo - row["raw"]
    good = added <= most + 1e-9
    print(f"{row['params']} {row['metric']} per {row['per']}: raw {row['raw']:.2f}, rondo {rondo:.2f}, "
          f"added {added:+.2f} (at most {most:g}) {'ok' if good else 'TOO MANY'}")
    rows.append(row | {"rondo-epoll": rondo, "limit": most})
    return good


def pipes(program, rows):
    good = True
    for count, active, limit in SHAPES:
        for metric, counter, most in (("instructions", instructions, limit),
                                      ("system calls", system_calls, 0.0)):
            raw = per_event(counter, program, "raw", count, active)
            rondo = per_event(counter, program, "rondo", count, active)
            good &= compare({"bench": "pipes", "params": f"{count}/{active} plain", "metric": metric,
                             "per": "event", "raw": raw}, rondo, most, rows)
    return good


def echo(program, rows):
    def messages(who, count):
        return calls([program, "--count", who, "1", str(count)], False)

    def changes(who, connections):
        return calls([program, "--count", who, str(connections), str(connections)], False, "epoll_ctl")

    raw, rondo = [(messages(who, 3000) - messages(who, 1000)) / 2000 for who in ("raw", "rondo-epoll")]
    good = compare({"bench": "echo", "params": "1 connection", "metric": "system calls",
                    "per": "message", "raw": raw}, rondo, 0.0, rows)
    raw, rondo = [(changes(who, 96) - changes(who, 32)) / 64 for who in ("raw", "rondo-epoll")]
    return good & compare({"bench": "echo", "params": "32 to 96 connections", "metric": "epoll_ctl",
                           "per": "connection", "raw": raw}, rondo, 0.0, rows)


def main():
    programs = pathlib.Path(sys.argv[1])
    for tool in ("valgrind", "strace"):
        if shutil.which(tool) is None:
            print(f"n.a. ({tool} is not installed)")
            return 4
    rows = []
    good = pipes(programs / "pipes", rows)
    good &= echo(programs / "echo", rows)
    if "--json" in sys.argv:
        with open(sys.argv[sys.argv.index("--json") + 1], "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
