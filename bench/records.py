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
ENOUGH = 6  # values for an interval of 95 %
TOLERANCE = 1e-9  # of figures that were rounded


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


def not_available(bench, params, contender, reason):
    """What this machine can't do: all of these parameters, or a contender of them. Both may be empty."""
    return {"bench": bench, "params": params, "contender": contender, "not_available": reason}


def exceeds(row):
    return "limit" in row and row["median"] > row["limit"] + TOLERANCE


def verdict(low, high, most, rounds):
    """Of a target, as statistics.hpp has it: missed when all of the interval is above it and met when
    nothing is, so that noise makes neither likelier. Too few values for an interval of 95 % prove nothing
    met."""
    if low > most + TOLERANCE:
        return "MISSED"
    return "met" if high <= most + TOLERANCE and rounds >= ENOUGH else "open"


def verdict_of(row, key):
    """Of the target or rival_target of a row. One without an interval is a count, which is not noisy."""
    of = key.removesuffix("target")
    if of + "low" in row:
        return verdict(row[of + "low"], row[of + "high"], row[key], row["rounds"])
    return verdict(row[of + "ratio"], row[of + "ratio"], row[key], ENOUGH)


def text(row, digits=1):
    """The line that people read."""
    if "missing" in row:
        return f"  {row['contender']}: missing (install {row['missing']})"
    if "not_available" in row:
        what = ", ".join(filter(None, (row["params"], row["contender"])))
        return f"  {what}{': ' if what else ''}n.a. ({row['not_available']})"
    line = (f"  {row['params']:<28} {row['contender']:<12} {row['median']:9.{digits}f} {row['unit']}, "
            f"{row['metric']}")
    if "low" in row:
        line += f"  {row['ratio']:6.3f} [{row['low']:.3f} {row['high']:.3f}]"
    line += judgement(row, "target")
    if "rival" in row:
        line += f"  {row['rival_ratio']:.3f}"
        if "rival_low" in row:
            line += f" [{row['rival_low']:.3f} {row['rival_high']:.3f}]"
        line += f" of {row['rival']}"
    line += judgement(row, "rival_target")
    if "limit" in row:
        line += f"  (at most {row['limit']:.{digits}f}) {'TOO MUCH' if exceeds(row) else 'ok'}"
    return line


def judgement(row, key):
    return f"  <= {row[key]:.2f} {verdict_of(row, key)}" if key in row else ""


def write(path, rows):
    body = ",\n".join("  " + json.dumps(row) for row in rows)
    pathlib.Path(path).write_text(f"[\n{body}\n]\n", encoding="utf-8")


RANKS = """
#include <cstdio>
#include "bench/statistics.hpp"
int main() {
    for (size_t n = 1; n <= 60; ++n) std::printf("%zu ", bench::Summary::outside(n));
    for (size_t n = 1; n <= 60; ++n) {
        std::vector<double> values(n);
        for (size_t i = 0; i < n; ++i) values[i] = double(i);
        for (size_t most = 0; most < n; ++most) {
            std::printf("%s ", bench::Summary(values).verdict(double(most)));
        }
    }
}
"""


def said_by_cpp(compiler):
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "ranks")
        subprocess.run([compiler, "-std=c++20", f"-I{ROOT}", "-xc++", "-", "-o", program],
                       input=RANKS, text=True, check=True)
        said = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
        return [int(word) for word in said[:60]], said[60:]


def self_test():
    def exact(n):
        few = [k for k in range(n) if 40 * sum(math.comb(n, i) for i in range(k + 1)) <= 2 ** n]
        return max(few, default=0)

    ranks = [outside(n) for n in range(1, 61)]
    assert ranks == [exact(n) for n in range(1, 61)], ranks
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    found = [(summary(range(n)), most, n) for n in range(1, 61) for most in range(n)]
    verdicts = [verdict(each.low, each.high, most, n) for each, most, n in found]
    if compiler is not None:
        assert said_by_cpp(compiler) == (ranks, verdicts), "statistics.hpp has other ranks or verdicts"
    assert outside(ENOUGH) == 0 and 2 * 0.5 ** ENOUGH < 0.05 <= 2 * 0.5 ** (ENOUGH - 1)
    wanted = {(0.9, 1.0): "met", (0.9, 1.1): "open", (1.0, 1.1): "open", (1.01, 1.1): "MISSED"}
    for interval, word in wanted.items():
        assert verdict(*interval, 1.0, 6) == word, interval
        assert verdict(*interval, 1.0, 5) == word.replace("met", "open"), interval

    assert summary([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0, 1.0, 3.0)
    assert summary(range(15)) == (7, 3, 11, 0, 14)
    row = compared("b", "p", "c", "time", "ns", [2.0, 4.0], [1.0, 2.0], 1.5)
    assert (row["median"], row["ratio"], row["low"], row["rounds"]) == (3.0, 2.0, 2.0, 2)
    assert text(row).endswith("2.000 [2.000 2.000]  <= 1.50 MISSED")
    row = beside(row, "other", [2.0, 4.0], [4.0, 8.0], 0.5)
    assert text(row).endswith("0.500 [0.500 0.500] of other  <= 0.50 open"), "two rounds"
    assert text(row | {"rounds": 6}).endswith("0.500 [0.500 0.500] of other  <= 0.50 met")
    counted = told("b", "p", "c", "m", "u", 1, 1) | {"rival": "r", "rival_ratio": 1.0}
    assert text(counted | {"rival_target": 1.0}).endswith("<= 1.00 met")
    assert text(counted | {"rival_target": 0.9}).endswith("<= 0.90 MISSED")
    for params, contender, wanted in (("p", "c", "  p, c: n.a. (why)"), ("", "", "  n.a. (why)"),
                                      ("p", "", "  p: n.a. (why)"), ("", "c", "  c: n.a. (why)")):
        assert text(not_available("b", params, contender, "why")) == wanted
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
