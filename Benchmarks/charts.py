#!/usr/bin/env python3
"""Draws what run.py measured: charts.py RESULT.json [DIRECTORY] writes an SVG for each chart that the result has the groups for."""
import json, math, os, sys
from xml.sax.saxutils import escape

OURS = "ckprov-log"
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } .ours { font-weight: 600 } .minor { fill: #59636e; font-size: 12px }
.back { fill: #ffffff } .grid { stroke: #d1d9e0 }
.line { stroke: #0969da; fill: none; stroke-width: 2 } .mark { fill: #0969da } .spread { stroke: #0969da; stroke-width: 2; opacity: 0.5 }
.b.line, .b.spread { stroke: #bc4c00 } .b.mark { fill: #bc4c00 } .c.line, .c.spread { stroke: #d1242f } .c.mark { fill: #d1242f }
.d.line, .d.spread { stroke: #6e7781 } .d.mark { fill: #6e7781 } .dashed { stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .minor { fill: #9198a1 } .back { fill: #0d1117 } .grid { stroke: #3d444d }
.line, .spread { stroke: #4493f8 } .mark { fill: #4493f8 } .b.line, .b.spread { stroke: #f0883e } .b.mark { fill: #f0883e }
.c.line, .c.spread { stroke: #ff7b72 } .c.mark { fill: #ff7b72 } .d.line, .d.spread { stroke: #9198a1 } .d.mark { fill: #9198a1 }
}
"""


class Drawing:
    """With a background of its own, so that it can be read on any page."""

    def __init__(self, width, height, title, note):
        self.size = (width, height)
        self.parts = ['<rect class="back" width="100%" height="100%" rx="6"/>']
        self.title = title
        self.text(16, 28, title, "title")
        self.text(16, 48, note, "minor")

    def text(self, x, y, text, style="", anchor="start", more=""):
        self.parts.append('<text x="%.1f" y="%.1f" class="%s" text-anchor="%s" %s>%s</text>' % (x, y, style, anchor, more, escape(text)))

    def line(self, x1, y1, x2, y2, style):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, style))

    def path(self, points, style):
        self.parts.append('<polyline points="%s" class="line %s"/>' % (" ".join("%.1f,%.1f" % point for point in points), style))

    def mark(self, x, y, style):
        self.parts.append('<circle cx="%.1f" cy="%.1f" r="4.5" class="mark %s"/>' % (x, y, style))

    def write(self, path):
        with open(path, "w") as file:
            file.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">\n' % (
                *self.size, *self.size, escape(self.title, {'"': "&quot;"})))
            file.write("<style>%s</style>\n%s\n</svg>\n" % (STYLE, "\n".join(self.parts)))
        print(path)


class LogScale:
    """Values to places between two ends, which are whole powers of ten."""

    def __init__(self, values, start, end):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self):
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def seconds_text(value):
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size * 0.9995:
            return "%s %s" % (short(value / size), unit)
    return "%s ns" % short(value * 1e9)


def short(value):
    """Two digits that count, no more."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return short(value / size) + letter
    return "%.0f" % value if value >= 9.95 else ("%.1f" % value).replace(".0", "")


def setting(result):
    machine = result["machine"]
    return "%s, %d CPUs, Linux %s, %s; median of %d rounds, bars: quartiles" % (
        machine["cpu"].replace("(R)", "").replace("(TM)", ""), machine["cpus"], machine["kernel"], machine["file_system"], result["setting"]["rounds"])


def length_chart(result, path):
    cases = result["groups"]["length"]
    lengths = {name: int(name.split("=")[1].replace(",", "")) for name in cases}
    styles = {"cklib.prov": "c", OURS + " record, process": "a", OURS + " record, power": "b",
              "JSON Lines, Python json": "d", "JSON Lines, Python json, fdatasync": "d dashed"}
    found = {}
    for name, of in cases.items():
        for subject, one in of["subjects"].items():
            found.setdefault(subject, []).append((lengths[name], one["measured"]["seconds_per_action"]))
    drawing = Drawing(900, 480, "What one more action costs in a session that has n", setting(result))
    left, right, top, bottom = 84, 580, 76, 420
    x = LogScale(list(lengths.values()), left, right)
    y = LogScale([one[key] for points in found.values() for _, one in points for key in ("low_quartile", "high_quartile")], bottom, top)
    for tick in y.ticks():
        drawing.line(left, y(tick), right, y(tick), "grid")
        drawing.text(left - 8, y(tick) + 4, seconds_text(tick), "minor", "end")
    for tick in x.ticks():
        drawing.line(x(tick), top, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 20, format(round(tick), ","), "minor", "middle")
    drawing.text((left + right) / 2, bottom + 44, "n, actions in the session (log)", anchor="middle")
    middle = (top + bottom) / 2
    drawing.text(22, middle, "time of one more action (log; less is better)", anchor="middle", more='transform="rotate(-90 22 %.1f)"' % middle)
    ends = []
    for subject, points in found.items():
        style = styles[subject]
        drawing.path([(x(n), y(one["median"])) for n, one in points], style)
        for n, one in points:
            drawing.line(x(n), y(one["low_quartile"]), x(n), y(one["high_quartile"]), "spread " + style)
            drawing.mark(x(n), y(one["median"]), style)
        n, one = points[-1]
        ends.append([y(one["median"]), x(n), subject, one["median"]])
    # Labels stand at the ends of their lines, moved apart where they would touch.
    ends.sort()
    for above, below in zip(ends, ends[1:]):
        below[0] = max(below[0], above[0] + 18)
    for place, end, subject, value in ends:
        drawing.text(end + 12, place + 4, "%s: %s" % (subject, seconds_text(value)), "ours" if subject.startswith(OURS) else "")
    drawing.write(path)


def dot_plot(drawing, rows, legend, axis, top):
    """`rows`: name and, for each of the legend, a measured value or None."""
    left, right = 240, drawing.size[0] - 90
    bottom = top + 30 * len(rows)
    x = LogScale([one[key] for _, values in rows for one in values if one for key in ("low_quartile", "high_quartile")], left, right)
    for tick in x.ticks():
        drawing.line(x(tick), top, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 18, short(tick), "minor", "middle")
    drawing.text((left + right) / 2, bottom + 42, axis, anchor="middle")
    for number, (name, values) in enumerate(rows):
        y = top + 30 * number + 15
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 12, y + 4, name, "ours" if name.startswith(OURS) else "", "end")
        for style, one in zip("ab", values):
            if one:
                drawing.line(x(one["low_quartile"]), y, x(one["high_quartile"]), y, "spread " + style)
                drawing.mark(x(one["median"]), y, style)
                drawing.text(x(one["median"]), y - 7, short(one["median"]), "minor", "middle")
    place = left
    for style, name in zip("ab", legend):
        drawing.mark(place + 5, top - 18, style)
        drawing.text(place + 16, top - 14, name)
        place += 30 + 7.2 * len(name)


def recording_chart(result, path):
    name = "typical, 1 a commit"
    classes = [result["groups"][group][name]["subjects"] for group in ("process", "power")]
    subjects = list(dict.fromkeys(subject for found in classes for subject in found))
    rows = [(subject, [found[subject]["measured"]["actions_per_second"] if subject in found else None for found in classes]) for subject in subjects]
    rows.sort(key=lambda row: -(row[1][0] or row[1][1])["median"])
    title = "Recording actions of %d bytes one by one, one caller" % result["setting"]["payload_bytes"]["typical"]
    drawing = Drawing(860, 170 + 30 * len(rows), title, setting(result))
    dot_plot(drawing, rows, ["survives the program's end (process)", "survives a power cut (power)"], "actions a second (log; more is better)", 96)
    drawing.write(path)


def reading_chart(result, path):
    subjects = result["groups"]["reading"]["Session JSON"]["subjects"]
    rows = [(subject, [{key: value / 1e6 for key, value in of["measured"]["bytes_per_second"].items()}]) for subject, of in subjects.items()]
    rows.sort(key=lambda row: -row[1][0]["median"])
    drawing = Drawing(860, 150 + 30 * len(rows), "From what is stored to the Session JSON, printed", setting(result))
    dot_plot(drawing, rows, [], "MB of Session JSON a second (log; more is better)", 76)
    drawing.write(path)


CHARTS = {"length": (["length"], length_chart), "recording": (["process", "power"], recording_chart), "reading": (["reading"], reading_chart)}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = sys.argv[1]
    directory = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(source)
    with open(source) as file:
        result = json.load(file)
    for name, (groups, draw) in CHARTS.items():
        if all(group in result["groups"] for group in groups):
            draw(result, os.path.join(directory, "%s-%s.svg" % (os.path.splitext(os.path.basename(source))[0], name)))


main()
