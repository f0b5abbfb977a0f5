#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draw a log of day.c: draw.py LOG SVG.

Above, the heap's addresses from top to bottom and time from left to right: each
row is a chunk, filled from below by what its pages are.  Below, bytes over time,
and what was given back.  The colours are those of goallocctl map --svg.  Figures
of each part of the day go to standard output.
"""

import sys

MIB = 1 << 20
PAGE = 8192
ROW_BYTES = 4 * MIB
ROW_PAGES = ROW_BYTES // PAGE
BASE = 0xc000000000
NO_LIMIT = (1 << 64) - 1

LEFT, RIGHT, WIDTH = 136, 28, 1024
TOP = 128
STEP, BAR = 18, 16      # from row to row, and of it what is drawn
BYTES_HEIGHT = 190      # of the diagram of bytes
BACK_HEIGHT = 70        # of that of what was given back
GAP = 44                # between diagrams

ROW_NAMES = ("small", "medium", "large", "untouched", "idle", "released")
CAUSES = ("request", "limit", "background", "reclaim")


def colour(hue, saturation, light):
    """As write_color() of map_svg.c."""
    def channel(n):
        k = (n + hue / 30) % 12
        a = saturation * min(light, 1 - light)
        return int(255 * (light - a * max(-1, min(k - 3, 9 - k, 1))) + 0.5)
    return "#%02x%02x%02x" % (channel(0), channel(8), channel(4))


def class_colour(sizeclass):
    """As sort_color()."""
    return colour(225 - 217 * (sizeclass - 1) / 66, 0.72, 0.42 if sizeclass % 2 else 0.52)


# Small and medium objects have the colour of a class in the middle of them.
COLOURS = {
    "small": class_colour(16),
    "medium": class_colour(53),
    "large": colour(285, 0.45, 0.48),
    "untouched": colour(285, 0.45, 0.86),
    "idle": "#c4c8cc",
    "released": "url(#hatch)",
    "grown": "#eef0f2",
    "request": "#2b6cb0",
    "limit": "#c53030",
    "background": "#2f855a",
    "reclaim": "#6b46c1",
}


class Sample:
    def __init__(self, words):
        self.time = float(words[0])
        numbers = [int(word) for word in words[1:]]
        (self.live, self.inuse, self.idle, self.held, self.limit) = numbers[:5]
        self.back = dict(zip(CAUSES, numbers[5:9]))
        self.background_ns, self.took_ns = numbers[9:]
        self.rows = {}


class Log:
    def __init__(self, path):
        self.facts = {}
        self.phases = []
        self.samples = []
        with open(path) as stream:
            for line in stream:
                verb, _, rest = line.rstrip("\n").partition(" ")
                if verb == "phase":
                    time, _, name = rest.partition(" ")
                    self.phases.append((float(time), name))
                elif verb == "sample":
                    self.samples.append(Sample(rest.split()))
                elif verb == "row":
                    number, *pages = map(int, rest.split())
                    self.samples[-1].rows[number] = dict(zip(ROW_NAMES, pages))
                elif verb:
                    self.facts[verb] = rest
        self.end = self.samples[-1].time
        self.hour = float(self.facts["hour"])

    def phase_ends(self):
        return [time for time, _ in self.phases[1:]] + [self.end + 1]


class Drawing:
    def __init__(self, log):
        self.log = log
        self.out = []
        self.xs = [round(LEFT + WIDTH * s.time / log.end) for s in log.samples]
        self.xs.append(LEFT + WIDTH)
        self.rows = max(max(s.rows, default=0) for s in log.samples) + 1

    def put(self, text):
        self.out.append(text)

    def text(self, css, x, y, text, more=""):
        for char, entity in ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"):
            text = text.replace(char, entity)
        self.put(f'<text class="{css}" x="{x}" y="{y}"{more}>{text}</text>')

    def rect(self, fill, x, y, width, height):
        self.put(f'<rect fill="{fill}" x="{x}" y="{y}" width="{width}" height="{height}"/>')

    def steps(self, heights, bottom, fill):
        """An area over a base line; heights in pixels, None or 0 is none of it."""
        path = []
        x, y = None, 0
        for at, height in zip(self.xs, heights + [0]):
            height = round(height or 0)
            if height == y:
                continue
            if not y:
                path.append(f"M{at} {bottom}")
            else:
                path.append(f"h{at - x}")
            path.append(f"v{y - height}")
            if not height:
                path.append("z")
            x, y = at, height
        if path:
            self.put(f'<path fill="{fill}" d="{"".join(path)}"/>')

    def line(self, values, top, scale, style):
        path = []
        for x, value in zip(self.xs, values):
            if value is None:
                path.append(None)
                continue
            path.append(f"{'L' if path and path[-1] else 'M'}{x} {top - value * scale:.1f}")
        self.put(f'<path fill="none" {style} d="{"".join(p for p in path if p)}"/>')

    def head(self, height):
        log = self.log
        width = LEFT + WIDTH + RIGHT
        self.put('<?xml version="1.0" encoding="UTF-8"?>')
        self.put(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
                 f' viewBox="0 0 {width} {height}">')
        self.put('<!-- made by tools/heapday/run.sh -->')
        self.put('<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse">'
                 '<rect width="6" height="6" fill="#fff"/>'
                 '<path d="M-1 1l2-2M0 6l6-6M5 7l2-2" stroke="#c9ced3" stroke-width="1"/>'
                 '</pattern></defs>')
        self.put('<style>\ntext{font-family:"DejaVu Sans",Helvetica,Arial,sans-serif;fill:#222}\n'
                 '.h{font-size:20px;font-weight:600}.p{font-size:13px}'
                 '.c{font-size:12px;text-anchor:middle}\n'
                 '.a{font-size:11px;text-anchor:end;'
                 'font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace}\n</style>')
        self.rect("#fff", 0, 0, width, height)
        self.text("h", 16, 32, "goalloc, a heap through a day")
        self.text("p", 16, 56, f"goalloc {log.facts['version']} on {log.facts['kernel']}; "
                  f"{log.facts['machine']}. An hour of the day takes {log.hour:g} s; "
                  f"{len(log.samples)} samples.")
        self.text("p", 16, 76, "Each row is a chunk, 4 MiB of addresses, filled from below by what its "
                  "512 heap pages are.")

    def phases_over(self, top, bottom):
        """Where parts of the day begin, with their names above."""
        ends = self.log.phase_ends()
        for (time, name), end in zip(self.log.phases, ends):
            x = round(LEFT + WIDTH * time / self.log.end)
            middle = round(LEFT + WIDTH * (time + min(end, self.log.end)) / 2 / self.log.end)
            if time > 1:
                self.put(f'<path stroke="#222" stroke-width=".7" stroke-dasharray="3 3"'
                         f' d="M{x} {top - 8}V{bottom}"/>')
            self.text("c", middle, top - 12, name)

    def pages(self, top):
        order = ("small", "medium", "large", "untouched", "idle", "released")
        for row in range(self.rows):
            y = top + row * STEP
            if row % 2 == 0:
                self.text("a", LEFT - 8, y + BAR - 1, f"{BASE + row * ROW_BYTES:#x}")
            self.rect(COLOURS["grown"], LEFT, y, WIDTH, BAR)
            counts = [s.rows.get(row) for s in self.log.samples]
            # From behind: what is on top of the pile first.
            for n in range(len(order), 0, -1):
                if not any(c and c[order[n - 1]] for c in counts):
                    continue
                heights = [sum(c[kind] for kind in order[:n]) * BAR / ROW_PAGES if c else 0
                           for c in counts]
                self.steps(heights, y + BAR, COLOURS[order[n - 1]])

    def axis(self, bottom, top_value, scale, every, unit):
        value = 0
        while value <= top_value:
            y = bottom - value * scale
            self.put(f'<path stroke="#ddd" stroke-width=".7" d="M{LEFT} {y:.1f}h{WIDTH}"/>')
            self.text("a", LEFT - 8, f"{y + 4:.1f}", f"{value / MIB:g} {unit}")
            value += every

    def bytes(self, bottom):
        samples = self.log.samples
        top_value = max(max(s.held, s.inuse + s.idle) for s in samples)
        scale = BYTES_HEIGHT / top_value
        self.axis(bottom, top_value, scale, 32 * MIB, "MiB")
        self.steps([(s.inuse + s.idle) * scale for s in samples], bottom, COLOURS["idle"])
        self.steps([s.inuse * scale for s in samples], bottom, "#90cdf4")
        self.line([s.live for s in samples], bottom, scale,
                  'stroke="#2b6cb0" stroke-width="1.2"')
        self.line([s.inuse * 1.1 for s in samples], bottom, scale,
                  'stroke="#2f855a" stroke-dasharray="1 3" stroke-width="1.2"')
        self.line([s.held for s in samples], bottom, scale, 'stroke="#222" stroke-width="1.6"')
        limits = [s.limit if s.limit != NO_LIMIT else None for s in samples]
        self.line(limits, bottom, scale, 'stroke="#c53030" stroke-width="1.4"')
        self.line([limit and limit * 0.95 for limit in limits], bottom, scale,
                  'stroke="#c53030" stroke-dasharray="4 3" stroke-width="1.2"')

    def back(self, bottom):
        """What was given back since the sample before, in bytes a second."""
        samples = self.log.samples
        rates = []
        for before, now in zip(samples, samples[1:]):
            seconds = max(now.time - before.time, 0.01)
            rates.append({c: (now.back[c] - before.back[c]) / seconds for c in CAUSES})
        top_value = max(max(sum(rate.values()) for rate in rates), 1)
        scale = BACK_HEIGHT / top_value
        every = MIB
        while top_value / every > 4:
            every *= 2
        self.axis(bottom, top_value, scale, every, "MiB/s")
        for n in range(len(CAUSES), 0, -1):
            heights = [sum(rate[c] for c in CAUSES[:n]) * scale for rate in rates]
            # At least to be seen.
            heights = [max(h, 1.0) if rate[CAUSES[n - 1]] else h
                       for h, rate in zip(heights, rates)]
            if any(rate[CAUSES[n - 1]] for rate in rates):
                self.steps(heights + [0], bottom, COLOURS[CAUSES[n - 1]])

    def hours(self, y):
        for hour in range(0, 25, 3):
            x = LEFT + WIDTH * hour * self.log.hour / self.log.end
            self.text("c", round(x), y, f"{hour}:00")

    def legend(self, x, y, kinds):
        for sample, label in kinds:
            if sample.startswith("<"):
                self.put(f'<g transform="translate({x} {y})">{sample}</g>')
            else:
                self.rect(sample, x, y, 24, 12)
            self.text("p", x + 30, y + 11, label)
            x += 30 + 7.2 * len(label) + 18
            x = round(x)

    def draw(self):
        rows_end = TOP + self.rows * STEP
        bytes_end = rows_end + GAP + 20 + BYTES_HEIGHT
        back_end = bytes_end + GAP + BACK_HEIGHT
        height = back_end + 40
        self.head(height)
        self.legend(16, 86, [
            (COLOURS["small"], "in use, objects to 512 bytes"),
            (COLOURS["medium"], "to 32 KiB"),
            (COLOURS["large"], "larger"),
            (COLOURS["idle"], "idle, memory behind it"),
            (COLOURS["released"], "given back, or never touched"),
            (COLOURS["grown"], "not grown"),
        ])
        self.pages(TOP)

        def stroke(style):
            return f'<path d="M0 6h24" fill="none" {style}/>'
        self.legend(LEFT, rows_end + 26, [
            (stroke('stroke="#2b6cb0" stroke-width="1.2"'), "live"),
            ("#90cdf4", "in use"),
            (COLOURS["idle"], "idle, memory behind it"),
            (stroke('stroke="#222" stroke-width="1.6"'), "held"),
            (stroke('stroke="#2f855a" stroke-dasharray="1 3" stroke-width="1.2"'),
             "110 % of in use"),
            (stroke('stroke="#c53030" stroke-width="1.4"'), "soft limit"),
            (stroke('stroke="#c53030" stroke-dasharray="4 3" stroke-width="1.2"'), "95 % of it"),
        ])
        self.bytes(bytes_end)
        self.legend(LEFT, bytes_end + 16, [
            (COLOURS["background"], "given back in the background"),
            (COLOURS["limit"], "for the limit"),
        ])
        self.back(back_end)
        self.hours(back_end + 20)
        self.phases_over(TOP, back_end)
        self.put("</svg>")
        return "\n".join(self.out) + "\n"


def mib(value):
    return f"{value / MIB:.1f}"


def figures(log):
    """What the text about the diagram says."""
    print("times in hours of the day, sizes in MiB")
    print(f"{'from':>6} {'to':>6} {'live':>13} {'in use':>13} {'idle':>13} {'held':>13}"
          f" {'background':>10} {'limit':>7}  part")
    for (time, name), end in zip(log.phases, log.phase_ends()):
        part = [s for s in log.samples if time <= s.time < end]
        before = [s for s in log.samples if s.time < time]
        first, last = part[0], part[-1]
        was = before[-1] if before else first
        spans = [f"{mib(getattr(first, n)):>6}>{mib(getattr(last, n)):>6}"
                 for n in ("live", "inuse", "idle", "held")]
        print(f"{first.time / log.hour:6.2f} {last.time / log.hour:6.2f} {' '.join(spans)}"
              f" {mib(last.back['background'] - was.back['background']):>10}"
              f" {mib(last.back['limit'] - was.back['limit']):>7}  {name}")
        # When what is idle is within the goal for good.
        late = [s for s in part if s.idle > s.inuse / 10 + 2 * MIB]
        if late:
            print(f"{'':14}idle above 10 % of in use and 2 MiB until"
                  f" {late[-1].time / log.hour:.2f}, at most {mib(max(s.idle for s in part))}")
        limited = [s for s in part if s.limit != NO_LIMIT]
        if limited:
            print(f"{'':14}limit {mib(limited[0].limit)}, held at most"
                  f" {mib(max(s.held for s in limited))}, before it {mib(was.held)}")
    last = log.samples[-1]
    most = max(len(s.rows) for s in log.samples)
    print(f"background: {last.background_ns / 1e6:.1f} ms of {log.end:.1f} s,"
          f" {last.background_ns / log.end / 1e7:.2f} % of a CPU")
    print(f"address space: {most * ROW_BYTES // MIB} MiB at most,"
          f" {len(last.rows) * ROW_BYTES // MIB} MiB in the end")
    print(f"a sample took {max(s.took_ns for s in log.samples) / 1e6:.0f} ms at most")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: draw.py LOG SVG")
    log = Log(sys.argv[1])
    with open(sys.argv[2], "w") as stream:
        stream.write(Drawing(log).draw())
    figures(log)


main()
