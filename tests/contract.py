#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Every test that contract.md names exists, and every case from 1 to 29 has one."""
import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent
CASE = re.compile(r'^(?:TEST_CASE|KERNEL_CASE|RULE|TEMPLATE_(?:LIST_)?TEST_CASE)\(\s*((?:"[^"]*"\s*)+)',
                  re.MULTILINE)


def titles():
    for source in TESTS.glob("*/*.cpp"):
        for match in CASE.finditer(source.read_text(encoding="utf-8")):
            yield "".join(re.findall(r'"([^"]*)"', match.group(1)))


def main():
    known = set(titles())
    rows = [line for line in (TESTS / "contract.md").read_text(encoding="utf-8").splitlines()
            if re.match(r"\| \d+ ", line)]
    wrong = []
    numbers = [int(re.match(r"\| (\d+) ", row).group(1)) for row in rows]
    if numbers != list(range(1, 30)):
        wrong.append(f"the cases are {numbers}, not 1 to 29")
    named = 0
    for row in rows:
        tests = re.findall(r'"([^"]*)"', row.split("|")[3])
        named += len(tests)
        if not tests:
            wrong.append(f"no test: {row}")
        wrong += [f"no such test: {test}" for test in tests if test not in known]
    print("\n".join(wrong) or f"contract: 29 cases, {named} tests named, all exist")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
