#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Makes one file of the records that the benchmarks left.

usage: merge.py BUILD STATUS OUT LENGTH COMMAND LOAD

BUILD is the build directory, whose compiler and rivals are named in the result; LENGTH full, quick or
smoke; COMMAND the command line of the run. STATUS has one line per benchmark: its name, how it ended (an
exit status, or - if it didn't run), its seconds, and the files of its records, with tabs between.

OUT becomes {"run": ..., "records": [...]}, one record per line. A file with a record that isn't as
harness.hpp and record.hpp write them is refused as a whole: its benchmark counts as failed. The exit
status is 1 if a benchmark failed, or if there is no record at all.

LOAD is the load average before the first benchmark (machine.py), which is told if it is high.
"""
import json
import math
import pathlib
import sys

import machine

TEXTS = {"bench", "params", "contender", "missing", "not_available", "metric", "unit", "rival"}
NUMBERS = {"median", "min", "max", "rounds", "ratio", "low", "high", "target", "rival_ratio",
           "rival_low", "rival_high", "rival_target", "limit"}
EVERY = {"bench", "params", "contender"}
INSTEAD = ("missing", "not_available")  # of a figure
FIGURE = EVERY | {"metric", "unit", "median", "min", "max", "rounds", "ratio"}
# A field of a group needs the whole group.
TOGETHER = [{"low", "high"}, {"rival", "rival_ratio"}, {"rival_low", "rival_high"}]
NEEDS = {"target": "low", "rival_low": "rival", "rival_target": "rival"}
ORDERED = [("min", "median", "max"), ("low", "ratio", "high"), ("rival_low", "rival_ratio", "rival_high")]
MAY_BE_EMPTY = {"params"}  # and the contender of what isn't available to anyone

SKIPPED = 4  # what a benchmark answers that can't run on this machine
TIMED_OUT = (124, 137)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def faults(record):
    """What is wrong with a record; nothing if it is in order."""
    if not isinstance(record, dict):
        return ["it is no object"]
    wanted, allowed = FIGURE, TEXTS - set(INSTEAD) | NUMBERS
    for key in INSTEAD:
        if key in record:
            wanted = allowed = EVERY | {key}
    may_be_empty = MAY_BE_EMPTY | ({"contender"} if "not_available" in record else set())
    found = [f"there is no {key}" for key in sorted(wanted - set(record))]
    found += [f"unknown field {key}" for key in sorted(set(record) - allowed)]
    for key in sorted(TEXTS & set(record)):
        if not isinstance(record[key], str) or not (record[key] or key in may_be_empty):
            found.append(f"{key} is no text")
    for key in sorted(NUMBERS & set(record)):
        if not is_number(record[key]) and not no_ratio(record, key):
            found.append(f"{key} is no finite number")
    return found or list(inconsistencies(record))


def no_ratio(record, key):
    """A ratio to zero is null; only a figure without an interval can have it."""
    interval = {"ratio": "low", "rival_ratio": "rival_low"}
    return record[key] is None and key in interval and interval[key] not in record


def inconsistencies(record):
    """Of a record whose fields are known and of the right types."""
    for group in TOGETHER:
        if 0 < len(group & set(record)) < len(group):
            yield f"there is no {', '.join(sorted(group - set(record)))}"
    for key, other in NEEDS.items():
        if key in record and other not in record:
            yield f"{key} without {other}"
    for names in ORDERED:
        values = [record[name] for name in names if name in record]
        if None not in values and values != sorted(values):
            yield f"not in order: {', '.join(names)}"
    if "rival_target" in record and record.get("rival_ratio", 0) is None:
        yield "rival_target without a ratio"
    if "rounds" in record and (not isinstance(record["rounds"], int) or record["rounds"] < 1):
        yield "rounds is no count"


def read_records(path):
    """The records of one file; ValueError says why they are refused."""
    def refuse(constant):
        raise ValueError(f"{constant} is no finite number")

    try:
        records = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(records, list):
        raise ValueError(f"{path.name}: it is no list of records")
    for number, record in enumerate(records, 1):
        for fault in faults(record):
            raise ValueError(f"{path.name}: record {number}: {fault}")
    return records


def identity(record):
    return tuple(record.get(key, "") for key in ("bench", "params", "contender", "metric", *INSTEAD))


def merge(per_file):
    """The records of all files, those of one benchmark together and otherwise as they come; what is
    missing or not available once. ValueError if a figure is there twice."""
    merged = {}
    for records in per_file:
        for record in records:
            key = identity(record)
            if key in merged and "median" in record:
                raise ValueError("there twice: " + ", ".join(filter(None, key)))
            merged.setdefault(key, record)
    places = {}
    for record in merged.values():
        places.setdefault(record["bench"], len(places))
    return sorted(merged.values(), key=lambda record: places[record["bench"]])


def state_of(code):
    if code == "-":
        return "not run"
    known = {"0": "ok", str(SKIPPED): "n.a."} | {str(code): "timed out" for code in TIMED_OUT}
    return known.get(code, "failed")


def read_status(text):
    """One benchmark per line: what the report tells of it, and its files."""
    for row in text.splitlines():
        name, code, seconds, *files = row.split("\t")
        yield {"name": name, "state": state_of(code), "seconds": int(seconds)}, files


def collect(status, folder):
    """The benchmarks, and the records of all files that are in order."""
    benchmarks, per_file = [], []
    for benchmark, files in read_status(status):
        benchmarks.append(benchmark)
        for name in files if benchmark["state"] != "not run" else []:
            if benchmark["state"] != "ok" and not (folder / name).exists():
                continue
            try:
                records = read_records(folder / name)
                merge([*per_file, records])
                per_file.append(records)
            except ValueError as error:
                benchmark |= {"state": "failed", "reason": str(error)}
    return benchmarks, merge(per_file)


def text_of(run, records):
    def line(thing):
        return json.dumps(thing, ensure_ascii=False, allow_nan=False)

    return f'{{"run": {line(run)},\n"records": [\n' + ",\n".join(map(line, records)) + "\n]}\n"


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    build, status, out = (pathlib.Path(word) for word in sys.argv[1:4])
    benchmarks, records = collect(status.read_text(encoding="utf-8"), build)
    run = machine.describe(build, float(sys.argv[6]))
    run |= {"length": sys.argv[4], "command": sys.argv[5], "benchmarks": benchmarks}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text_of(run, records), encoding="utf-8")
    bad = [each for each in benchmarks if each["state"] in ("failed", "timed out")]
    for each in bad:
        print(f"{each['name']} {each['state'].upper()}" + (f": {each['reason']}" if "reason" in each else ""))
    if told := machine.busy(run):
        print(told)
    if not records:
        print("there is no record")
    return 1 if bad or not records else 0


if __name__ == "__main__":
    sys.exit(main())
