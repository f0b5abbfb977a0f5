# SPDX-License-Identifier: GPL-2.0-only
"""What the parts of make bench share: rows, targets and tables.

A row is a figure: series, part, case, size, allocator, metric, value. A part leaves
its rows in DIR/<name>.rows.tsv and what is asked of goalloc in DIR/<name>.targets.tsv,
without heads; collect.py makes one file of each of all.
"""

import os
import sys

ROW = ("series", "part", "case", "size", "allocator", "metric", "value")
TARGET = ("series", "what", "value", "limit", "verdict")


def read_rows(path):
    """A dict: (series, part, case, size, allocator, metric) to the value."""
    rows = {}
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            words = line.rstrip("\n").split("\t")
            if tuple(words) == ROW:
                continue
            if len(words) != len(ROW) or tuple(words[:-1]) in rows:
                sys.exit(f"{path}: not a row, or twice: {line}")
            rows[tuple(words[:-1])] = float(words[-1])
    return rows


def decimal(value):
    """A number as short as it may be with three decimals."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text if text != "-0" else "0"


class Targets:
    """What is asked, what is there: lower is better."""

    def __init__(self):
        self.rows = []
        self.failed = False

    def add(self, series, what, value, limit, must=False):
        """What is asked as a part of one is judged by three decimals, the rest by two."""
        verdict = "ok" if round(value, 3 if limit < 1 else 2) <= limit else "short"
        self.failed |= must and verdict == "short"
        self.rows.append((series, what, value, limit, verdict))
        return verdict


class Figures:
    """The rows and targets of a part, where they go, and the series they belong to."""

    def __init__(self, directory, name, series=None):
        self.directory = directory
        self.name = name
        self.series = series or name
        self.rows = []
        self.targets = Targets()

    def add(self, part, case, size, allocator, metric, value):
        self.rows.append((self.series, part, case, size, allocator, metric, value))

    def write(self):
        path = os.path.join(self.directory, f"{self.name}.rows.tsv")
        with open(path, "w", encoding="utf-8") as stream:
            for *key, value in self.rows:
                print(*key, decimal(value), sep="\t", file=stream)
        path = os.path.join(self.directory, f"{self.name}.targets.tsv")
        with open(path, "w", encoding="utf-8") as stream:
            for series, what, value, limit, verdict in self.targets.rows:
                print(series, what, decimal(value), decimal(limit), verdict, sep="\t",
                      file=stream)


def table(head, lines):
    """Columns by blanks, the first to the left and the others to the right."""
    lines = [[str(word) for word in line] for line in lines]
    widths = [max(len(word) for word in column) for column in zip(head, *lines)]
    for line in [head, ["-" * width for width in widths], *lines]:
        words = [line[0].ljust(widths[0])]
        words += [word.rjust(width) for word, width in zip(line[1:], widths[1:])]
        print("  " + "  ".join(words).rstrip())
    print()
