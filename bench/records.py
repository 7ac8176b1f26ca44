#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Figures that Python measures, in the form that record.hpp and harness.hpp give to those of C++: a list
of records, one per line of JSON.

usage: records.py --self-test
"""
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Summary(NamedTuple):
    median: float
    low: float
    high: float
    min: float
    max: float


def outside(n):
    """How many of n values may be left out on either side of the 95 % interval of their median: the
    largest k for which at most k of n fair coins show heads with at most 2.5 %."""
    chance, total = 0.5 ** n, 0.0
    for k in range(n + 1):
        total += chance
        if total > 0.025 or k >= n:
            return max(k - 1, 0)
        chance *= (n - k) / (k + 1)


def summary(values):
    """Median and its 95 % interval from the order statistics, as statistics.hpp has it. With fewer than
    6 values no interval of them has 95 %; then it is all of them."""
    values = sorted(values)
    cut = outside(len(values))
    return Summary(statistics.median(values), values[cut], values[-1 - cut], values[0], values[-1])


def number(value):
    """With 9 digits; None is JSON's null, for what isn't finite."""
    return float(f"{value:.9g}") if math.isfinite(value) else None


def quotient(some, other):
    return some / other if other else math.nan


def told(bench, params, contender, metric, unit, value, first, limit=None):
    """A figure that was found once, beside the baseline's. `limit`: more of it is too much."""
    row = {"bench": bench, "params": params, "contender": contender, "metric": metric, "unit": unit,
           "median": number(value), "min": number(value), "max": number(value), "rounds": 1,
           "ratio": number(quotient(value, first))}
    return row if limit is None else row | {"limit": number(limit)}


def compared(bench, params, contender, metric, unit, values, base, target=None):
    """The rounds of a contender beside the baseline's of the same rounds. `target`: the most that the
    ratio may be."""
    found, ratio = summary(values), summary(map(quotient, values, base))
    row = told(bench, params, contender, metric, unit, found.median, found.median)
    row |= {"min": number(found.min), "max": number(found.max), "rounds": len(values),
            "ratio": number(ratio.median), "low": number(ratio.low), "high": number(ratio.high)}
    return row if target is None else row | {"target": number(target)}


def beside(row, rival, values, others, target=None):
    """The record with what it is beside a rival's rounds."""
    ratio = summary(map(quotient, values, others))
    row = row | {"rival": rival, "rival_ratio": number(ratio.median), "rival_low": number(ratio.low),
                 "rival_high": number(ratio.high)}
    return row if target is None else row | {"rival_target": number(target)}


def missing(bench, contender, package):
    """A contender that takes no part, and the package that would bring it."""
    return {"bench": bench, "params": "", "contender": contender, "missing": package}


def exceeds(row):
    return "limit" in row and row["median"] > row["limit"] + 1e-9


def text(row, digits=1):
    """The line that people read."""
    if "missing" in row:
        return f"  {row['contender']}: missing (install {row['missing']})"
    line = (f"  {row['params']:<28} {row['contender']:<12} {row['median']:9.{digits}f} {row['unit']}, "
            f"{row['metric']}")
    if "low" in row:
        line += f"  {row['ratio']:6.3f} [{row['low']:.3f} {row['high']:.3f}]"
    line += judgement(row, "target", "low")
    if "rival" in row:
        line += f"  {row['rival_ratio']:.3f}"
        if "rival_low" in row:
            line += f" [{row['rival_low']:.3f} {row['rival_high']:.3f}]"
        line += f" of {row['rival']}"
    line += judgement(row, "rival_target", "rival_low" if "rival_low" in row else "rival_ratio")
    if "limit" in row:
        line += f"  (at most {row['limit']:.{digits}f}) {'TOO MUCH' if exceeds(row) else 'ok'}"
    return line


def judgement(row, key, least):
    """A target is missed when the lower end of the interval is above it."""
    if key not in row:
        return ""
    return f"  <= {row[key]:.2f} {'MISSED' if row[least] > row[key] + 1e-9 else 'ok'}"


def write(path, rows):
    body = ",\n".join("  " + json.dumps(row) for row in rows)
    pathlib.Path(path).write_text(f"[\n{body}\n]\n", encoding="utf-8")


RANKS = """
#include <cstdio>
#include "bench/statistics.hpp"
int main() {
    for (size_t n = 1; n <= 60; ++n) std::printf("%zu ", bench::Summary::outside(n));
}
"""


def ranks_of_cpp(compiler):
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "ranks")
        subprocess.run([compiler, "-std=c++20", f"-I{ROOT}", "-xc++", "-", "-o", program],
                       input=RANKS, text=True, check=True)
        return [int(word) for word in subprocess.run([program], capture_output=True, text=True,
                                                     check=True).stdout.split()]


def self_test():
    def exact(n):
        few = [k for k in range(n) if 40 * sum(math.comb(n, i) for i in range(k + 1)) <= 2 ** n]
        return max(few, default=0)

    ranks = [outside(n) for n in range(1, 61)]
    assert ranks == [exact(n) for n in range(1, 61)], ranks
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is not None:
        assert ranks == ranks_of_cpp(compiler), "statistics.hpp has other ranks"

    assert summary([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0, 1.0, 3.0)
    assert summary(range(15)) == (7, 3, 11, 0, 14)
    row = compared("b", "p", "c", "time", "ns", [2.0, 4.0], [1.0, 2.0], 1.5)
    assert (row["median"], row["ratio"], row["low"], row["rounds"]) == (3.0, 2.0, 2.0, 2)
    assert text(row).endswith("2.000 [2.000 2.000]  <= 1.50 MISSED")
    row = beside(row, "other", [2.0, 4.0], [4.0, 8.0], 0.5)
    assert text(row).endswith("0.500 [0.500 0.500] of other  <= 0.50 ok")
    assert exceeds(told("b", "p", "c", "m", "u", 2, 1, 1)) and text(row).count("MISSED") == 1
    assert not exceeds(told("b", "p", "c", "m", "u", 0, 0, 0))
    assert told("b", "p", "c", "m", "u", 0, 0)["ratio"] is None
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "records.json")
        rows = [row, missing("b", "c", "package")]
        write(path, rows)
        assert json.loads(path.read_text(encoding="utf-8")) == rows
        assert len(path.read_text(encoding="utf-8").splitlines()) == 2 + len(rows)
    print("records: ok" + ("" if compiler else ", but no compiler to compare with statistics.hpp"))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] != ["--self-test"]:
        sys.exit(__doc__)
    sys.exit(self_test())
