#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Prints the table "rule x poller" in Markdown, after running every conformance case.

    conformance_table.py BINARY                     print it
    conformance_table.py BINARY --check FILE        compare it with the one between the markers in FILE
    conformance_table.py BINARY --write FILE        put it there

BINARY is the test program that holds tests/backend/conformance.cpp. "pass" is printed only if the whole
suite has just passed; "n.a." names the trait by which a poller is left out.
"""

import argparse
import pathlib
import re
import subprocess
import sys

TABLE = re.compile(r"<!-- conformance -->\n.*?<!-- /conformance -->", re.DOTALL)


def run(binary, tag):
    result = subprocess.run([binary, tag], stdout=subprocess.PIPE, text=True, timeout=300)
    if result.returncode != 0:
        sys.exit(f"{result.stdout}\n{binary} {tag}: failed with {result.returncode}")
    return result.stdout


def only_table(text, where):
    found = TABLE.search(text)
    if not found:
        sys.exit(f"{where}: no text between <!-- conformance --> and <!-- /conformance -->")
    return found.group(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()

    binary = str(arguments.binary.resolve())
    run(binary, "[conformance]")
    table = only_table(run(binary, "[.conformance_table]"), binary)

    if arguments.check:
        if only_table(arguments.check.read_text(), arguments.check) != table:
            sys.exit(f"{arguments.check}: the conformance table is not that of {arguments.binary}; "
                     f"run this script with --write {arguments.check}")
    elif arguments.write:
        text = arguments.write.read_text()
        only_table(text, arguments.write)
        arguments.write.write_text(TABLE.sub(lambda _: table, text))
    else:
        print(table)


if __name__ == "__main__":
    main()
