#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Counts what each contender does per event, message, connection and call: user instructions (callgrind)
and system calls (strace). Counts don't depend on how busy the machine is, but for a few waits where a
client may come late, so what they must not exceed are limits, not targets.

usage: counts.py [--quick | --limits] [--only TEXT] [--json FILE] DIRECTORY_OF_THE_BENCHMARKS

--limits counts only what has a limit; --quick counts only that of raw and of rondo-epoll. Each figure is
the difference of two runs of different length, so that what a program does once drops out.
"""
import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import records

SKIPPED = 4
NO_SUCH_CASE = 2  # what a benchmark answers for a contender that takes no part
BASELINE, OURS = "raw", "rondo-epoll"


class Question(NamedTuple):
    bench: str
    params: str
    metric: str  # "instructions", "system calls", or the name of one system call
    unit: str
    words: str  # behind --count: {who}, and {n} for how much
    short: int
    long: int
    # What rondo-epoll is held to. A limit fails the run; a missed target is told, and fails nothing.
    over_raw: float | None = None  # the limit: so much more than raw
    than_rivals: str = ""  # "limit" or "target": no more than the rival that takes least
    each: int = 1  # how many of the unit are in 1 of {n}
    # Calls that chance may add to what is held to a limit: in each of the four runs that are compared a
    # client that comes late makes one wait more.
    chance: int = 0

    @property
    def many(self):
        """How many of the unit the longer run has more."""
        return (self.long - self.short) * self.each

    def most(self, limits):
        """The lowest of the limits, and what chance may add."""
        return min(limits) + self.chance / self.many if limits else None


def pipes(active, added):
    words = f"{{who}} plain 1000 {active} {{n}}"
    params = f"1000/{active} plain"
    return [Question("pipes", params, "instructions", "per event", words, 10000, 30000, added),
            Question("pipes", params, "system calls", "per event", words, 2000, 6000, 0.0)]


QUESTIONS = [
    *pipes(100, 40.0),
    *pipes(10, 60.0),
    Question("echo", "1 connection", "system calls", "per message", "{who} 1 {n}", 1000, 3000,
             0.0, "limit", chance=4),
    Question("echo", "32 to 96 connections", "epoll_ctl", "per connection", "{who} {n} {n}", 32, 96, 0.0),
    Question("accept", "129 to 385 connections", "system calls", "per connection", "{who} {n}", 129, 385,
             None, "target"),
    *(Question("timers", f"{what} 1000", "instructions", "per timer", f"{{who}} {word} 1000 {{n}}",
               2, 6, each=1000)
      for what, word in (("add and fire", "fire"), ("add and cancel", "cancel"),
                         ("add, re-arm and fire", "life"), ("put off", "idle"))),
    *(Question("handler", f"{what}, {size} bytes", "instructions", "per call",
               f"{{who}} {what} {size} {{n}}", 2000, 6000)
      for what in ("call", "construct") for size in (8, 48)),
]


class TakesNoPart(Exception):
    pass


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == NO_SUCH_CASE:
        raise TakesNoPart
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stderr}")
    return done


def instructions(command):
    done = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command])
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def system_calls(command, name="total"):
    """Those of the program itself, without the children that put it to work."""
    table = run(["strace", "-c", "-o", "/dev/stdout", *command]).stdout
    found = re.search(rf"^\s*[\d.]+\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?{name}$", table, re.MULTILINE)
    return int(found[1]) if found else 0


class Counter:
    """Counts with as many programs side by side as there are processors, up to two. Each has a processor
    of its own, because some programs take the first one that they may use."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        free = sorted(os.sched_getaffinity(0))[:2]
        # Of the calling thread and of what it starts.
        self.pool = concurrent.futures.ThreadPoolExecutor(
            len(free), initializer=lambda: os.sched_setaffinity(0, {free.pop()}))
        self.names = {}

    def contenders(self, question):
        """Whom to count, the baseline first."""
        if self.options.quick or (self.options.limits and question.than_rivals != "limit"):
            return [BASELINE, OURS]
        if question.bench not in self.names:
            listed = run([self.folder / question.bench, "--list"]).stdout.split("\n")
            self.names[question.bench] = [line.split()[0] for line in listed if line.strip()]
        return self.names[question.bench]

    def start(self, question):
        """The counts of each contender, which come later: short run, long run."""
        return {who: [self.pool.submit(self.count, question, who, amount)
                      for amount in (question.short, question.long)]
                for who in self.contenders(question)}

    def finish(self, question, counts):
        """How many each contender has taken; without those that take no part."""
        taken = {}
        for who, (short, long) in counts.items():
            with contextlib.suppress(TakesNoPart):
                taken[who] = (long.result() - short.result()) / question.many
        if not taken:
            raise RuntimeError(f"{question.bench}, {question.params}: nobody takes part")
        return taken

    def count(self, question, who, amount):
        command = [self.folder / question.bench, "--count",
                   *question.words.format(who=who, n=amount).split()]
        if question.metric == "instructions":
            return instructions(command)
        return system_calls(command, *[question.metric] * (question.metric != "system calls"))


def best_rival(each):
    rivals = {who: value for who, value in each.items() if not who.startswith(("rondo", "raw"))}
    return min(rivals, key=rivals.get, default=None)


def judge(question, each):
    """The records of one question, and whether the limits are kept."""
    best, limits = best_rival(each), []
    if question.over_raw is not None:
        limits.append(each[BASELINE] + question.over_raw)
    if question.than_rivals == "limit" and best is not None:
        limits.append(each[best])
    rows = []
    for who, value in each.items():
        held = who == OURS
        row = records.told(question.bench, question.params, who, question.metric, question.unit, value,
                           next(iter(each.values())), question.most(limits) if held else None)
        if held and question.than_rivals == "target" and best is not None:
            row |= {"rival": best, "rival_target": 1.0,
                    "rival_ratio": records.number(records.quotient(value, each[best]))}
        rows.append(row)
        print(records.text(row, 4 if question.chance else 2), flush=True)
    return rows, not any(map(records.exceeds, rows))


def wanted(options):
    return [each for each in QUESTIONS if options.only in each.params and
            (each.over_raw is not None or each.than_rivals == "limit" or
             not (options.quick or options.limits))]


def unusable():
    """Why nothing can be counted here."""
    for tool, arguments in (("valgrind", ["--tool=callgrind", "--callgrind-out-file=/dev/null"]),
                            ("strace", ["-c", "-o", "/dev/null"])):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
        try:
            run([tool, *arguments, "true"])
        except RuntimeError:
            return f"{tool} can't look at programs here"
    return None


def main():
    parser = argparse.ArgumentParser(description="instructions and system calls per event")
    parser.add_argument("programs", type=pathlib.Path, help="the directory of the benchmarks")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="the limits of raw and rondo-epoll alone")
    length.add_argument("--limits", action="store_true", help="only what has a limit")
    parser.add_argument("--only", default="", help="those whose parameters contain this text")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if reason := unusable():
        print(f"counts: n.a. ({reason})")
        if options.json:
            records.write(options.json, [records.not_available("counts", "", "", reason)])
        return SKIPPED
    print("counts: per event, message, connection and call; ratio to the baseline", flush=True)
    counter, rows, good = Counter(options.programs.resolve(), options), [], True
    try:
        started = [(question, counter.start(question)) for question in wanted(options)]
        for question, counts in started:
            found, kept = judge(question, counter.finish(question, counts))
            rows, good = rows + found, good and kept
    except (OSError, RuntimeError) as error:
        print(f"counts: {error}")
        good = False
        counter.pool.shutdown(cancel_futures=True)
    if options.json:
        records.write(options.json, rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
