# SPDX-License-Identifier: BSL-1.0
"""mutate.py on a small tree: what it must call caught, and what an error."""
import pathlib
import tempfile

HEADER = """#pragma once
inline int one() { return 1; }
inline int two() { return one() + 1; }
"""

TEST = """#include <rondo/core/thing.hpp>
#include <catch2/catch.hpp>
TEST_CASE("one, and only one") { CHECK(one() == 1); }
TEST_CASE("two") { CHECK(two() > 1); }
"""

# (old, new, case, what is wrong with the row: None if it is caught)
ROWS = [
    ("return 1;", "return 2;", "one, and only one", None),
    ("return 1;", "for (volatile int i = 0; i == 0;) {}\nreturn 1;", "one, and only one", None),
    ("return 1;", "__builtin_abort();", "one, and only one", None),
    ("return 1;", "return 2;", "two", "the case passes"),
    ("return 1;", "return 2;", "three", "there is no such case"),
    ("return 1;", "return x;", "one, and only one", "it doesn't compile"),
    ("return 3;", "return 2;", "one, and only one", "its old text is there 0 times"),
    ("return", "throw", "one, and only one", "its old text is there 2 times"),
]


def self_test(mutate, main_object):
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        mutate.ROOT = pathlib.Path(directory)
        mutate.LIMIT_S = 5
        for name, text in (("include/rondo/core/thing.hpp", HEADER), ("tests/core/thing.cpp", TEST)):
            (mutate.ROOT / name).parent.mkdir(parents=True)
            shim = "catch2/catch_test_macros.hpp"
            if not pathlib.Path("/usr/include", shim).exists():
                shim = "catch2/catch.hpp"
            (mutate.ROOT / name).write_text(text.replace("catch2/catch.hpp", shim))
        for number, (old, new, case, expected) in enumerate(ROWS):
            text = "".join(f"new: {line}\n" for line in new.split("\n"))
            row, = mutate.rows(f"file: core/thing.hpp\nold: {old}\n{text}test: core/thing.cpp\n"
                               f"case: {case}\n")
            found = mutate.attempt(row, main_object, mutate.ROOT / str(number))
            if (found or "").split(":")[0] != (expected or ""):
                print(f"expected {expected!r}, found {found!r}: {row}")
                wrong += 1
    print(f"mutate --self-test: {len(ROWS)} rows, {wrong} wrong")
    return 1 if wrong else 0
