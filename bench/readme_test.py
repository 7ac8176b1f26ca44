#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""readme.py: the picture and the sentences say what the results say, and are refused otherwise."""
import contextlib
import io
import json
import pathlib
import re
import tempfile
import unittest

import readme
import svg
from report_test import paired, results, timed
from svg_test import SVG, inside, middle_of


def all_rows(**changed):
    """Every row that is needed, with a rival in two forms; `changed` are ratios of contenders."""
    ratios = {"raw": 0.8, "rondo-epoll": 2.0, "libev": 3.0, "libuv": 8.0, "libuv-try": 6.0} | changed
    rows = []
    for bench, params in [("pipes", "1000/100 plain"), ("pipes", "1000/100 idle timer"),
                          ("pipes", "1000/100 toggle"), ("timers", "10000 fire"),
                          ("timers", "10000 rearm later"), ("timers", "10000 cancel"), ("post", "1 producer"),
                          ("post", "2 producers"), ("echo", "64 x 64 B, pipeline 1")]:
        rows += [timed(name, ratio, params, bench=bench) for name, ratio in ratios.items()]
    return results(rows)


def with_rivals(bounds):
    """The same where rondo's rows were compared with libev, each with its own ratio and interval."""
    whole = all_rows()
    ours = [row for row in whole["records"] if row["contender"] == "rondo-epoll"]
    for row, (ratio, low, high) in zip(ours, bounds, strict=True):
        of_rival = paired("libev", ratio, low, high)
        row |= {key: of_rival[key] for key in of_rival if key.startswith("rival")}
    return whole


BOUNDS = [(0.5, 0.4, 0.6)] * 4 + [(1.5, 1.4, 1.6)] * 3 + [(1.0, 0.9, 1.1)] * 2


class Picture(unittest.TestCase):
    def test_relative_to_rondo(self):
        group = [timed("raw", 0.8), timed("raw-edge", 0.9), timed("rondo-epoll", 2.0), timed("rondo-x", 1.0),
                 timed("libuv", 8.0), timed("libuv-try", 6.0), timed("redis-server", 1.0)]
        self.assertEqual(readme.relative(group), {"raw": 0.4, "rondo": 1.0, "libuv": 3.0})

    def test_all_rows_and_contenders(self):
        drawing = readme.picture(all_rows())
        root = inside(self, drawing)
        words = [text.text for text in root.iter(SVG + "text")]
        self.assertEqual(len(readme.PICTURE), 9)
        for label, _, _ in readme.PICTURE:
            self.assertEqual(words.count(label), 1)
        for name in ("raw", "rondo", "libev", "libuv"):
            self.assertEqual(words.count(name), 1)
        self.assertNotIn("asio", words)
        self.assertEqual((root.get("width"), root.get("height")), ("700", "420"))
        labels = [float(text.get("y")) for text in root.iter(SVG + "text")
                  if text.text in [row[0] for row in readme.PICTURE]]
        self.assertEqual(labels, sorted(labels))
        marks = [middle_of(mark) for mark in root.iter(SVG + "polygon")][3:]  # without the legend's
        self.assertEqual(len(marks), 3 * len(labels))
        axis = svg.Axis([0.4, 1.5, 3.0], 176, 684)
        for number, (x, y) in enumerate(marks):
            self.assertAlmostEqual(x, axis.place((1.0, 1.5, 3.0)[number % 3]), delta=0.2)
            self.assertAlmostEqual(y, labels[number // 3] - 4, delta=14)
        self.assertTrue(all(one[1] + 3 < other[1] for one, other in zip(marks, marks[1:])))
        self.assertTrue(any("libev 4.33" in word for word in words))
        self.assertTrue(any("2026-01-02" in word and "run" not in word for word in words))

    def test_a_row_that_lacks_is_refused(self):
        whole = all_rows()
        for number in range(len(readme.PICTURE)):
            lacking = dict(whole, records=whole["records"][:number * 5] + whole["records"][number * 5 + 5:])
            with self.assertRaisesRegex(ValueError, re.escape(readme.PICTURE[number][2])):
                readme.picture(lacking)
        without = [record for record in whole["records"] if record["contender"] != "rondo-epoll"]
        with self.assertRaisesRegex(ValueError, "rondo-epoll"):
            readme.picture(dict(whole, records=without))

    def test_a_short_run_says_so(self):
        short = all_rows()
        short["run"]["length"] = "quick"
        self.assertIn("a quick run", readme.picture(short))

    def test_same_bytes(self):
        self.assertEqual(readme.picture(all_rows()), readme.picture(all_rows()))


class Sentences(unittest.TestCase):
    def test_count_what_was_surely_less_and_more(self):
        said = readme.sentences(with_rivals(BOUNDS))
        self.assertIn("In 9 comparisons of time", said)
        self.assertIn("took less in 4 and more in 3, beyond the noise of this run;", said)
        self.assertIn("took 2.00 times what it takes in a loop written by hand", said)
        self.assertIn("10 000 timers 0.50 and a post from another thread 1.50 times", said)
        for word in ("2026-01-02", "at abc by `bench/run.sh`", "a processor", "a kernel", "a compiler", "-O2", "libev 4.33"):
            self.assertIn(word, said)

    def test_what_lacks_is_refused(self):
        for lacks in ("1000/100 plain", "10000 fire", "1 producer", "10000 rearm later"):
            whole = with_rivals(BOUNDS)
            whole["records"] = [row for row in whole["records"] if row["params"] != lacks]
            with self.assertRaisesRegex(ValueError, lacks):
                readme.sentences(whole)


class Main(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("bench", "docs"):
            (self.root / name).mkdir()
        self.results = self.root / "bench" / "results.json"
        self.results.write_text(json.dumps(with_rivals(BOUNDS)), encoding="utf-8")
        self.page = self.root / "README.md"
        self.page.write_text("# x\n<!-- benchmarks -->\n<!-- /benchmarks -->\nrest\n", encoding="utf-8")

    def run_main(self, *words):
        with contextlib.redirect_stdout(io.StringIO()):
            return readme.main(list(words), self.root)

    def test_writes_and_checks(self):
        self.assertEqual(self.run_main(), 1, "there is nothing yet")
        self.assertEqual(self.run_main("--write"), 0)
        self.assertEqual(self.run_main(), 0)
        text = self.page.read_text(encoding="utf-8")
        self.assertRegex(text, r"(?s)^# x\n<!-- benchmarks -->\nIn 9 .*\n<!-- /benchmarks -->\nrest\n$")
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 110)
        self.assertTrue((self.root / "docs" / "benchmarks.svg").exists())

    def test_other_results_other_words_and_no_change_by_a_check(self):
        self.run_main("--write")
        before = self.page.read_text(encoding="utf-8")
        self.results.write_text(json.dumps(with_rivals([(0.5, 0.4, 0.6)] * 9)), encoding="utf-8")
        self.assertEqual(self.run_main(), 1)
        self.assertEqual(self.page.read_text(encoding="utf-8"), before)
        self.assertEqual(self.run_main("--write"), 0)
        self.page.write_text(before, encoding="utf-8")
        self.assertEqual(self.run_main(), 1)

    def test_no_marks_no_results_and_wrong_words(self):
        self.page.write_text("# x\n", encoding="utf-8")
        self.assertEqual(self.run_main("--write"), 1)
        self.results.write_text(json.dumps(results([])), encoding="utf-8")
        self.assertEqual(self.run_main("--write"), 1)
        for words in (["--check"], ["--write", "more"]):
            with self.assertRaises(SystemExit):
                self.run_main(*words)


if __name__ == "__main__":
    unittest.main()
