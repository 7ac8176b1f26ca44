#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Counts what the loop adds to a hand-written one per event: user instructions (callgrind) and system
calls (strace). Counts don't depend on how busy the machine is, so they are limits, not targets.

usage: counts.py PATH_TO_PIPES [--json FILE]

Each figure is the difference of two runs of different length, so that what the program does once
drops out.
"""
import json
import re
import shutil
import subprocess
import sys

SHORT, LONG = 20000, 60000
# pipes, active, instructions per event that the loop may add
SHAPES = [(1000, 100, 40.0), (1000, 10, 60.0)]


def run(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)


def instructions(program, who, pipes, active, events):
    done = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "--count",
                who, str(pipes), str(active), str(events)])
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def system_calls(program, who, pipes, active, events):
    done = run(["strace", "-f", "-c", "-o", "/dev/stdout", program, "--count", who, str(pipes),
                str(active), str(events)])
    return int(re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", done.stdout,
                         re.MULTILINE).group(1))


def per_event(counter, *args):
    return (counter(*args, LONG) - counter(*args, SHORT)) / (LONG - SHORT)


def main():
    program = sys.argv[1]
    for tool in ("valgrind", "strace"):
        if shutil.which(tool) is None:
            print(f"n.a. ({tool} is not installed)")
            return 4
    rows, failed = [], False
    for pipes, active, limit in SHAPES:
        for metric, counter, most in (("instructions", instructions, limit),
                                      ("system calls", system_calls, 0.0)):
            raw = per_event(counter, program, "raw", pipes, active)
            rondo = per_event(counter, program, "rondo", pipes, active)
            added = rondo - raw
            verdict = "ok" if added <= most + 1e-9 else "TOO MANY"
            failed |= verdict != "ok"
            print(f"{pipes}/{active} {metric} per event: raw {raw:.2f}, rondo {rondo:.2f}, "
                  f"added {added:+.2f} (at most {most:g}) {verdict}")
            rows.append({"bench": "pipes", "params": f"{pipes}/{active} plain", "metric": metric,
                         "raw": raw, "rondo-epoll": rondo, "limit": most})
    if "--json" in sys.argv:
        with open(sys.argv[sys.argv.index("--json") + 1], "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
