#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draw what make bench found.

chart.py DIR: DIR/rows.tsv becomes DIR/<chart>.svg, one for each chart that there are
rows for.
"""

import math
import os
import re
import sys
from xml.sax.saxutils import escape

from figures import decimal, read_rows

WIDTH, HEIGHT = 860, 470
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 66, 62

# Each allocator has a colour in all charts, and goalloc the strong line.
COLOURS = {
    "goalloc": "#0077a3",
    "goalloc-class": "#37b5d8",
    "goalloc-variable": "#7a5cc4",
    "kmalloc": "#c8451b",
    "kmalloc-variable": "#e8a13a",
    "kmem_cache": "#6a737b",
    "kmem_cache-bulk": "#6a737b",
    "alloc_pages": "#3d8b4f",
    "kvmalloc": "#d98bb0",
}
DASHED = {"goalloc-class": "6 3", "alloc_pages": "2 3", "kmem_cache": "7 3 2 3",
          "kmem_cache-bulk": "7 3 2 3"}

LABELS = {1 << 10: "KiB", 1 << 20: "MiB"}

# A chart's name and title, and what it shows: part and case (None for any), allocators.
ALL = ("goalloc", "goalloc-class", "kmalloc", "kmem_cache", "alloc_pages")
BULK = ("goalloc", "goalloc-class", "kmem_cache-bulk")
CHARTS = (
    ("hot", "An allocation and its free, hot", "hot", None, ALL),
    ("lifo", "4096 live objects (64 MiB at most), the last one freed first", "lifo", "many", ALL),
    ("shuffled", "4096 live objects (64 MiB at most), freed in any order", "shuffled", "many", ALL),
    ("bulk", "64 objects in a call", "bulk", "64", BULK),
    ("bulk-shuffled", "64 objects in a call, of 4096 in any order", "bulk", "64-shuffled",
     BULK),
)
PHASES = {"peak": "Memory while all objects live", "later": "Memory when most have died"}
UNITS = {"uml": "nanoseconds"}


def size_name(size):
    for unit, name in sorted(LABELS.items(), reverse=True):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return str(size)


def number(value):
    return f"{value:.1f}" if value < 20 else f"{value:.0f}"


def text(x, y, words, anchor="middle", size=12, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
            f'{extra}>{escape(words)}</text>')


def ticks(low, high):
    """Round numbers on a logarithmic scale."""
    found = []
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for factor in (1, 2, 5):
            value = factor * 10 ** exponent
            if low <= value * 1.0001 and value <= high * 1.0001:
                found.append(value)
    return found


def spread(wanted, least, low, high):
    """Labels at these heights or as near as they do not overlap, in order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = dict(zip(order, (wanted[i] for i in order)))
    for _ in range(100):
        moved = False
        for upper, lower in zip(order, order[1:]):
            missing = least - (places[lower] - places[upper])
            if missing > 0.1:
                places[upper] -= missing / 2
                places[lower] += missing / 2
                moved = True
        for i in order:
            places[i] = min(max(places[i], low), high)
        if not moved:
            break
    return [places[i] for i in range(len(wanted))]


def draw(path, title, subtitle, unit, sizes, lines):
    """@lines: allocator to {size: value}, all on a logarithmic scale."""
    values = [value for line in lines.values() for value in line.values()]
    low = max(min(values) * 0.8, 0.1)     # nothing is too little for a logarithm
    high = max(values) * 1.15
    if high / low < 10:
        low = high / 10
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(size):
        return LEFT + 24 + sizes.index(size) * (right - LEFT - 48) / max(len(sizes) - 1, 1)

    def y(value):
        part = math.log(max(value, low) / low) / math.log(high / low)
        return bottom - part * (bottom - TOP)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" fill="#24292f">',
           f"<title>{escape(title)}, {escape(subtitle)}</title>",
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
           text(LEFT, 28, title, "start", 17, ' font-weight="bold"'),
           text(LEFT, 48, subtitle, "start", 12, ' fill="#57606a"')]
    for value in ticks(low, high):
        out += [f'<line x1="{LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}" '
                'stroke="#e4e7ea"/>',
                text(LEFT - 8, y(value) + 4, f"{value:g}", "end", 11, ' fill="#57606a"')]
    for size in sizes:
        out += [f'<line x1="{x(size):.1f}" y1="{bottom}" x2="{x(size):.1f}" '
                f'y2="{bottom + 4}" stroke="#8c959f"/>',
                text(x(size), bottom + 18, size_name(size), size=11 if len(sizes) < 13 else 10)]
    out += [f'<line x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#8c959f"/>',
            text((LEFT + right) / 2, HEIGHT - 16, "bytes of an object", size=12),
            text(0, 0, f"{unit}, logarithmic", size=12,
                 extra=f' transform="translate(20 {(TOP + bottom) / 2:.0f}) rotate(-90)"')]

    names = list(lines)
    ends = [y(lines[name][max(lines[name])]) for name in names]
    places = spread(ends, 16, TOP + 4, bottom)
    for name, place in zip(names, places):
        points = sorted(lines[name].items())
        colour = COLOURS[name]
        width = 3 if name == "goalloc" else 1.8
        dash = f' stroke-dasharray="{DASHED[name]}"' if name in DASHED else ""
        joined = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in points)
        out.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" '
                   f'stroke-width="{width}" stroke-linejoin="round"{dash}/>')
        for size, value in points:
            out.append(f'<circle cx="{x(size):.1f}" cy="{y(value):.1f}" '
                       f'r="{3.5 if name == "goalloc" else 2.5}" fill="{colour}">'
                       f"<title>{name}, {size_name(size)}: {decimal(value)}</title></circle>")
        last = points[-1][0]
        out += [f'<line x1="{x(last) + 6:.1f}" y1="{y(lines[name][last]):.1f}" '
                f'x2="{right + 12}" y2="{place:.1f}" stroke="{colour}" stroke-width="0.8" '
                'opacity="0.6"/>',
                text(right + 16, place + 4, f"{name} {number(lines[name][last])}", "start", 12,
                     f' fill="{colour}"'
                     + (' font-weight="bold"' if name == "goalloc" else ""))]
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as stream:
        print("\n".join(out), file=stream)


def draw_bars(path, title, subtitle, unit, groups):
    """@groups: name to {allocator: value}, as bars beside each other."""
    names = [name for name in COLOURS if any(name in bars for bars in groups.values())]
    left, right, step, bar, gap = 190, WIDTH - 60, 14, 12, 14
    height = 96 + sum(step * len(bars) + gap for bars in groups.values())
    high = max(value for bars in groups.values() for value in bars.values())
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           f'width="{WIDTH}" height="{height}" font-family="sans-serif" fill="#24292f">',
           f"<title>{escape(title)}, {escape(subtitle)}</title>",
           f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
           text(24, 28, title, "start", 17, ' font-weight="bold"'),
           text(24, 48, f"{unit}; {subtitle}", "start", 12, ' fill="#57606a"')]
    for i, name in enumerate(names):
        x = left + i * 130
        out += [f'<rect x="{x}" y="60" width="12" height="12" fill="{COLOURS[name]}"/>',
                text(x + 18, 70, name, "start", 12)]
    top = 88
    for group, bars in groups.items():
        out.append(text(left - 10, top + step * len(bars) / 2 + 3, group, "end", 12))
        for k, name in enumerate(name for name in names if name in bars):
            width = max(bars[name] / high * (right - left), 1)
            y = top + step * k
            out += [f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar}" '
                    f'fill="{COLOURS[name]}"><title>{escape(group)}, {name}: '
                    f"{decimal(bars[name])}</title></rect>",
                    text(left + width + 6, y + 10, f"{bars[name]:.2f}", "start", 11,
                         ' fill="#57606a"')]
        top += step * len(bars) + gap
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as stream:
        print("\n".join(out), file=stream)


def memory(rows, phase):
    """Backed over asked for in a phase: CPUs to {workload: {allocator: ratio}}."""
    found = {}
    for (series, part, case, _, allocator, metric), value in rows.items():
        match = re.match(rf"^(.+)-{phase}(-\d+)?-(\d+)cpu$", case)
        if (series, part, metric) == ("memory", "memory", "ratio") and match and \
                allocator in COLOURS:
            groups = found.setdefault(match[3], {})
            groups.setdefault(match[1] + (match[2] or ""), {})[allocator] = value
    return found


def pick(rows, series, part, case, allocators):
    """The pairs of a part: allocator to {size: value}."""
    lines = {}
    for (where, what, how, size, allocator, metric), value in rows.items():
        if (where, what, metric) != (series, part, "pair") or allocator not in allocators:
            continue
        if case == "many":
            if int(how) <= 256 and int(size) < 1 << 20:
                continue
        elif case is not None and how != case:
            continue
        lines.setdefault(allocator, {})[int(size)] = value
    return {name: lines[name] for name in allocators if name in lines}


def main():
    directory = sys.argv[1]
    rows = read_rows(os.path.join(directory, "rows.tsv"))
    with open(os.path.join(directory, "machine"), encoding="utf-8") as stream:
        machine = stream.readline().strip()
    for series in dict.fromkeys(key[0] for key in rows):
        for name, title, part, case, allocators in CHARTS:
            lines = pick(rows, series, part, case, allocators)
            if "goalloc" not in lines:
                continue
            sizes = sorted({size for line in lines.values() for size in line})
            where = "User-Mode Linux 6.12" if series == "uml" else f"Debian's {series}"
            draw(os.path.join(directory, f"{name}-{series}.svg"), title,
                 f"{where}; {machine}", UNITS.get(series, "instructions"), sizes, lines)
    for phase, title in PHASES.items():
        for cpus, groups in memory(rows, phase).items():
            draw_bars(os.path.join(directory, f"memory-{phase}-{cpus}cpu.svg"), title,
                      f"on {cpus} CPU; {machine}", "bytes backed over bytes asked for", groups)


if __name__ == "__main__":
    main()
