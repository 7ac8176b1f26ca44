#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Runs the fuzzers of tests/fuzz by libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.

usage: fuzz.py [--seconds N] [--only NAME] [--planted]

Each starts from its corpus in tests/fuzz/corpus. What it finds is left in build/fuzz and can be replayed
by `build/fuzz/NAME FILE`. With --planted each gets a library with a mistake in it and has to find that
within a minute.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
FLAGS = ("-std=c++20 -O1 -g1 -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Werror "
         "-fsanitize=fuzzer,address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all").split()
TO_FIND = 60  # seconds

# A mistake that each must find: where, what is there, and what instead.
PLANTED = {
    "buffer": ("include/rondo/core/buffer.hpp", "begin_ += count;", "begin_ += count & 0xfff;"),
    "endpoint": ("include/rondo/core/endpoint.hpp", "if (scope_ != 0) out", "if (scope_ > 9) out"),
    "event_loop": ("include/rondo/loop/timers.hpp", "if (!fire(firing, clock)) break;",
                   "if (ran % 2 != 0 && !fire(firing, clock)) break;"),
    "post_queue": ("include/rondo/core/post_queue.hpp",
                   "if (!batch_.empty() || !deferred_.empty()) return false;",
                   "if (!batch_.empty()) return false;"),
    "resp": ("examples/kv/resp.hpp", "end_ - end >= 2 && *end", "end_ - end >= 1 && *end"),
    "timer_heap": ("include/rondo/core/timer_heap.hpp", "entry.deadline > now.ns()",
                   "entry.deadline >= now.ns()"),
}


def build(name, first, program):
    """`first` is searched for headers before the repository."""
    words = [os.environ.get("FUZZ_CXX", "clang++"), *FLAGS,
             *(f"-I{root / part}" for root in (first, ROOT) for part in ("include", "tests", "."))]
    subprocess.run([*words, str(ROOT / "tests" / "fuzz" / f"{name}.cpp"), "-o", str(program)],
                   check=True)


def fuzz(program, name, seconds, corpus):
    """Whether nothing was found, and how many inputs were run."""
    corpus.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(program), f"-max_total_time={seconds}", "-print_final_stats=1", "-verbosity=1",
         "-timeout=20", f"-artifact_prefix={BUILD}/{name}-", str(corpus),
         str(ROOT / "tests" / "fuzz" / "corpus" / name.removesuffix("-planted"))],
        capture_output=True, text=True, errors="replace", timeout=seconds + 120)
    counted = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    return done, int(counted[1]) if counted else 0


def plant(name):
    where, old, new = PLANTED[name]
    text = (ROOT / where).read_text()
    assert text.count(old) == 1, f"{where}: {old} is there {text.count(old)} times"
    first = BUILD / "planted" / name
    (first / where).parent.mkdir(parents=True, exist_ok=True)
    (first / where).write_text(text.replace(old, new))
    return first


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--planted", action="store_true")
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)

    def run(name):
        program = BUILD / (f"{name}-planted" if arguments.planted else name)
        build(name, plant(name) if arguments.planted else ROOT, program)
        seconds = TO_FIND if arguments.planted else arguments.seconds
        done, inputs = fuzz(program, program.name, seconds, BUILD / "corpus" / program.name)
        found = done.returncode != 0
        said = ", found the mistake" if found and arguments.planted else ""
        print(f"{name}: {inputs} inputs{said}", flush=True)
        if found != arguments.planted:
            print(done.stderr[-4000:] if found else f"{name}: the planted mistake wasn't found")
        return found == arguments.planted

    names = [name for name in sorted(PLANTED) if arguments.only in name]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sys.exit(0 if all(list(pool.map(run, names))) else 1)


main()
