#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Do the tests notice? Each row of tests/mutations is one small change of a header that breaks one
rule, and the test case that must then fail. A row counts as caught if that case, compiled against the
changed header, fails, stops the program or runs into the time limit. It is an error if the case passes
or if the row has rotted: its text is not there exactly once, or what it makes doesn't compile.

    mutate.py MAIN_OBJECT [--part K/N] [--only WORD] [--self-test]
    mutate.py --check              compiles nothing: has a row rotted?

A row is a block of `key: value` lines; a key on several lines makes a text of several lines:

    file: core/time.hpp            below include/rondo
    old:  if (a < b) {             one space after the colon is dropped, the rest is the text
    new:  if (a <= b) {
    test: core/time.cpp            below tests; more sources may follow
    case: two equal instants are not in order
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT_S = 60
KEYS = {"file", "old", "new", "test", "case"}


def rows(text):
    for block in text.split("\n\n"):
        row = {}
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            key, _, value = line.partition(":")
            row.setdefault(key, []).append(value.removeprefix(" "))
        if row:
            if set(row) != KEYS:
                sys.exit(f"mutations: a row needs {sorted(KEYS)}: {row}")
            yield {key: "\n".join(lines) for key, lines in row.items()}


def run(command, limit, **options):
    """The exit code, or None if the time ran out; and what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              timeout=limit, stdin=subprocess.DEVNULL, **options)
        return done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        return None, "time limit"


def header(row):
    source = ROOT / "include/rondo" / row["file"]
    return source.read_text(encoding="utf-8") if source.exists() else ""


def rotten(row):
    """What can be seen of a row without compiling it: None, or what is wrong."""
    count = header(row).count(row["old"])
    if count != 1:
        return f"its old text is there {count} times"
    cases = ""
    for test in row["test"].split():
        source = ROOT / "tests" / test
        if not source.exists():
            return f"there is no tests/{test}"
        # A long title may be written as several literals.
        cases += re.sub(r'"\s*"', "", source.read_text(encoding="utf-8"))
    title = row["case"].replace('"', '\\"')
    end = '"' if not title.endswith("*") else ""
    if f'"{title.removesuffix("*")}{end}' not in cases:
        return "there is no such case"
    return None


def attempt(row, main_object, work):
    """None if the row was caught, otherwise what is wrong."""
    if wrong := rotten(row):
        return wrong
    changed = work / "include/rondo" / row["file"]
    changed.parent.mkdir(parents=True)
    changed.write_text(header(row).replace(row["old"], row["new"]), encoding="utf-8")
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-O0", "-DCATCH_CONFIG_FAST_COMPILE",
               f'-DRONDO_TEST_SOURCE_DIR="{ROOT}"', "-I", str(work / "include"),
               "-I", str(ROOT / "include"), "-I", str(ROOT / "tests"), "-I", str(ROOT),
               *(str(ROOT / "tests" / test) for test in row["test"].split()),
               main_object, "-pthread", "-o", str(work / "test")]
    code, said = run(command, 300)
    if code != 0:
        return "it doesn't compile:\n" + said[:2000]
    pattern = row["case"].replace(",", "\\,").replace("[", "\\[")
    _, listed = run([work / "test", "--list-tests", pattern], LIMIT_S, cwd=work)
    if re.search(r"^0 matching test cases", listed, re.M):
        return "there is no such case"
    code, _ = run([work / "test", pattern], LIMIT_S, cwd=work)
    return "the case passes" if code == 0 else None


def check():
    failures = 0
    everything = list(rows((ROOT / "tests/mutations").read_text()))
    for row in everything:
        if wrong := rotten(row):
            failures += 1
            print(f"tests/mutations: {row['file']}: {row['case']}\n        {wrong}")
    print(f"mutate --check: {len(everything)} rows, {failures} rotten")
    return 1 if failures else 0


def main():
    options = argparse.ArgumentParser()
    options.add_argument("main_object", nargs="?")
    options.add_argument("--part", default="0/1")
    options.add_argument("--only", default="")
    options.add_argument("--self-test", action="store_true")
    options.add_argument("--check", action="store_true")
    options = options.parse_args()
    if options.check:
        return check()
    if not options.main_object:
        sys.exit("mutate.py: compile tests/support/catch_main.cpp and name the object")
    if options.self_test:
        from mutate_test import self_test
        return self_test(sys.modules[__name__], options.main_object)
    part, parts = map(int, options.part.split("/"))
    chosen = [row for number, row in enumerate(rows((ROOT / "tests/mutations").read_text()))
              if number % parts == part and options.only in str(row)]

    def one(row):
        work = pathlib.Path(tempfile.mkdtemp(prefix="rondo-mutation-"))
        try:
            return row, attempt(row, options.main_object, work)
        finally:
            shutil.rmtree(work)

    failures = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for row, wrong in pool.map(one, chosen):
            failures += wrong is not None
            print(f"{'caught' if wrong is None else 'ERROR '}  {row['file']}: {row['case']}"
                  + (f"\n        {wrong}" if wrong else ""), flush=True)
    print(f"mutations: {len(chosen) - failures} of {len(chosen)} caught")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
