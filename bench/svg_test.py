# SPDX-License-Identifier: BSL-1.0
"""svg.py: everything is drawn, where it belongs. report_test.py runs these too."""
import re
import unittest
import xml.etree.ElementTree

import svg

SVG = "{http://www.w3.org/2000/svg}"


def middle_of(polygon):
    points = [[float(each) for each in point.split(",")] for point in polygon.get("points").split()]
    return [(min(column) + max(column)) / 2 for column in zip(*points)]


def inside(test, drawing):
    """The drawing's root, if nothing of it is outside and no two texts begin at one place."""
    root = xml.etree.ElementTree.fromstring(drawing)
    width, height = float(root.get("width")), float(root.get("height"))
    test.assertEqual(root.get("viewBox"), f"0 0 {width:g} {height:g}")
    places = [(float(each.get("x")), float(each.get("y"))) for each in root.iter(SVG + "text")]
    test.assertEqual(len(places), len(set(places)), "texts on each other")
    places += [(float(each.get(x)), float(each.get(y))) for each in root.iter(SVG + "line")
               for x, y in (("x1", "y1"), ("x2", "y2"))]
    places += [middle_of(each) for each in root.iter(SVG + "polygon")]
    places += [(float(each.get("cx")), float(each.get("cy"))) for each in root.iter(SVG + "circle")]
    test.assertTrue(all(0 <= x <= width and 0 <= y <= height for x, y in places), places)
    return root


class Drawings(unittest.TestCase):
    def test_axis(self):
        self.assertFalse(svg.Axis([0.5, 4.0], 0, 100).log)
        self.assertTrue(svg.Axis([0.5, 4.1], 0, 100).log)
        self.assertTrue(svg.Axis([0.2], 0, 100).log)
        for values in ([0.5, 2.0], [0.9, 30.0], [1.0], [0.0, 0.5], [0.0, 30.0], [1e-6, 1e7],
                       [0.99, 1.02], [0.9, 1.3], [0.4, 3.9], [0.3, 1.1], [0.02, 60.0]):
            axis = svg.Axis(values, 10, 110)
            shown = [value for value in sorted({1.0, *values}) if axis.holds(value)]
            places = [axis.place(value) for value in shown]
            self.assertEqual(places, sorted(set(places)), values)
            self.assertTrue(all(10 <= place <= 110 for place in places), values)
            ticks = axis.ticks()
            self.assertIn(1.0, ticks, values)
            self.assertTrue(3 <= len(ticks) <= 14, (values, ticks))
            self.assertTrue(all(10 <= axis.place(tick) <= 110 for tick in ticks), values)
        axis = svg.Axis([0.0, 30.0], 10, 110)
        self.assertFalse(axis.holds(0.0))
        self.assertEqual(axis.place(0.0), 10)
        middle = svg.Axis([0.01, 100.0], 0, 100).place(1.0)
        self.assertAlmostEqual(middle, 50.0)

    def test_dot_plot(self):
        group = ("params", [("raw", 1.0, 0.9, 1.1), ("libev", 2.0, None, None), ("asio", None, None, None)])
        drawing, = svg.dot_plots([group], "caption")
        root = xml.etree.ElementTree.fromstring(drawing)
        names = {"": "http://www.w3.org/2000/svg"}
        words = [text.text for text in root.findall("text", names)]
        for word in ("params", "raw", "libev", "asio", "1.000", "2.000", "n.a.", "caption"):
            self.assertIn(word, words)
        self.assertEqual(len(root.findall("circle", names)), 1)
        self.assertEqual(len(root.findall("polygon", names)), 1)
        spans = [each for each in root.findall("line", names) if each.get("stroke-width") == "2"]
        axis = svg.Axis([0.9, 1.1, 2.0], svg.NAMES, svg.WIDTH - svg.FIGURES)
        self.assertEqual([(each.get("x1"), each.get("x2")) for each in spans],
                         [(f"{axis.place(0.9):.1f}", f"{axis.place(1.1):.1f}")])
        circle, = root.findall("circle", names)
        self.assertEqual(circle.get("cx"), f"{axis.place(1.0):.1f}")

    def test_grid(self):
        axis = svg.Axis([0.5, 9.0], 100, 300)
        root = xml.etree.ElementTree.fromstring(f"<g>{''.join(axis.draw(10, 200))}</g>")
        lines, texts = root.findall("line"), root.findall("text")
        self.assertEqual([each.text for each in texts], ["0.5", "1", "2", "5", "10"])
        self.assertEqual(len(lines), len(texts))
        for one, other, value in zip(lines, texts, axis.ticks()):
            self.assertEqual({one.get("x1"), one.get("x2"), other.get("x")}, {f"{axis.place(value):.1f}"})
            self.assertEqual((one.get("y1"), one.get("y2")), ("10.0", "200.0"))
            self.assertTrue(200 < float(other.get("y")) < 230)
            self.assertEqual(one.get("stroke-width") is not None, value == 1)

    def test_marks_stand_beside_their_names(self):
        groups = [(f"group {number}", [(f"rondo-{number}-{place}", 1.0 + place / 10, None, None)
                                       for place in range(3)]) for number in range(3)]
        drawing, = svg.dot_plots(groups, "caption")
        root, names = inside(self, drawing), []
        for text in root.iter(SVG + "text"):
            if text.text.startswith(("rondo", "group")):
                names.append((text.text, float(text.get("y"))))
        self.assertEqual([name for name, _ in names],
                         [name for label, rows in groups for name in (label, *(row[0] for row in rows))])
        self.assertTrue(all(one[1] + 10 < other[1] for one, other in zip(names, names[1:])), names)
        lanes = [y for name, y in names if name.startswith("rondo")]
        self.assertEqual(len(lanes), len(list(root.iter(SVG + "polygon"))))
        for y, mark in zip(lanes, root.iter(SVG + "polygon")):
            self.assertAlmostEqual(middle_of(mark)[1], y - 4, delta=0.5)

    def test_long_plots_are_cut_and_lose_nothing(self):
        groups = [(f"group {number}", [(f"raw-{number}-{place}", 1.0 + place, None, None)
                                       for place in range(6)]) for number in range(40)]
        drawings = svg.dot_plots(groups, "caption")
        self.assertGreater(len(drawings), 3)
        for number in range(40):
            self.assertEqual(sum(f">group {number}<" in drawing for drawing in drawings), 1)
            self.assertEqual(sum(f">raw-{number}-5<" in drawing for drawing in drawings), 1)
        for drawing in drawings:
            self.assertLessEqual(float(re.search(r'height="(\d+)"', drawing)[1]), svg.TALLEST + 60)

    def test_marks(self):
        marks = [svg.mark(name, 5, 5) for name in (*svg.STYLES, "redis-server")]
        for part in (r'(points="[^"]+"|<circle)', r'stroke="(#\w+)"'):
            self.assertEqual(len({re.search(part, mark)[0] for mark in marks}), len(marks), part)
        for name, hollow in (("libuv", False), ("libuv-try", True), ("rondo-epoll", False),
                             ("rondo-poll", True), ("raw-edge", True), ("redis-server", False)):
            self.assertEqual('fill="none"' in svg.mark(name, 0, 0), hollow, name)

    def test_colours_stand_out_from_white_and_from_dark(self):
        def light(colour):
            parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
            linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
                      for part in parts]
            return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear))

        for colour in (svg.GREY, svg.OTHER[0], *(style[0] for style in svg.STYLES.values())):
            for background in ("#ffffff", "#0d1117"):
                least, most = sorted((light(colour), light(background)))
                self.assertGreater((most + 0.05) / (least + 0.05), 3, (colour, background))
