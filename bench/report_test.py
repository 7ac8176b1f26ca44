#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""merge.py, report.py and svg.py (svg_test.py): what they must refuse, and what they must not keep silent
about."""
import contextlib
import html.parser
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import counts
import machine
import merge
import records as written
import report
import svg
from svg_test import SVG, Drawings, inside  # unittest finds Drawings here

VOID = {"meta", "br", "hr", "img", "link"}


def timed(contender, ratio=1.0, params="p", **more):
    record = {"bench": "pipes", "params": params, "contender": contender, "metric": "time", "unit": "ns",
              "median": 100 * ratio, "min": 90 * ratio, "max": 120 * ratio, "rounds": 15, "ratio": ratio,
              "low": ratio - 0.01, "high": ratio + 0.01}
    return record | more


def single(contender, value, **more):
    record = {"bench": "idle", "params": "p", "contender": contender, "metric": "memory", "unit": "bytes",
              "median": value, "min": value, "max": value, "rounds": 1, "ratio": value}
    return record | more


def paired(rival, ratio, low, high, **more):
    return timed("rondo-epoll", rival=rival, rival_ratio=ratio, rival_low=low, rival_high=high, **more)


def missing(contender="libev", package="libev-dev"):
    return {"bench": "pipes", "params": "", "contender": contender, "missing": package}


def not_available(params="p", contender="libev", reason="too few"):
    return {"bench": "pipes", "params": params, "contender": contender, "not_available": reason}


def results(records, **more):
    run = {"cpu": "a processor", "processors": 2, "load": 0.25, "kernel": "a kernel",
           "compiler": "a compiler", "flags": "-O2", "versions": {"libev": "4.33"},
           "linked": {"libev": "shared"}, "date": "2026-01-02 03:04 UTC",
           "commit": "abc", "length": "full", "command": "bench/run.sh", "benchmarks": []}
    return {"run": run | more, "records": records}


def quietly(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


class Page(html.parser.HTMLParser):
    """A page in which every element that is opened is closed, in the right order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.rows, self.words = [], [], [], []
        self.heads, self.head = [], 0
        self.feed(text)
        self.close()
        self.wrong += self.open
        # In each table all rows are as long as its head; one without a head has two columns.
        self.wrong += [row for row, head in zip(self.rows, self.heads)
                       if head is not None and len(row) != (head or 2)]

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.heads.append(None if "thead" in self.open else self.head)
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "script" or any(name in ("src", "style") or name.startswith("on") or
                                  (name == "href" and not value.startswith("#"))
                                  for name, value in attributes):
            self.wrong.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append("/" + tag)
        if tag in ("thead", "table"):
            self.head = len(self.rows[-1]) if tag == "thead" else 0

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def section(page, heading):
    """The rows of the table below a heading, and all of its words."""
    part = page.split(f"<h2>{heading}</h2>")[1].split("<h2")[0]
    parsed = Page(part)
    return parsed.rows[1:], " ".join(parsed.words)


class Faults(unittest.TestCase):
    def test_what_is_in_order(self):
        for record in (timed("raw"), timed("rondo-epoll", target=1.2), missing(), single("raw", 0),
                       not_available(), not_available("", ""), not_available(contender=""),
                       timed("raw", params=""), single("raw", 1, ratio=None), single("raw", 1, limit=0),
                       paired("libev", 1, 0.9, 1.1, rival_target=1.0),
                       single("rondo", 1, rival="asio", rival_ratio=0.5, rival_target=0.6),
                       single("rondo", 1, rival="asio", rival_ratio=None)):
            self.assertEqual(merge.faults(record), [], record)

    def test_no_field_may_lack(self):
        for key in ("bench", "params", "contender", "metric", "unit", "median", "min", "max", "rounds",
                    "ratio", "low", "high"):
            self.assertTrue(merge.faults({name: value for name, value in timed("raw").items()
                                          if name != key}), key)
        for key in ("rival", "rival_ratio", "rival_low", "rival_high"):
            record = paired("libev", 1, 0.9, 1.1)
            self.assertTrue(merge.faults({name: value for name, value in record.items() if name != key}),
                            key)
        for key in ("bench", "params", "contender"):
            for record in (missing(), not_available()):
                self.assertTrue(merge.faults({name: value for name, value in record.items()
                                              if name != key}), key)

    def test_types(self):
        full = paired("libev", 1, 0.9, 1.1, target=1, rival_target=1, limit=1000)
        self.assertEqual(merge.faults(full), [])
        for key, value in full.items():
            wrong = [None, [], {}, True, 1 if isinstance(value, str) else "1"]
            wrong += [""] if isinstance(value, str) and key != "params" else []
            wrong += [] if isinstance(value, str) else [float("nan"), float("inf"), -float("inf")]
            for bad in wrong:
                self.assertTrue(merge.faults(full | {key: bad}), (key, bad))
        for bad in (0, -1, 1.5):
            self.assertTrue(merge.faults(timed("raw", rounds=bad)), bad)
        self.assertTrue(merge.faults(missing(package="")))
        self.assertTrue(merge.faults(missing(contender="")))
        self.assertTrue(merge.faults(not_available(reason="")))
        self.assertTrue(merge.faults(not_available(reason=1)))
        self.assertTrue(merge.faults(timed("")), "only what isn't available needs no contender")
        for bad in (None, 1, "text", [timed("raw")]):
            self.assertTrue(merge.faults(bad))

    def test_unknown_fields(self):
        self.assertEqual(merge.faults(timed("raw", median_ns=1)), ["unknown field median_ns"])
        self.assertEqual(merge.faults(missing() | {"median": 1}), ["unknown field median"])
        self.assertEqual(merge.faults(not_available() | {"median": 1}), ["unknown field median"])
        for more in (missing(), timed("libev")):
            self.assertTrue(merge.faults(not_available() | more))

    def test_what_contradicts_itself(self):
        for more in ({"low": 1.001}, {"high": 0.999}, {"min": 100.5}, {"max": 99.5}):
            self.assertTrue(merge.faults(timed("raw") | more), more)
        for low, high in ((1.01, 1.1), (0.9, 0.99)):
            self.assertTrue(merge.faults(paired("libev", 1, low, high)))
        self.assertTrue(merge.faults(single("raw", 1, target=1)), "a target of what has no interval")
        self.assertTrue(merge.faults(single("raw", 1, rival_target=1)), "without a rival")
        self.assertTrue(merge.faults(single("raw", 1, rival="a", rival_ratio=None, rival_target=1)))
        self.assertTrue(merge.faults(single("raw", 1, rival_low=1, rival_high=1)), "without a rival")


class Merging(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, records):
        text = records if isinstance(records, str) else json.dumps(records)
        (self.folder / name).write_text(text, encoding="utf-8")

    def test_order_is_kept_within_a_benchmark(self):
        first = [timed("b"), single("x", 1), timed("a"), missing()]
        second = [single("a", 1), timed("z"), missing()]
        names = [(record["bench"], record["contender"]) for record in merge.merge([first, second])]
        self.assertEqual(names, [("pipes", "b"), ("pipes", "a"), ("pipes", "libev"), ("pipes", "z"),
                                 ("idle", "x"), ("idle", "a")])

    def test_twice(self):
        for more in ({}, {"median": 101}):
            with self.assertRaisesRegex(ValueError, "twice: pipes, p, raw, time"):
                merge.merge([[timed("raw")], [timed("raw") | more]])
        both = [not_available("", "libev"), missing(), not_available("", "libev", "other")]
        self.assertEqual(merge.merge([both, both]), both)
        for key in ("bench", "params", "contender", "metric"):
            self.assertEqual(len(merge.merge([[timed("raw"), timed("raw") | {key: "other"}]])), 2)

    def test_files_that_are_refused(self):
        for text, said in (("[", "a.json: "), ("{}", "no list"), ("[1]", "record 1: it is no object"),
                           ('[{"a": NaN}]', "NaN"), ("[NaN]", "NaN"),
                           (json.dumps([timed("raw"), timed("b", x=1)]), "record 2: unknown field x")):
            self.write("a.json", text)
            with self.assertRaisesRegex(ValueError, said):
                merge.read_records(self.folder / "a.json")
        with self.assertRaisesRegex(ValueError, "none.json"):
            merge.read_records(self.folder / "none.json")

    def test_how_each_benchmark_ended(self):
        for name in ("good", "bad", "old", "slow"):
            self.write(name + ".json", [timed(name)])
        self.write("wrong.json", [timed("wrong", x=1)])
        self.write("again.json", [timed("good")])
        status = "".join(f"{name}\t{code}\t{seconds}\t{name}.json\n" for name, code, seconds in (
            ("good", "0", 3), ("bad", "1", 4), ("old", "-", 0), ("slow", "124", 9), ("dead", "137", 9),
            ("skipped", "4", 0), ("wrong", "0", 1), ("absent", "0", 1), ("crashed", "139", 1),
            ("again", "0", 1)))
        benchmarks, records = merge.collect(status, self.folder)
        self.assertEqual({each["name"]: each["state"] for each in benchmarks}, {
            "good": "ok", "bad": "failed", "old": "not run", "slow": "timed out", "dead": "timed out",
            "skipped": "n.a.", "wrong": "failed", "absent": "failed", "crashed": "failed",
            "again": "failed"})
        self.assertEqual([record["contender"] for record in records], ["good", "bad", "slow"])
        self.assertEqual([each["seconds"] for each in benchmarks][:4], [3, 4, 0, 9])
        reasons = {each["name"]: each["reason"] for each in benchmarks if "reason" in each}
        self.assertEqual(sorted(reasons), ["absent", "again", "wrong"])
        self.assertIn("unknown field x", reasons["wrong"])

    def test_a_bad_file_leaves_the_good_one_of_its_benchmark(self):
        self.write("a.json", [timed("raw")])
        benchmarks, records = merge.collect("kv\t0\t1\ta.json\tb.json\n", self.folder)
        self.assertEqual((benchmarks[0]["state"], len(records)), ("failed", 1))

    def run_main(self, code, load="0.1", told=None):
        self.write("status", f"pipes\t{code}\t1\tpipes.json\n")
        words = ["merge.py", str(self.folder), str(self.folder / "status"),
                 str(self.folder / "out" / "results.json"), "quick", "run.sh --quick", load]
        before, sys.argv = sys.argv, words
        try:
            with contextlib.redirect_stdout(told or io.StringIO()):
                return merge.main()
        finally:
            sys.argv = before

    def test_the_whole(self):
        self.write("pipes.json", [timed("raw"), timed("rondo-epoll")])
        self.assertEqual(self.run_main("0"), 0)
        text = (self.folder / "out" / "results.json").read_text(encoding="utf-8")
        made = json.loads(text)
        self.assertEqual(made["records"], [timed("raw"), timed("rondo-epoll")])
        self.assertEqual([json.loads(line.rstrip(",")) for line in text.splitlines()
                          if line.startswith('{"bench"')], made["records"])
        self.assertEqual([made["run"][key] for key in ("length", "command", "load")],
                         ["quick", "run.sh --quick", 0.1])
        self.assertEqual(set(made["run"]), set(results([])["run"]))
        report.page(made)
        self.assertEqual(self.run_main("1"), 1)
        self.assertEqual(self.run_main("124"), 1)
        self.write("pipes.json", [])
        self.assertEqual(self.run_main("0"), 1, "nothing was measured")

    def test_the_terminal_tells_that_the_machine_was_busy(self):
        self.write("pipes.json", [timed("raw")])
        for load, busy in (("0", False), ("1000.5", True)):
            told = io.StringIO()
            self.assertEqual(self.run_main("0", load, told), 0)
            self.assertEqual("1000.50" in told.getvalue() and "busy machine" in told.getvalue(), busy, load)

    def test_half_a_processor_is_busy(self):
        for load, processors, busy in ((0.5, 1, False), (0.51, 1, True), (1.0, 2, False), (1.01, 2, True)):
            self.assertEqual(bool(machine.busy({"load": load, "processors": processors})), busy)

    @unittest.skipUnless(shutil.which("bash"), "no bash")
    def test_the_load_is_read_before_anything_is_built(self):
        lines = (machine.HERE / "run.sh").read_text(encoding="utf-8").split('\nread_words "$@"\n')[1]
        before, after = lines.split("\nbuild_benchmarks\n")
        said = subprocess.run(["bash", "-c", before.splitlines()[0] + '\necho "$load"'], capture_output=True,
                              text=True, check=True).stdout
        self.assertRegex(said, r"^\d+\.\d\d\n$")
        self.assertRegex(after, r'python3 bench/merge\.py[^|]* "\$load" \|\|')

    def test_how_rivals_get_into_the_programs(self):
        cache = {"RONDO_LIBEV": "/usr/lib/libev.so", "RONDO_LIBUV": "/build/rival-libuv/lib/libuv.a"}
        self.assertEqual([machine.linked(name, cache) for name in ("libev", "libuv", "asio")],
                         ["shared", "static", "compiled in"])

    @unittest.skipUnless(shutil.which("c++"), "no compiler")
    def test_versions_of_the_headers_that_were_compiled_against(self):
        self.write("ev.h", "#define EV_VERSION_MAJOR 4\n#define EV_VERSION_MINOR 99\n")
        cache = {"RONDO_LIBEV_INCLUDE": str(self.folder), "RONDO_LIBUV_INCLUDE": "X-NOTFOUND"}
        self.assertEqual(machine.version_of("libev", cache), "4.99")
        self.assertEqual([machine.version_of(name, cache) for name in ("libuv", "asio")], ["", ""])
        self.write("CMakeCache.txt", f"# it\nRONDO_LIBEV_INCLUDE:PATH={self.folder}\nA:STRING=b=c\n")
        self.assertEqual(machine.cache_of(self.folder) | {"A": "b=c"}, machine.cache_of(self.folder))
        described = machine.describe(self.folder, 0.5)
        self.assertEqual((described["versions"]["libev"], described["load"]), ("4.99", 0.5))
        self.assertNotIn("libuv", described["versions"])
        self.assertEqual(described["linked"]["libev"], "shared")
        self.assertNotIn("libuv", described["linked"])

    def test_commands_that_fail_tell_nothing(self):
        self.assertEqual(machine.output("false"), "")
        self.assertEqual(machine.output("no-such-command"), "")
        self.assertEqual(machine.output("cat", given="it"), "it")

    def test_versions(self):
        for name, said, wanted in (("asio", "102201", "1.22.1"), ("libuv", "1 . 44 . 2", "1.44.2"),
                                   ("libevent", '"2.1.12-stable"', "2.1.12-stable"),
                                   ("libev", "EV_VERSION_MAJOR . 3", ""),
                                   ("libev", "433", "433"), ("asio", "ASIO_VERSION", "")):
            self.assertEqual(machine.readable(name, said), wanted)


class Verdicts(unittest.TestCase):
    def test_of_an_interval(self):
        for low, high, word in ((1.01, 1.2, "surely above"), (1.0, 1.2, "not distinguishable"),
                                (0.9, 1.0, "not distinguishable"), (0.8, 0.99, "below")):
            self.assertEqual(report.verdict(low, high), word)

    def test_ours_and_rivals(self):
        for name, ours, rival in (("rondo-epoll", True, False), ("rondo", True, False),
                                  ("raw-edge", False, False), ("libev", False, True),
                                  ("redis-server", False, True)):
            self.assertEqual((report.is_ours(name), report.is_rival(name)), (ours, rival), name)

    def test_a_rival_that_wins_is_listed(self):
        records = [timed("raw", params="a"), paired("libev", 1.2, 1.1, 1.3, params="a"),
                   timed("raw", params="b"), paired("libuv", 1.05, 0.98, 1.1, params="b"),
                   timed("raw", params="c"), paired("asio", 0.97, 0.9, 1.01, params="c"),
                   timed("raw", params="d"), paired("asio", 0.8, 0.7, 0.9, params="d"),
                   timed("raw", params="e"), paired("asio", 1.0, 0.9, 1.1, params="e")]
        rows, words = section(report.page(results(records)), "Where a rival wins")
        self.assertEqual([(row[1], row[4], row[5], row[7]) for row in rows],
                         [("a", "libev", "1.200", "surely above"),
                          ("b", "libuv", "1.050", "not distinguishable")])
        self.assertEqual(rows[0][6], "[1.100 1.300]")
        self.assertEqual(report.page(results(records)).count('<td class="bad">surely above</td>'), 1)
        self.assertRegex(words.strip(), r"^5 paired comparisons of rondo with a rival, .*?: "
                                        r"1 surely below 1 \(.*?\), "
                                        r"3 not distinguishable, 1 surely above 1 \(.*?\)\. 0 more ")

    def test_what_is_repeated_is_listed_but_not_counted(self):
        beside = "a, beside libuv"
        below, above = {"ratio": 0.8, "low": 0.7, "high": 0.85}, {"ratio": 1.15, "low": 1.1, "high": 1.2}
        records = [timed("raw", params="a"), paired("libev", 1.1, 1.05, 1.2, params="a"),
                   timed("libuv", params=beside), paired("libuv", 1.2, 1.1, 1.3, params=beside),
                   timed("libev", params="b"), paired("asio", 0.9, 0.8, 0.95, params="b") | below,
                   timed("libev", params="c"), paired("asio", 1.3, 1.2, 1.4, params="c") | above]
        rows, words = section(report.page(results(records)), "Where a rival wins")
        self.assertEqual([(row[1], row[4], row[7]) for row in rows],
                         [("a", "libev", "surely above"), (beside, "libuv", "surely above"),
                          ("c", "asio", "surely above"), ("c", "libev", "surely above")])
        self.assertRegex(words.strip(), r"^3 paired .*?: 1 surely below 1 .*?, 0 not .*?, 2 surely above 1 "
                                        r"\(.*?\)\. 3 more ")

    def test_a_baseline_that_is_a_rival_counts(self):
        rows, words = section(report.page(results([timed("libev"), timed("rondo-epoll", 1.3)])),
                              "Where a rival wins")
        self.assertEqual([row[4] for row in rows], ["libev"])
        self.assertTrue(words.strip().startswith("1 paired"), words)
        both = list(report.comparisons([timed("libev"), paired("libev", 0.9, 0.8, 1.0)]))
        self.assertEqual([found[1] for found in both], ["libev"], "not twice")
        self.assertEqual(list(report.comparisons([timed("raw"), timed("rondo-epoll", 1.3)])), [])

    def test_only_the_main_contender_speaks_where_it_takes_part(self):
        loser = timed("rondo-poll", 2, rival="libev", rival_ratio=2, rival_low=2, rival_high=2)
        self.assertEqual(len(list(report.comparisons([timed("raw"), loser]))), 1)
        both = list(report.comparisons([timed("raw"), loser, paired("libev", 1, 0.9, 1.1)]))
        self.assertEqual([found[0]["contender"] for found in both], ["rondo-epoll"])

    def test_single_figures(self):
        records = [single("raw", 1), single("rondo-epoll", 5), single("libev", 4), single("asio", 5),
                   single("libuv", 6)]
        lost = [other["contender"] for _, other in report.single_losses(records)]
        self.assertEqual(lost, ["libev"])
        rates = [record | {"unit": "messages/s"} for record in records]
        lost = [other["contender"] for _, other in report.single_losses(rates)]
        self.assertEqual(lost, ["libuv"])
        rows, _ = section(report.page(results(records)), "Where a rival wins")
        self.assertEqual([(row[4], row[5], row[7]) for row in rows],
                         [("libev", "5.000 to 4.000", "single figure")])
        self.assertEqual(list(report.single_losses([timed("libev"), timed("rondo-epoll", 2)])), [])
        counted = single("rondo-epoll", 5, rival="libev", rival_ratio=1.25)
        self.assertEqual(list(report.comparisons([single("raw", 1), counted, single("libev", 4)])), [])

    def test_targets(self):
        records = [timed("rondo-epoll", 1.1, target=1.09), timed("rondo-epoll", 1.1, "b", target=1.08),
                   paired("libev", 0.9, 0.8, 1.0, rival_target=0.8, params="c"),
                   paired("libev", 0.9, 0.8, 1.0, rival_target=0.79, params="d"),
                   single("rondo-epoll", 3, limit=3), single("rondo-epoll", 3.1, limit=3, params="e"),
                   timed("rondo-epoll", 1.1, "f", target=1.11), timed("rondo-epoll", 1.1, "g", target=1.10),
                   paired("libev", 0.9, 0.8, 1.0, rival_target=1.0, params="h"),
                   paired("libev", 0.9, 0.8, 1.0, rival_target=0.99, params="i"),
                   single("rondo-epoll", 0, limit=0, params="j"), single("raw", 2, limit=3, params="k")]
        text = report.page(results(records))
        rows, words = section(text, "Targets")
        self.assertEqual([(row[1], row[8]) for row in rows],
                         [("p", "open"), ("b", "MISSED"), ("c", "open"), ("d", "MISSED"), ("p", "met"),
                          ("e", "MISSED"), ("f", "met"), ("g", "open"), ("h", "met"), ("i", "open"),
                          ("j", "met"), ("k", "met")])
        self.assertEqual([row[7] for row in rows][:6], ["1.09", "1.08", "0.8", "0.79", "3", "3"])
        self.assertEqual([row[5] for row in rows][1:5], ["1.100", "0.900", "0.900", "3.000"])
        self.assertIn("12 targets and limits: 5 met, 4 open, 3 missed", words)
        self.assertEqual([text.count(f'<td class="{style}">{word}<') for style, word in
                          (("good", "met"), ("bad", "MISSED"), ("good", "open"))], [5, 3, 0])
        self.assertIn("There is none.", section(report.page(results([])), "Targets")[1])

    def test_few_rounds_meet_no_target(self):
        for rounds, word in ((5, "open"), (6, "met")):
            records = [paired("libev", 0.5, 0.4, 0.6, target=most, rival_target=most, rounds=rounds,
                              params=f"at most {most}") for most in (9, 0.1)]
            rows, _ = section(report.page(results(records)), "Targets")
            self.assertEqual([row[8] for row in rows], [word, word, "MISSED", "MISSED"])

    def test_counts_leave_nothing_open(self):
        for value, word in ((1.0, "met"), (1.01, "MISSED")):
            record = single("rondo-epoll", 3, rival="libev", rival_ratio=value, rival_target=1)
            rows, _ = section(report.page(results([record])), "Targets")
            self.assertEqual([row[8] for row in rows], [word])

    def test_chance_adds_calls_only_where_it_can(self):
        def kept(more, chance):
            question = counts.Question("b", "p", "system calls", "per message", "", 1000, 3000, 0.0, "limit",
                                       chance=chance)
            each = {"raw": 3.0, "rondo-epoll": 3 + more / 2000, "libev": 3.0}
            return quietly(lambda: counts.judge(question, each)[1])

        self.assertTrue(kept(4, chance=4))
        self.assertFalse(kept(5, chance=4))
        self.assertTrue(kept(0, chance=0))
        self.assertFalse(kept(1, chance=0))


PROGRAM = r"""
#include "bench/harness.hpp"
int main(int argc, char** argv) {
    bench::Report report("pipes", bench::Options(argc, argv));
    std::string order;
    std::vector<bench::Contender> turns;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
        turns.push_back({name, [&order, name] { order += name; return bench::Sample{1, 7}; }});
    }
    report.compare("order", turns);
    std::printf("order %s\n", order.c_str());
    const auto always = [](double time) { return [time] { return bench::Sample{time, 7}; }; };
    const auto noisy = [round = 0]() mutable { return bench::Sample{round++ % 2 ? 0.5 : 1.5, 7}; };
    report.compare("targets", {{"raw", always(1)}, {"libev", always(2)},
                               {"rondo-a", always(1), 1, 0.4}, {"rondo-b", noisy, 1.25, 0.625},
                               {"rondo-c", always(4), 1.25, 2}});
    report.not_available("p", "libev", "too few");
    report.not_available("p", "", "\"no\" \\ memory");
    report.not_available("", "libuv", "too old");
    report.not_available("", "", "one processor");
    return report.finish();
}
"""


@unittest.skipUnless(shutil.which("c++"), "no compiler")
class Harness(unittest.TestCase):
    """What harness.hpp prints and leaves."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run(["c++", "-std=c++20", "-I", machine.HERE.parent, "-xc++", "-", "-o",
                        cls.folder / "program"], input=PROGRAM, text=True, check=True)

    def play(self, rounds):
        """What it prints, and its records by parameters and contender."""
        file = self.folder / "records.json"
        done = subprocess.run([self.folder / "program", "--pairs", str(rounds), "--json", file],
                              capture_output=True, text=True, check=True)
        records = merge.read_records(file)
        return done.stdout, {(record["params"], record["contender"]): record for record in records}

    def test_verdicts(self):
        for rounds, met in ((6, "met"), (5, "open")):
            said, records = self.play(rounds)
            wanted = {"rondo-a": [met, "MISSED"], "rondo-b": ["open", "open"], "rondo-c": ["MISSED", met]}
            for name, verdicts in wanted.items():
                line = next(line for line in said.splitlines() if line.split()[:2] == ["targets", name])
                self.assertEqual(re.findall(r"<= [\d.]+ (\w+)", line), verdicts, line)
                self.assertEqual([written.verdict_of(records["targets", name], key)
                                  for key in ("target", "rival_target")], verdicts, "the page has others")

    def test_order_of_turns(self):
        orders = re.search(r"^order (\w+)$", self.play(6)[0], re.MULTILINE)[1]
        # What std::mt19937 draws is laid down by the standard, so each machine has the same order.
        self.assertEqual(orders, "abcde" "bacdebcedabaceddceabedbcaadecb", "warm-up and rounds")
        self.assertTrue(all(sorted(orders[at:at + 5]) == list("abcde") for at in range(0, 35, 5)))
        many = re.search(r"^order (\w+)$", self.play(30)[0], re.MULTILINE)[1][5:]
        followed = {(one, many[at + 1]) for at, one in enumerate(many) if at % 5 < 4}
        self.assertEqual(len(followed), 20, "everyone comes after everyone")

    def test_what_is_not_available(self):
        said, records = self.play(1)
        found = [record for record in records.values() if "not_available" in record]
        self.assertEqual(found, [not_available(), not_available("p", "", '"no" \\ memory'),
                                 not_available("", "libuv", "too old"),
                                 not_available("", "", "one processor")])
        lines = ["  p, libev: n.a. (too few)", '  p: n.a. ("no" \\ memory)', "  libuv: n.a. (too old)",
                 "  n.a. (one processor)"]
        self.assertEqual(said.splitlines()[-4:], lines)
        self.assertEqual([written.text(record) for record in found], lines, "records.py says it otherwise")
        self.assertEqual([written.not_available(*record.values()) for record in found], found)


class Pages(unittest.TestCase):
    def test_all_figures_are_there(self):
        records = [timed("raw", params="one"), paired("libev", 1.234, 1.2, 1.3, params="one"),
                   timed("libev", 0.777, params="one"), single("raw", 123456.0),
                   single("asio", 0.00012, ratio=None), missing()]
        text = report.page(results(records))
        parsed = Page(text)
        self.assertEqual(parsed.wrong, [])
        figures = {row[2]: row for row in parsed.rows if row[:2] == ["one", "time"]}
        self.assertEqual(sorted(figures), ["libev", "raw", "rondo-epoll"])
        for name in ("pipes", "idle"):
            self.assertIn(f'<a href="#{name}">{name}</a>', text)
            self.assertIn(f'<h2 id="{name}">{name}</h2>', text)
        self.assertEqual(figures["libev"][3:10],
                         ["77.7", "69.9", "93.2", "ns", "15", "0.777", "[0.767 0.787]"])
        self.assertEqual(figures["rondo-epoll"][10], "1.234 [1.200 1.300] of libev")
        others = {row[2]: row for row in parsed.rows if row[:2] == ["p", "memory"]}
        self.assertEqual(others["raw"][3], "123\u202f456.0")
        self.assertEqual((others["asio"][3], others["asio"][8]), ("0.00012", "n.a."))

    def test_conditions(self):
        words = " ".join(Page(report.page(results([], command="bench/run.sh --pairs 7"))).words)
        for said in ("a processor, 2 processors", "a kernel", "a compiler, -O2", "libev 4.33", "abc",
                     "2026-01-02 03:04 UTC", "full", "bench/run.sh --pairs 7", "Contenders take turns."):
            self.assertIn(said, words)

    def test_what_the_method_leaves_out_is_told(self):
        words = " ".join(" ".join(Page(report.page(results([]))).words).split())
        for said in ("Each benchmark was one process", "an interval holds only the noise within the process",
                     "Another run, or another build, may give a ratio outside of it",
                     "libev, libevent and libuv are the distribution's shared libraries",
                     "rondo, asio and raw are compiled into the program",
                     "With --rival run.sh builds a rival statically from its source"):
            self.assertIn(said, words)

    def test_how_rivals_were_linked(self):
        versions = {"libev": "4.33", "libuv": "1.50", "asio": "1.22", "redis-server": "7"}
        linked = {"libev": "shared", "libuv": "static", "asio": "compiled in"}
        rows = Page(report.page(results([], versions=versions, linked=linked))).rows
        told = "libev 4.33 (shared), libuv 1.50 (static), asio 1.22 (compiled in), redis-server 7"
        self.assertIn(["Compared with", told], rows)

    def test_a_busy_machine_is_told(self):
        for load, busy in ((0.25, False), (1.0, False), (1.25, True)):
            parsed = Page(report.page(results([], load=load)))
            self.assertIn(["Load average before", f"{load:.2f}"], parsed.rows)
            self.assertEqual("busy machine" in " ".join(parsed.words), busy, load)

    def test_what_is_not_available_is_listed(self):
        records = [not_available(), not_available("", "", "one processor"), timed("raw")]
        text = report.page(results(records))
        self.assertEqual(Page(text).wrong, [])
        rows, _ = section(text, "Not available")
        self.assertEqual(rows, [["pipes", "p", "libev", "too few"], ["pipes", "", "", "one processor"]])
        self.assertNotIn("Not available", report.page(results([timed("raw")])))
        alone = report.page(results([not_available()]))
        self.assertNotIn('<h2 id="pipes">', alone, "it has no figures")

    def test_why_nothing_is_counted_is_listed(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "counts.json")
            before = sys.argv, counts.unusable
            sys.argv, counts.unusable = ["counts.py", folder, "--json", str(file)], lambda: "no strace"
            try:
                self.assertEqual(quietly(counts.main), merge.SKIPPED)
            finally:
                sys.argv, counts.unusable = before
            wanted = not_available("", "", "no strace") | {"bench": "counts"}
            self.assertEqual(merge.read_records(file), [wanted])

    def test_text_is_escaped(self):
        evil = '<b>&"x\''
        records = [timed("raw", params=evil, bench=evil, metric=evil, unit=evil),
                   timed("rondo" + evil, 2, params=evil, bench=evil, metric=evil, unit=evil, rival=evil,
                         rival_ratio=2, rival_low=2, rival_high=2, target=1, rival_target=1),
                   single("rondo" + evil, 3, params=evil, limit=1, unit=evil),
                   single(evil, 1, params=evil, unit=evil), missing(evil, evil),
                   not_available(evil, evil, evil)]
        run = {key: evil for key in ("cpu", "kernel", "compiler", "flags", "date", "commit", "length",
                                     "command")}
        run["versions"] = run["linked"] = {evil: evil}
        run["benchmarks"] = [{"name": evil, "state": state, "seconds": 1, "reason": evil}
                             for state in ("failed", "not run")]
        text = report.page(results(records, **run))
        self.assertEqual(Page(text).wrong, [])
        self.assertNotIn("<b>", text)
        for part in re.findall(r"<svg.*?</svg>", text, re.S):
            xml.etree.ElementTree.fromstring(part)
        self.assertGreater(text.count("&lt;b&gt;&amp;&quot;x&#x27;"), 40)

    def test_nothing_from_the_network(self):
        text = report.page(results([timed("raw")]))
        self.assertNotRegex(text.replace('xmlns="http://www.w3.org/2000/svg"', ""), r"https?:|url\(|@import")

    def test_what_is_missing_is_told(self):
        text = " ".join(Page(report.page(results([missing("libuv", "libuv1-dev")]))).words)
        self.assertIn("libuv is missing (install libuv1-dev)", text)

    def test_what_failed_is_told(self):
        each = [{"name": "one", "state": "failed", "seconds": 1, "reason": "because"},
                {"name": "two", "state": "timed out", "seconds": 2}, {"name": "three", "state": "ok",
                                                                     "seconds": 3},
                {"name": "four", "state": "not run", "seconds": 0},
                {"name": "five", "state": "n.a.", "seconds": 0}]
        parsed = Page(report.page(results([], benchmarks=each)))
        rows = {row[0]: row[1:] for row in parsed.rows if row and row[0] in ("one", "two", "three", "four",
                                                                             "five")}
        self.assertEqual(rows["one"], ["FAILED", "1", "because"])
        self.assertEqual(rows["two"][:2], ["TIMED OUT", "2"])
        self.assertEqual(rows["three"][:2], ["ok", "3"])
        self.assertEqual(rows["four"][:1], ["not run"])
        words = " ".join(parsed.words)
        self.assertIn("one failed: its figures", words)
        self.assertIn("two timed out: its figures", words)
        self.assertNotIn("three ok: its", words)
        self.assertIn("Not run: four, five.", words)

    def test_a_short_run_is_told(self):
        for length, told in (("full", False), ("quick", True), ("smoke", True)):
            words = " ".join(Page(report.page(results([], length=length))).words)
            self.assertEqual(f"This was a {length} run" in words, told)

    def test_one_axis_per_metric(self):
        records = [timed("raw"), timed("libev", 2.0), timed("raw", metric="rate", unit="x/s"),
                   timed("libev", 0.5, metric="rate", unit="x/s")]
        for drawing in re.findall("<svg.*?</svg>", report.page(results(records)), re.S):
            self.assertEqual(drawing.count(">libev<"), 1)
            self.assertIn(">p<", drawing)
        titles = re.findall(r"<title>(\w+, ratio.*?)</title>", report.page(results(records)))
        self.assertEqual(titles, ["time, ratio to the baseline (less is better)",
                                  "rate, ratio to the baseline (more is better)"])


if __name__ == "__main__":
    unittest.main()
