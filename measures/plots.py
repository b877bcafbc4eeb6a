#!/usr/bin/env python3
"""Draws the plots of the manual and the README from the figures in measures/figures, as SVG into spec/figures."""
import json
import math
from pathlib import Path

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
TARGET = HERE.parent / "spec" / "figures"

# One drawing for light and for dark pages: it follows what the reader prefers.
LIGHT = {"ink": "#1f2328", "faint": "#d0d7de", "ground": "#ffffff", "a": "#0969da", "b": "#bc4c00", "c": "#1a7f37", "d": "#8250df"}
DARK = {"ink": "#dfe3e8", "faint": "#363d45", "ground": "#14171b", "a": "#6cb0ff", "b": "#ffa657", "c": "#3fb950", "d": "#bc8cff"}
COLOURS = "abcd"


def style():
    variables = [" ".join(f"--{name}: {colour};" for name, colour in theme.items()) for theme in (LIGHT, DARK)]
    rules = [f"svg {{ {variables[0]} }}", f"@media (prefers-color-scheme: dark) {{ svg {{ {variables[1]} }} }}"]
    rules += ["text { fill: var(--ink); }", ".note { opacity: .7; font-size: 11px; }", ".ground { fill: var(--ground); }"]
    rules += [".faint { stroke: var(--faint); }", ".curve { fill: none; stroke-width: 2; }"]
    for name in COLOURS:
        rules += [f".{name} {{ fill: var(--{name}); }}", f".curve.{name} {{ fill: none; stroke: var(--{name}); }}"]
    return "\n".join(rules)


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Drawing:
    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13">\n<title>{escape(title)}</title>\n<style>{style()}</style>\n'
            f'<rect class="ground" width="{width}" height="{height}"/>'
        ]

    def text(self, x, y, text, anchor="start", kind="", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}" font-weight="{weight}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2):
        self.parts.append(f'<path class="faint" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')

    def curve(self, points, colour):
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path class="curve {colour}" d="M{path}"/>')
        self.parts += [f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]

    def bar(self, x, y, width, height, colour):
        self.parts.append(f'<rect class="{colour}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" rx="2"/>')

    def save(self, name):
        TARGET.mkdir(parents=True, exist_ok=True)
        (TARGET / name).write_text("\n".join([*self.parts, "</svg>", ""]))


def lines(name):
    about, *rows = [json.loads(line) for line in (FIGURES / name).read_text().splitlines()]
    return about, rows


def where(about):
    return f'{about["processor"]}; {about["kernel"]}; {about["date"]}'


def short(ns):
    if ns < 1000:
        return f"{ns:.3g} ns"
    return f"{ns / 1000:.3g} µs" if ns < 1e6 else f"{ns / 1e6:.3g} ms"


def readiness():
    about, rows = lines("readiness.json")
    left, right, top, bottom = 70, 620, 50, 330
    across = lambda idle: left + (math.log10(idle) - 1) / 3 * (right - left)
    up = lambda us: bottom - math.log10(us) / 2.2 * (bottom - top)
    draw = Drawing(720, 400, "Time to find and read one of ten active connections among idle ones")
    draw.text(left, 24, "Time for one active connection of ten, by idle connections", weight="600")
    for us in (1, 3, 10, 30, 100):
        draw.line(left, up(us), right, up(us))
        draw.text(left - 8, up(us) + 4, f"{us} µs", "end")
    for idle in (10, 100, 1000, 10000):
        draw.line(across(idle), bottom, across(idle), bottom + 5)
        draw.text(across(idle), bottom + 20, f"{idle:,}", "middle")
    ends = []
    for method, colour in zip(dict.fromkeys(row["method"] for row in rows), COLOURS):
        points = [(across(row["idle"]), up(row["us"])) for row in rows if row["method"] == method]
        draw.curve(points, colour)
        ends.append([points[-1][1], method, colour])
    ends.sort()
    for before, after in zip(ends, ends[1:]):
        after[0] = max(after[0], before[0] + 15)
    for y, method, colour in ends:
        draw.text(right + 10, y + 4, method, kind=colour)
    draw.text(left, 385, where(about), kind="note")
    draw.save("readiness.svg")


def caches():
    about, rows = lines("caches.json")
    left, right, top = 150, 600, 50
    most = max(row["ns"] for row in rows)
    across = lambda ns: left + max(math.log10(ns), 0) / math.ceil(math.log10(most)) * (right - left)
    bottom = top + 34 * len(rows)
    draw = Drawing(720, bottom + 65, "Time for a value of 100 bytes by where it is kept")
    draw.text(left, 24, "Time for a value of 100 bytes (each mark: ten times more)", weight="600")
    for power in range(0, math.ceil(math.log10(most)) + 1):
        x = across(10**power)
        draw.line(x, top - 10, x, bottom)
        draw.text(x, bottom + 18, short(10**power), "middle")
    for i, row in enumerate(rows):
        y = top + 34 * i
        draw.text(left - 10, y + 14, row["place"], "end")
        draw.bar(left, y, across(row["ns"]) - left, 20, COLOURS[0])
        draw.text(across(row["ns"]) + 8, y + 15, short(row["ns"]))
    draw.text(left, bottom + 50, where(about), kind="note")
    draw.save("caches.svg")


def requests():
    figures = json.loads((FIGURES / "requests.json").read_text())
    rows = figures["cases"]
    left, right, top, step = 130, 560, 76, 46
    most = max(max(row["us_a"] / row["us_b"], 1) for row in rows)
    across = lambda share: left + share / most * (right - left)
    bottom = top + step * len(rows)
    draw = Drawing(720, bottom + 40, "Processor time of a request, Lunette and its peer")
    draw.text(left, 24, "Processor time of a request, all processes together (less is better)", weight="600")
    for i, who in enumerate((figures["a"], figures["b"])):
        draw.bar(left + i * 140, 38, 12, 12, COLOURS[i])
        draw.text(left + 18 + i * 140, 49, who)
    for i, row in enumerate(rows):
        y = top + step * i
        draw.text(left - 10, y + 21, row["case"], "end")
        for k, key in enumerate(("us_a", "us_b")):
            # The peer's bars are all of one length: what counts is the proportion.
            end = across(row[key] / row["us_b"])
            draw.bar(left, y + 17 * k, end - left, 15, COLOURS[k])
            draw.text(end + 6, y + 12 + 17 * k, f"{row[key]:.1f} µs")
    draw.text(left, bottom + 24, where(figures), kind="note")
    draw.save("requests.svg")


if __name__ == "__main__":
    readiness()
    caches()
    requests()
