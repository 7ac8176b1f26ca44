#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Lets Spin try every order of the steps of wake.pml. The model must be free of errors, and with each
planted mistake there must be a trail that leads to one.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "wake.pml"
SKIPPED = 4


def errors(directory, mistakes):
    """How many errors the verifier finds, and whether it left a trail."""
    def call(*words):
        return subprocess.run(words, cwd=directory, check=True, capture_output=True, text=True,
                              timeout=100).stdout
    call("spin", *(f"-D{word}" for word in mistakes), "-a", str(MODEL))
    call("gcc", "-O1", "-w", "-o", "pan", "pan.c")
    told = call("./pan")
    found = re.search(r"errors: (\d+)", told)
    if not found or "max search depth too small" in told:
        sys.exit(f"the verifier didn't come to its end:\n{told}")
    return int(found[1]), any(pathlib.Path(directory).glob("*.trail"))


def main():
    if not shutil.which("spin") or not shutil.which("gcc"):
        print("skipped: install spin and gcc")
        sys.exit(SKIPPED)
    planted = sorted(set(re.findall(r"#ifn?def (\w+)", MODEL.read_text())))
    assert len(planted) == 3, planted
    for mistakes in [[], *([word] for word in planted)]:
        with tempfile.TemporaryDirectory() as directory:
            found, trail = errors(directory, mistakes)
        name = mistakes[0] if mistakes else "as it is"
        print(f"{name}: {found} errors")
        if bool(mistakes) != bool(found and trail):
            sys.exit(f"{name}: {'no trail' if mistakes else 'an error'}")


main()
