#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Makes of bench/results.json, a full run that was kept, what the README shows of it: the picture
docs/benchmarks.svg, and the sentences between the marks. So nothing is claimed that the file doesn't say.

usage: readme.py [--write]      without --write it fails if they would be others
"""
import json
import pathlib
import re
import sys
import textwrap

import report
import svg

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)

# label, benchmark, what its parameters look like
PICTURE = [
    ("pipes, 100 of 1000", "pipes", r"1000/100 plain"),
    ("with an idle timer", "pipes", r"1000/100 idle timer"),
    ("writing on and off", "pipes", r"1000/100 toggle"),
    ("10 000 timers: fire", "timers", r"10000 fire"),
    ("set later", "timers", r"10000 rearm later"),
    ("cancel", "timers", r"10000 cancel"),
    ("post, 1 thread", "post", r"1 producer"),
    ("post, 2 threads", "post", r"2 producers"),
    ("echo, 64 x 64 B", "echo", r"64 x 64 B, pipeline 1"),
]


def relative(group):
    """Of each family of contenders its fastest form, relative to rondo-epoll."""
    ours = [record["ratio"] for record in group if record["contender"] == report.MAIN]
    if len(ours) != 1 or not ours[0]:
        raise ValueError(f"{report.MAIN} has no ratio")
    best = {"rondo": 1.0}
    for record in group:
        name = svg.family(record["contender"])
        if name != "rondo" and name in svg.STYLES and record["ratio"]:
            best[name] = min(best.get(name, float("inf")), record["ratio"] / ours[0])
    return best


def picture(results):
    """ValueError if a row of it isn't in the results."""
    run, groups = results["run"], report.groups_of(results["records"])
    rows = []
    for label, bench, params in PICTURE:
        found = [group for key, group in groups.items()
                 if key[0] == bench and re.fullmatch(params, key[1]) and key[2] == "time"]
        if len(found) != 1:
            raise ValueError(f"{len(found)} results of {bench}: {params}")
        rows.append((label, relative(found[0])))
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items()
                         if name in svg.STYLES)
    length = "" if run["length"] == "full" else f", a {run['length']} run"
    notes = ["Medians; of each library its fastest form. raw: a hand-written epoll loop.", versions,
             f"{run['cpu']}, {run['kernel']}, {run['date'].split(' ')[0]}{length}"]
    return svg.picture(rows, "Time per operation, rondo = 1 (less is better)", notes)


def one(results, bench, params):
    """Our record of a comparison of time."""
    found = [record for record in results["records"] if record["bench"] == bench and
             record["params"] == params and record.get("metric") == "time" and
             record["contender"] == report.MAIN]
    if len(found) != 1:
        raise ValueError(f"{len(found)} results of {bench}: {params}")
    return found[0]


def sentences(results):
    run = results["run"]
    said = [report.verdict(low, high) for record, _, _, low, high, counts
            in report.comparisons(results["records"]) if counts and record["metric"] == "time"]
    less, more = said.count("below"), said.count("surely above")
    plain = one(results, "pipes", "1000/100 plain")["ratio"]
    fire, post, later = (one(results, *which)["rival_ratio"] for which in (
        ("timers", "10000 fire"), ("post", "1 producer"), ("timers", "10000 rearm later")))
    lazy = one(results, "timers", "10000 rearm later")
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"In {len(said)} comparisons of time with the best form of the best rival (an event loop; for `Handler` "
        f"a virtual call or std::function, for `kv_server` redis-server), rondo took less in {less} and more in "
        f"{more}, beyond the noise of this run; in the others the noise was greater than the difference. "
        f"An event of 100 active pipes out of 1000 took {plain:.2f} times what it takes in a loop written by "
        f"hand, firing one of 10 000 timers {fire:.2f} and a post from another thread {post:.2f} times what "
        f"the best rival takes, and moving one of 10 000 deadlines later {later:.1f} times "
        f"({lazy['rival_low']:.1f} to {lazy['rival_high']:.1f}; of {lazy['rival']}, which pays when the timer "
        f"fires). Measured on {run['date'].split(' ')[0]} at {run['commit']} by `{run['command']}` on "
        f"{run['cpu']}, {run['processors']} "
        f"processors, {run['kernel']}, {run['compiler']}, {run['flags']}, beside {versions}; all figures, "
        f"those that rivals win included, are in [bench/results.json](bench/results.json).")


def main(words, root=ROOT):
    if words not in ([], ["--write"]):
        sys.exit(__doc__)
    results = json.loads((root / "bench" / "results.json").read_text(encoding="utf-8"))
    drawing, readme = root / "docs" / "benchmarks.svg", root / "README.md"
    text = readme.read_text(encoding="utf-8")
    try:
        told = textwrap.fill(sentences(results), 110, break_long_words=False, break_on_hyphens=False)
        made = {drawing: picture(results), readme: MARKED.sub(lambda at: f"{at[1]}{told}\n{at[2]}", text)}
    except ValueError as error:
        print(f"readme.py: {error}")
        return 1
    if not MARKED.search(text):
        print(f"readme.py: no <!-- benchmarks --> and <!-- /benchmarks --> in {readme}")
        return 1
    for path, new in made.items():
        if words:
            path.write_text(new, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != new:
            print(f"readme.py: {path} isn't what bench/results.json makes of it")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
