#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Compiles the common mistakes in compile_fail/ and demands one readable error for each.

Each source says what it expects in a line "// expect: sentence"; the sentence must stand in the first
three lines that report an error (Clang names an unsatisfied concept in a "note: because", which counts
as one). A source without such a line is a control and must compile. The compiler is $CXX (default
g++); the command line may add options to it, and choose among the sources by name (without .cpp):

    CXX=clang++ tests/build/compile_fail.py [-O0 ...] [name ...]
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLAGS = ["-std=c++20", "-fsyntax-only", "-Werror=unused-result", f"-I{ROOT}/include", f"-I{ROOT}/tests"]


def expected(source):
    match = re.search(r"^// expect: (.*)$", source.read_text(), re.MULTILINE)
    return match.group(1) if match else None


def compile_errors(command, source):
    """The compiler's verdict: whether it accepted the source, and the lines that report an error."""
    run = subprocess.run(
        command + [str(source)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "LC_ALL": "C"},
    )
    told = re.compile(r"\b(error: |note: because )")
    lines = [line for line in run.stderr.splitlines() if told.search(line)]
    return run.returncode == 0, lines


def complaint(command, source):
    """What is wrong with how the compiler took this source; None if all is as it should be."""
    sentence = expected(source)
    accepted, lines = compile_errors(command, source)
    if sentence is None:
        return None if accepted else "must compile, but:\n    " + "\n    ".join(lines[:3])
    if accepted:
        return "must not compile, but it does"
    if not any(sentence in line for line in lines[:3]):
        return f'says nothing of "{sentence}":\n    ' + "\n    ".join(lines[:3])
    return None


def main(arguments):
    command = shlex.split(os.environ.get("CXX", "g++")) + FLAGS
    command += [argument for argument in arguments if argument.startswith("-")]
    names = [argument for argument in arguments if not argument.startswith("-")]
    sources = sorted(HERE.glob("compile_fail/*.cpp"))
    if names:
        sources = [source for source in sources if source.stem in names]
    if not any(expected(source) for source in sources):
        print("compile_fail: no source to try")
        return 1
    failures = 0
    for source in sources:
        problem = complaint(command, source)
        failures += problem is not None
        print(f"{'FAILED' if problem else 'ok':7}{source.stem}{': ' + problem if problem else ''}")
    print(f"compile_fail: {len(sources)} sources, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
