#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Turns the records of a run (merge.py) into a page.

usage: report.py RESULTS OUT.html

The page needs nothing but itself: no scripts, nothing from the network, for the screen and for paper.
"""
import html
import json
import pathlib
import re
import sys

import machine
import svg
from records import exceeds, verdict_of

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #ffffff; --faint: #6a6f76;
        --line: #d5d8dc; --band: #f4f5f7; --bad: #b3261e; --good: #1b6e3c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e9; --paper: #15181c; --faint: #9aa1a9; --line: #3a3f46; --band: #1e2227;
          --bad: #ff8a80; --good: #7ed49a; } }
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --band: #fff; --bad: #000;
          --good: #000; }
  nav { display: none } body { font-size: 9pt } svg, tr { break-inside: avoid }
  h2 { break-after: avoid } }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; font: 15px/1.5 sans-serif;
       color: var(--ink); background: var(--paper); }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; margin: 0.7rem 0; font-size: 0.86em }
.wide { overflow-x: auto }
th, td { padding: 0.15rem 0.6rem; text-align: left; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.first td { border-top: 2px solid var(--line) } thead th { background: var(--band) }
.bad { color: var(--bad); font-weight: bold } .good { color: var(--good) } .faint { color: var(--faint) }
svg { max-width: 100%; height: auto; display: block; margin: 0.5rem 0 } svg text { fill: var(--ink) }
code { overflow-wrap: anywhere }
"""

METHOD = ["""
Contenders take turns. Each round gives one ratio per contender to the baseline of the same round, which
is the contender of the group's first row; a ratio is the median of the rounds, and beside it is the 95 %
interval of the median. With fewer than 6 rounds no interval has 95 %: then it is all values. A figure
without an interval was taken once, or is a median without pairs. Less is better, except for rates (units
that end with /s). A benchmark fails if its contenders did different work. Names that begin with rondo are
ours, raw is written by hand on the system calls, all others are rivals.
""", """
Each benchmark was one process, with its servers beside it (build alone starts new ones in each round).
Where code and data lie was drawn once, and can cost or save some percent; an interval holds only the noise
within the process. Another run, or another build, may give a ratio outside of it, so a difference of a few
percent is no proof, even if the interval is narrow.
""", """
libev, libevent and libuv are the distribution's shared libraries, compiled by its flags and called through
the linker's table, unless they are told as static above. rondo, asio and raw are compiled into the
program, where the compiler can inline them. With --rival run.sh builds a rival statically from its source,
with the flags of all others.
"""]

MAIN = "rondo-epoll"


def is_ours(name):
    return name.startswith("rondo")


def is_rival(name):
    return not is_ours(name) and not name.startswith("raw")


def more_is_better(record):
    return record["unit"].endswith("/s")


def figures_in(records):
    """Those that aren't about who is missing, or what isn't available."""
    return [record for record in records if "median" in record]


def groups_of(records):
    """Those with the same benchmark, parameters and metric, as they come; the first is the baseline."""
    groups = {}
    for record in figures_in(records):
        groups.setdefault((record["bench"], record["params"], record["metric"]), []).append(record)
    return groups


def spoken_for(group):
    """Our records of a group that are compared with the rivals: rondo-epoll where it takes part."""
    ours = [record for record in group if is_ours(record["contender"])]
    return [record for record in ours if record["contender"] == MAIN] or ours


def verdict(low, high):
    """Of an interval of ratios to a rival, where less is better."""
    return "surely above" if low > 1 else "below" if high < 1 else "not distinguishable"


def comparisons(records):
    """(record, rival, ratio, low, high, counts) of everything of ours that was paired with a rival: with
    the best one, and with the baseline if that is a rival. What was measured once counts once: parameters
    that end with ", beside ..." repeat others, and the baseline comes after the best rival."""
    for (_, params, _), group in groups_of(records).items():
        baseline, counts = group[0]["contender"], ", beside " not in params
        for record in spoken_for(group):
            best = "rival_low" in record
            if best:
                yield (record, record["rival"], record["rival_ratio"], record["rival_low"],
                       record["rival_high"], counts)
            if is_rival(baseline) and baseline != record.get("rival") and "low" in record:
                yield record, baseline, record["ratio"], record["low"], record["high"], counts and not best


def single_losses(records):
    """(record, other) where a rival has the better figure, for figures without intervals."""
    for group in groups_of(records).values():
        for record in spoken_for(group):
            for other in group:
                if "low" in record or not is_rival(other["contender"]):
                    continue
                sign = -1 if more_is_better(record) else 1
                if sign * record["median"] > sign * other["median"]:
                    yield record, other


def judged(records):
    """(record, what of it, figure, low, high, most, verdict) of every target and limit."""
    for record in records:
        if "target" in record:
            yield (record, "to the baseline", record["ratio"], record["low"], record["high"],
                   record["target"], verdict_of(record, "target"))
        if "rival_target" in record:
            yield (record, f"to {record['rival']}", record["rival_ratio"], record.get("rival_low"),
                   record.get("rival_high"), record["rival_target"], verdict_of(record, "rival_target"))
        if "limit" in record:
            yield (record, record["unit"], record["median"], None, None, record["limit"],
                   "MISSED" if exceeds(record) else "met")


def escape(thing):
    return html.escape(str(thing))


def number(value):
    if value is None:
        return "n.a."
    if value == 0 or 0.001 <= abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:.3g}" if abs(value) < 0.001 else f"{value:,.1f}".replace(",", "\u202f")


def between(low, high):
    return "" if low is None else f"[{number(low)} {number(high)}]"


def cell(thing, kind=""):
    """Text is escaped here; `kind` is a class: n for a number, good or bad."""
    return f'<td class="{kind}">{escape(thing)}</td>' if kind else f"<td>{escape(thing)}</td>"


def row(*cells, first=False):
    return f"<tr{' class=first' if first else ''}>{''.join(cells)}</tr>"


def table(heads, rows):
    """Heads that end with # are those of numbers."""
    head = "".join(f'<th class="n">{escape(name[:-1])}</th>' if name.endswith("#") else
                   f"<th>{escape(name)}</th>" for name in heads)
    return (f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n' + "\n".join(rows) +
            "\n</tbody></table></div>")


def conditions(run):
    linked = {name: f" ({how})" for name, how in run["linked"].items()}
    versions = ", ".join(f"{name} {version}{linked.get(name, '')}"
                         for name, version in run["versions"].items())
    facts = [("Machine", f"{run['cpu']}, {run['processors']} processors"),
             ("Load average before", f"{run['load']:.2f}"), ("Kernel", run["kernel"]),
             ("Compiler", f"{run['compiler']}, {run['flags']}"), ("Compared with", versions or "nothing"),
             ("rondo", run["commit"]), ("Date", run["date"]), ("Length", run["length"]),
             ("Command", run["command"])]
    rows = [row(f"<th>{escape(name)}</th>", cell(fact)) for name, fact in facts]
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def benchmarks(run):
    """Which were run, and how they ended."""
    rows = []
    for each in run["benchmarks"]:
        bad = each["state"] in ("failed", "timed out")
        state = each["state"].upper() if bad else each["state"]
        ran = each["state"] != "not run"
        rows.append(row(cell(each["name"]), cell(state, "bad" if bad else "good" if ran else "faint"),
                        cell(each["seconds"] if ran else "", "n"), cell(each.get("reason", ""))))
    return table(["benchmark", "state", "seconds#", ""], rows)


def alarms(run, records):
    """What a reader must know before any figure."""
    found = [f"{each['name']} {each['state']}: its figures are incomplete or wrong."
             for each in run["benchmarks"] if each["state"] in ("failed", "timed out")]
    found += [f"{record['bench']}: {record['contender']} is missing (install {record['missing']})."
              for record in records if "missing" in record]
    if told := machine.busy(run):
        found.append(told)
    skipped = [each["name"] for each in run["benchmarks"] if each["state"] in ("not run", "n.a.")]
    if skipped:
        found.append("Not run: " + ", ".join(skipped) + ".")
    if run["length"] != "full":
        found.append(f"This was a {run['length']} run: a first impression, no measurement.")
    return "".join(f'<p class="bad">{escape(text)}</p>\n' for text in found)


def not_available(records):
    """A table, if there is something in it."""
    rows = [row(*(cell(record[key]) for key in ("bench", "params", "contender", "not_available")))
            for record in records if "not_available" in record]
    heads = ["benchmark", "parameters", "contender", "why"]
    return "<h2>Not available</h2>\n" + table(heads, rows) if rows else ""


def where_rivals_win(records):
    told = {"surely above": 0, "not distinguishable": 0, "below": 0}
    rows, repeated = [], 0
    for record, rival, ratio, low, high, counts in comparisons(records):
        if counts:
            told[verdict(low, high)] += 1
        else:
            repeated += 1
        if ratio > 1:
            word = verdict(low, high)
            rows.append(row(cell(record["bench"]), cell(record["params"]), cell(record["metric"]),
                            cell(record["contender"]), cell(rival), cell(number(ratio), "n"),
                            cell(between(low, high), "n"),
                            cell(word, "bad" if word == "surely above" else "")))
    for record, other in single_losses(records):
        rows.append(row(cell(record["bench"]), cell(record["params"]), cell(record["metric"]),
                        cell(record["contender"]), cell(other["contender"]),
                        cell(f"{number(record['median'])} to {number(other['median'])}", "n"),
                        cell(record["unit"]), cell("single figure")))
    words = (f"{sum(told.values())} paired comparisons of rondo with a rival, the best one of the same "
             f"rounds: {told['below']} surely below 1 (rondo needs less), {told['not distinguishable']} not "
             f"distinguishable, {told['surely above']} surely above 1 (the rival needs less). "
             f"{repeated} more set the same measurements beside another rival and aren't counted. The table "
             "has every ratio above 1, counted or not, and every figure without an interval that is better "
             "for a rival.")
    heads = ["benchmark", "parameters", "metric", "ours", "rival", "ratio#", "interval#", ""]
    return f"<p>{words}</p>\n" + (table(heads, rows) if rows else "<p>There is none.</p>")


def targets(records):
    styles = {"met": "good", "open": "", "MISSED": "bad"}
    rows = [row(cell(record["bench"]), cell(record["params"]), cell(record["metric"]),
                cell(record["contender"]), cell(what), cell(number(figure), "n"),
                cell(between(low, high), "n"), cell(f"{most:g}", "n"), cell(word, styles[word]))
            for record, what, figure, low, high, most, word in judged(records)]
    met, still_open, missed = (sum(entry[-1] == word for entry in judged(records)) for word in styles)
    heads = ["benchmark", "parameters", "metric", "contender", "what", "figure#", "interval#", "at most#", ""]
    if not rows:
        return "<p>There is none.</p>"
    return (f"<p>{len(rows)} targets and limits: {met} met, {still_open} open, {missed} missed. A target is "
            "met when the upper end of the interval isn't above it, and missed when the lower end is; "
            "otherwise it is open, and with fewer than 6 rounds also what would be met: this run can't tell. "
            "Counts have no interval, and leave nothing open.</p>\n" + table(heads, rows))


def plots(groups):
    """Per metric, so that figures of one kind are on one axis."""
    parts = []
    for metric in dict.fromkeys(key[2] for key in groups):
        shown = [(params or metric, [(record["contender"], record["ratio"], record.get("low"),
                                      record.get("high")) for record in group])
                 for (_, params, other), group in groups.items() if other == metric]
        better = "more" if more_is_better(next(group for key, group in groups.items()
                                               if key[2] == metric)[0]) else "less"
        parts += svg.dot_plots(shown, f"{metric}, ratio to the baseline ({better} is better)")
    return "".join(parts)


def figures(groups):
    heads = ["parameters", "metric", "contender", "median#", "least#", "most#", "unit", "rounds#", "ratio#",
             "interval#", "beside the best rival"]
    rows = []
    for (_, params, metric), group in groups.items():
        for place, record in enumerate(group):
            rival = ""
            if "rival" in record:
                rival = (f"{number(record['rival_ratio'])} "
                         f"{between(record.get('rival_low'), record.get('rival_high'))} of "
                         f"{record['rival']}")
            rows.append(row(cell(params), cell(metric), cell(record["contender"]),
                            *(cell(number(record[key]), "n") for key in ("median", "min", "max")),
                            cell(record["unit"]), cell(record["rounds"], "n"),
                            cell(number(record["ratio"]), "n"),
                            cell(between(record.get("low"), record.get("high")), "n"), cell(rival),
                            first=place == 0))
    return table(heads, rows)


def page(results):
    run, records = results["run"], results["records"]
    groups = groups_of(records)
    names = list(dict.fromkeys(record["bench"] for record in figures_in(records)))
    links = "".join(f' <a href="#{escape(name)}">{escape(name)}</a>' for name in names)
    parts = [f"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>rondo: benchmarks"
             f"</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style>"
             "</head>\n<body>\n<h1>rondo: benchmarks</h1>\n", alarms(run, records), conditions(run),
             f"<nav>{links}</nav>\n", *(f"<p>{part}</p>\n" for part in METHOD), benchmarks(run),
             not_available(records), "<h2>Where a rival wins</h2>\n", where_rivals_win(records),
             "<h2>Targets</h2>\n", targets(records)]
    for name in names:
        mine = {key: group for key, group in groups.items() if key[0] == name}
        parts += [f'<section><h2 id="{escape(name)}">{escape(name)}</h2>\n', plots(mine), figures(mine),
                  "</section>\n"]
    return "".join([*parts, "</body></html>\n"])


def main(words):
    if len(words) != 2:
        sys.exit(__doc__)
    results = json.loads(pathlib.Path(words[0]).read_text(encoding="utf-8"))
    pathlib.Path(words[1]).write_text(page(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
