# SPDX-License-Identifier: BSL-1.0
"""Drawings of ratios as SVG: a dot plot with intervals for the report, and the picture of the README.

Every library has a colour and a shape. The colours differ for the colour-blind too, and stand out from
white and from a dark background alike; in grey the shapes tell them apart. A hollow mark is a variant
of a contender. Texts are texts, in generic fonts. The same input gives the same bytes.
"""
import html
import math

GREY = "#7a7a7a"
# family: (colour, corners of the mark in units of its size; None: a circle)
STYLES = {
    "raw": (GREY, None),
    "rondo": ("#d05800", [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)]),
    "libev": ("#0072b2", [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
    "libevent": ("#008f68", [(0, -1.1), (1.15, 0.9), (-1.15, 0.9)]),
    "libuv": ("#b0568a", [(0, 1.1), (1.15, -0.9), (-1.15, -0.9)]),
    "asio": ("#86702a", [(-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
                         (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)]),
}
OTHER = ("#6a6fb5", [(-0.6, -1.2), (0.6, -1.2), (0.6, 1.2), (-0.6, 1.2)])
WHOLE = {"rondo-epoll", *STYLES}  # every other name of a family is a variant

WIDTH, NAMES, FIGURES = 760, 150, 55  # of the dot plot: all, and its columns of text
HEADING, LANE, AXIS = 20, 15, 34
TALLEST = 900  # then another drawing begins, so that a page of paper can hold it


def family(name):
    return name.split("-")[0]


def text(x, y, words, anchor="start", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>'
            f"{html.escape(str(words))}</text>")


def line(x1, y1, x2, y2, colour, extra=""):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}"{extra}/>')


def mark(name, x, y, size=4.0):
    """What stands for a contender: filled, or hollow for a variant."""
    colour, corners = STYLES.get(family(name), OTHER)
    fill = colour if name in WHOLE or family(name) not in STYLES else "none"
    paint = f'fill="{fill}" stroke="{colour}" stroke-width="1.3"'
    if corners is None:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" {paint}/>'
    points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {paint}/>'


class Axis:
    """Where ratios are between left and right. It holds 1 and all values that can be shown, and is
    logarithmic when one of them is more than 4 or less than a quarter."""

    def __init__(self, values, left, right):
        shown = [value for value in values if value > 0] + [1.0]
        self.left, self.right = left, right
        self.log = max(shown) > 4 or min(shown) < 0.25
        self.low, self.high = self._scaled(min(shown)), self._scaled(max(shown))
        room = max((self.high - self.low) * 0.05, 0.02)
        self.low, self.high = self.low - room, self.high + room

    def _scaled(self, value):
        return math.log10(value) if self.log else value

    def holds(self, value):
        """A zero has no place on a logarithmic axis."""
        return not self.log or value > 0

    def place(self, value):
        """Values that it doesn't hold are at its left end."""
        if not self.holds(value):
            return self.left
        share = (self._scaled(value) - self.low) / (self.high - self.low)
        return self.left + max(share, 0) * (self.right - self.left)

    def ticks(self):
        if self.log:
            decades = range(math.floor(self.low), math.ceil(self.high) + 1)
            for digits in ((1, 2, 5), (1,)):
                found = [digit * 10.0 ** decade for decade in decades for digit in digits]
                found = [value for value in found if self.low <= math.log10(value) <= self.high]
                if len(found) <= 10:
                    break
            return found
        for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            if last - first < 9:
                break
        return [round(number * step, 2) for number in range(max(first, 0), last + 1)]

    def draw(self, top, bottom):
        """The grid with its figures below; the line of 1 is stronger."""
        parts = []
        for value in self.ticks():
            x = self.place(value)
            strong = ' stroke-width="1.6"' if value == 1 else ' stroke-opacity="0.35"'
            parts += [line(x, top, x, bottom, GREY, strong), text(x, bottom + 14, f"{value:g}", "middle")]
        return parts


def dot_plots(groups, caption):
    """Drawings of groups (label, [(contender, ratio, low, high)...]) on one axis, which `caption`
    names; low and high are None for a figure without an interval, the ratio if there is none."""
    values = [value for _, rows in groups for row in rows for value in row[1:] if value is not None]
    axis = Axis(values, NAMES, WIDTH - FIGURES)
    pages, height = [[]], 0
    for group in groups:
        tall = HEADING + LANE * len(group[1])
        if pages[-1] and height + tall > TALLEST:
            pages.append([])
            height = 0
        pages[-1].append(group)
        height += tall
    return [page_of(page, axis, caption) for page in pages if page]


def page_of(groups, axis, caption):
    height = sum(HEADING + LANE * len(rows) for _, rows in groups)
    parts = axis.draw(4, height + 4)
    y = 0
    for label, rows in groups:
        y += HEADING
        parts.append(text(0, y - 5, label, extra=' font-weight="bold"'))
        for row in rows:
            parts += lane(axis, row, y + LANE / 2)
            y += LANE
    parts.append(text((axis.left + axis.right) / 2, height + AXIS - 2, caption, "middle"))
    return drawing(WIDTH, height + AXIS + 4, parts, caption)


def lane(axis, row, y):
    """One contender: its name, its interval, its mark and its ratio."""
    name, ratio, low, high = row
    parts = [text(NAMES - 10, y + 4, name, "end")]
    if low is not None:
        parts.append(line(axis.place(low), y, axis.place(high), y, STYLES.get(family(name), OTHER)[0],
                          ' stroke-width="2"'))
    if ratio is not None and axis.holds(ratio):
        parts.append(mark(name, axis.place(ratio), y))
    parts.append(text(WIDTH, y + 4, "n.a." if ratio is None else figure(ratio), "end"))
    return parts


def figure(value):
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def drawing(width, height, parts, title):
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" '
            f'height="{height:g}" role="img" font-family="sans-serif" font-size="12" fill="{GREY}">\n'
            f"<title>{html.escape(title)}</title>\n{body}\n</svg>\n")


def picture(rows, title, notes):
    """The README's: rows (label, {contender: ratio to rondo}), one lane for each contender, so that
    equal ones don't hide each other."""
    names = [name for name in STYLES if any(name in ratios for _, ratios in rows)]
    width, top, left = 700, 60, 176
    bottom = 420 - 26 - 15 * len(notes)
    tall = (bottom - top) / len(rows)
    axis = Axis([value for _, ratios in rows for value in ratios.values()], left, width - 16)
    parts = [text(16, 24, title, extra=' font-size="15" font-weight="bold"')]
    for column, name in enumerate(names):
        x = left + 6 + column * 84
        parts += [mark(name, x, 44), text(x + 10, 48, name)]
    parts += axis.draw(top, bottom)
    for number, (label, ratios) in enumerate(rows):
        y = top + number * tall
        if number:
            parts.append(line(16, y, width - 16, y, GREY, ' stroke-opacity="0.35"'))
        parts.append(text(left - 12, y + tall / 2 + 4, label, "end"))
        for place, name in enumerate(names):
            if name in ratios:
                parts.append(mark(name, axis.place(ratios[name]), y + tall * (place + 1) / (len(names) + 1),
                                  3.0))
    for number, note in enumerate(notes):
        parts.append(text(16, bottom + 34 + 15 * number, note, extra=' font-size="11"'))
    return drawing(width, 420, parts, title)
