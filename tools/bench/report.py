#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make tables of what a benchmark measured.

report.py DIR SERIES...: DIR/<series>/<program>.tap hold the rows that the
programs of tools/bench printed, each program once in each order; DIR/machine and
DIR/<series>/release say where that was. Writes DIR/rows.tsv with everything and DIR/targets.tsv with what is asked of goalloc,
and prints both as tables.

A target is "ok" or "short"; neither is a failure, but for what a run of pages may
cost. A row that was not measured, or in one order only, is one.
"""

import argparse
import os
import sys

PROGRAMS = ("kernel", "device", "pages")
PASSES = ("first", "second")

SIZES = ("16", "64", "512", "1024")

# What is asked of the device.
BATCH_RATIO = 3
TOUCH_RATIO = 1
IDLE_BYTES = 64 << 10
OBJECT_BYTES = 128 << 10

# Heaps by the size of their address space, and runs by their pages.
HEAPS = ("64M", "1G", "64G", "1T")
RUNS = ("1", "4", "16", "64", "520")

# What is asked of the page allocator: what a run costs in any heap over any other,
# and how long a call may hold the lock.
HEAP_RATIO = 2
LOCK_INSTRUCTIONS = 20000


class Rows:
    """Rows by (group, case, size, variant, state): a value for each pass."""

    def __init__(self, directory):
        self.values = {}
        for number, name in enumerate(PASSES):
            for program in PROGRAMS:
                self.read(os.path.join(directory, f"{program}-{name}.tap"), number)
        for key, values in self.values.items():
            if None in values:
                sys.exit(f"report: {' '.join(key)} was measured in one order only")

    def read(self, path, number):
        with open(path) as stream:
            lines = [line.rstrip("\n") for line in stream]
        for line in filter(None, lines):
            *key, value = line.split("\t")
            if len(key) != 5:
                sys.exit(f"report: {path}: not a row: {line}")
            if key[0] != "memory":      # instructions come in tenths
                value = int(value) / 10
            values = self.values.setdefault(tuple(key), [None, None])
            if values[number] is not None:
                sys.exit(f"report: {path}: twice: {line}")
            values[number] = float(value)

    def __getitem__(self, key):
        """The mean of both orders."""
        if key not in self.values:
            sys.exit(f"report: {' '.join(key)} was not measured")
        return sum(self.values[key]) / 2

    def difference(self):
        """The largest of the differences between the orders, and whose."""
        def part(key):
            first, second = self.values[key]
            return abs(first - second) / max(abs(first), abs(second), 1)
        key = max((k for k in self.values if k[0] != "memory"), key=part)
        return part(key), " ".join(word for word in key if word != "-")


class Targets:
    """What is asked, what is there."""

    def __init__(self):
        self.rows = []
        self.failed = False

    def add(self, series, what, value, limit, must=False):
        verdict = "ok" if value <= limit else "short"
        self.failed |= must and value > limit
        self.rows.append((series, what, value, limit, verdict))
        return verdict


def table(head, lines):
    """Columns by blanks, the first to the left and the others to the right."""
    lines = [[str(word) for word in line] for line in lines]
    widths = [max(len(word) for word in column) for column in zip(head, *lines)]
    for line in [head, ["-" * width for width in widths], *lines]:
        words = [line[0].ljust(widths[0])]
        words += [word.rjust(width) for word, width in zip(line[1:], widths[1:])]
        print("  " + "  ".join(words).rstrip())
    print()


def objects(series, rows, targets):
    """Batches beside the kernel's own calls, and one object an ioctl."""
    lines = []
    # Zeroing is nothing to a free.
    for what, zeroing in (("alloc", "zeroed"), ("alloc", "uninit"), ("free", "zeroed")):
        for size in SIZES:
            # A kernel heap's memory is always dirty.
            kernel = {state: rows["kernel", what, size, zeroing, state]
                      for state in ("steady", "fresh")}
            kernel["dirty"] = kernel["steady"]
            batch = {state: rows["device", f"batch-{what}", size, zeroing, state]
                     for state in kernel}
            ratio = {state: batch[state] / kernel[state] for state in kernel}
            worst = max(ratio.values())
            name = f"{what} {size}" + (f" {zeroing}" if what == "alloc" else "")
            verdict = targets.add(series, f"batch over kernel, {name}", worst,
                                  BATCH_RATIO)
            lines.append([
                name, *(f"{kernel[state]:.1f}" for state in ("steady", "fresh")),
                *(f"{batch[state]:.1f}" for state in ("steady", "dirty", "fresh")),
                f"{worst:.2f}", verdict,
                f"{rows['device', f'single-{what}', size, zeroing, 'steady']:.0f}"])
    print(f"{series}: instructions an object, 1024 in a row; at most {BATCH_RATIO} times"
          " the kernel's in a batch")
    table(["object", "kernel", "fresh", "batch", "dirty", "fresh", "worst", "",
           "single"], lines)
    print(f"  an ioctl that does nothing: {rows['device', 'nothing', '0', '-', '-']:.0f}\n")


def touches(series, rows, targets):
    lines = []
    for step, kind in (("4096", "write"), ("4096", "write-random"), ("4096", "read"),
                       ("8192", "write")):
        took = [rows["touch", mapping, step, kind, "-"]
                for mapping in ("goalloc", "anonymous", "shared", "memfd")]
        ratio = took[0] / took[1]
        verdict = targets.add(series, f"first touch over anonymous, {kind} each {step}",
                              ratio, TOUCH_RATIO)
        lines.append([f"{kind} each {step}", *(f"{value:.0f}" for value in took),
                      f"{ratio:.2f}", verdict])
    print(f"{series}: instructions a touched page, 16 MiB; at most {TOUCH_RATIO} times"
          " anonymous memory's")
    table(["first touch", "goalloc", "anonymous", "shared", "memfd", "ratio", ""], lines)
    print("  of which clearing 4096 bytes:"
          f" {rows['kernel', 'clear-page', '4096', '-', '-']:.0f}\n")


def memory(series, rows, targets):
    lines = []
    for what, name, limit in (("idle", "an idle file", IDLE_BYTES),
                              ("object", "its first object", OBJECT_BYTES),
                              ("touched", "writing to that", None)):
        taken = {kind: rows["memory", what, "-", kind, "-"]
                 for kind in ("all", "slab", "percpu")}
        verdict = ""
        if limit:
            verdict = targets.add(series, f"bytes of {name}", taken["all"], limit)
        lines.append([name, *(f"{value:.0f}" for value in taken.values()), limit or "",
                      verdict])
    print(f"{series}: bytes of kernel memory, the mean of 200 files")
    table(["memory", "all", "slab", "percpu", "limit", ""], lines)


def pages(series, rows, targets):
    """Runs of pages by the size of the heap, and the longest times under the lock."""
    lines = []
    for call in ("alloc", "free"):
        for run in RUNS:
            line = [f"{call} {run}"]
            for kind in ("median", "worst"):
                took = [rows["pages", call, run, heap, kind] for heap in HEAPS]
                ratio = max(took) / min(took)
                verdict = targets.add(series, f"heap over heap, {call} {run}, {kind}",
                                      ratio, HEAP_RATIO, must=True)
                line += [*(f"{value:.0f}" for value in took), f"{ratio:.2f}", verdict]
            lines.append(line)
    print(f"{series}: instructions a run of pages, median and worst of 1024, in heaps half"
          f" full; at most {HEAP_RATIO} times as many in one heap as in another")
    table(["pages", *HEAPS, "ratio", "", *(f"worst {heap}" for heap in HEAPS), "ratio", ""],
          lines)

    lines = []
    for call, run in (("alloc", "8192"), ("free", "8192"), ("grow", "8192"),
                      ("take-set", "64"), ("give-set", "64"), ("ungrow", "512"),
                      *(("alloc-aligned", run) for run in ("1", "2", "64", "255"))):
        took = rows["lock", call, run, "-", "worst"]
        verdict = targets.add(series, f"instructions under the lock, {call} {run}", took,
                              LOCK_INSTRUCTIONS, must=True)
        lines.append([f"{call} {run}", f"{took:.0f}", verdict])
    print(f"{series}: instructions under the lock, at most {LOCK_INSTRUCTIONS}")
    table(["pages", "longest", ""], lines)


def churn(series, directory, stream):
    """What is held beside what lives, measured once; the rows go to @stream."""
    rows = {}
    with open(os.path.join(directory, "churn.tap")) as tap:
        for line in filter(None, (line.rstrip("\n") for line in tap)):
            _, number, phase, allocator, what, value = line.split("\t")
            rows[number, phase, allocator, what] = int(value)
            print(series, line, "", sep="\t", file=stream)
    lines = []
    for number, phase in dict.fromkeys(key[:2] for key in rows):
        words = [f"{number} {phase}",
                 f"{rows[number, phase, 'goalloc', 'live'] / 2**20:.1f}"]
        for allocator in ("goalloc", "kmalloc"):
            live, held = (rows[number, phase, allocator, what] for what in ("live", "held"))
            words += [f"{held / 2**20:.1f}", f"{held / live:.2f}",
                      rows.get((number, phase, allocator, "took"), "")]
        lines.append(words)
    if not lines:
        sys.exit(f"report: {directory}: no long churn")
    print(f"{series}: long churn: MiB live and held, their ratio, instructions an object")
    table(["round", "live", "goalloc", "ratio", "took", "kmalloc", "ratio", "took"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("series", nargs="+", help="kernels, as 6.12")
    args = parser.parse_args()

    targets = Targets()
    with open(os.path.join(args.directory, "machine")) as stream:
        print(stream.read(), end="")
    with open(os.path.join(args.directory, "rows.tsv"), "w") as stream:
        print("kernel", "group", "case", "size", "variant", "state", "first", "second",
              sep="\t", file=stream)
        for series in args.series:
            directory = os.path.join(args.directory, series)
            rows = Rows(directory)
            with open(os.path.join(directory, "release")) as release:
                print(f"\nDebian's {release.read().strip()}\n")
            objects(series, rows, targets)
            touches(series, rows, targets)
            memory(series, rows, targets)
            pages(series, rows, targets)
            churn(series, directory, stream)
            part, name = rows.difference()
            print(f"  The two orders differ by {part:.1%} at most ({name}).\n")
            for key, values in sorted(rows.values.items()):
                print(series, *key, *values, sep="\t", file=stream)

    with open(os.path.join(args.directory, "targets.tsv"), "w") as stream:
        print("kernel", "target", "value", "limit", "verdict", sep="\t", file=stream)
        for series, what, value, limit, verdict in targets.rows:
            print(series, what, f"{value:.3f}", limit, verdict, sep="\t", file=stream)
    short = [row for row in targets.rows if row[4] == "short"]
    print(f"{len(targets.rows) - len(short)} targets ok, {len(short)} short"
          + "".join(f"\n  short: {row[0]}, {row[1]}: {row[2]:.2f}, asked {row[3]}"
                    for row in short))
    if targets.failed:
        sys.exit("report: a run of pages costs more than it may")


if __name__ == "__main__":
    main()
