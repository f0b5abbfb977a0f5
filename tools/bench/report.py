#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make rows, targets and tables of what a kernel's guest measured.

report.py DIR NAME: DIR/NAME/<program>.tap hold the rows that the programs of
tools/bench printed, each program once in each order; DIR/NAME/release says on what
kernel. Writes DIR/NAME.rows.tsv and DIR/NAME.targets.tsv (see figures.py) and prints
both as tables. With --speed there is nothing but speed_bench.c's, and with --unit ns
they are nanoseconds.

A target is "ok" or "short"; neither is a failure, but for what a run of pages may
cost. A row that was not measured, or in one order only, is one.
"""

import argparse
import os
import sys

import speed
from figures import Figures, table

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


def churn(figures, directory):
    """What is held beside what lives, measured once."""
    rows = {}
    with open(os.path.join(directory, "churn.tap")) as tap:
        for line in filter(None, (line.rstrip("\n") for line in tap)):
            _, number, phase, allocator, what, value = line.split("\t")
            rows[number, phase, allocator, what] = int(value)
            figures.add("churn", f"{number}-{phase}", "-", allocator, what, int(value))
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
    print(f"{figures.name}: long churn: MiB live and held, their ratio, instructions an object")
    table(["round", "live", "goalloc", "ratio", "took", "kmalloc", "ratio", "took"], lines)


def common(group, case, size, variant, state):
    """A row's names as all parts have them: part, case, size, allocator, metric."""
    if group == "touch":        # mapping, step, kind
        return group, variant, size, case, "touch"
    if group == "memory":
        return "file", case, "-", "goalloc", f"bytes-{variant}"
    if group == "pages":        # call, run, heap, median or worst
        return group, f"{variant}-{state}", size, "goalloc", case
    if group == "lock":
        return group, case, size, "goalloc", state
    if case in ("nothing", "clear-page"):
        return "device", case, size, "-", "call"
    how, what = case.split("-") if group == "device" else ("kernel", case)
    return "device", f"{how}-{variant}-{state}", size, "goalloc", what


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true", help="nothing but speed_bench.c")
    parser.add_argument("--unit", choices=("instructions", "ns"), default="instructions")
    parser.add_argument("directory")
    parser.add_argument("name", help="of the series, as 6.12")
    args = parser.parse_args()

    directory = os.path.join(args.directory, args.name)
    figures = Figures(args.directory, args.name)
    with open(os.path.join(directory, "release")) as release:
        print(f"\n{release.read().strip()}\n")
    speed.report(figures, directory, PASSES, args.unit)
    if not args.speed:
        rows = Rows(directory)
        for part in (objects, touches, memory, pages):
            part(args.name, rows, figures.targets)
        churn(figures, directory)
        part, name = rows.difference()
        print(f"  The two orders differ by {part:.1%} at most ({name}).\n")
        for key in sorted(rows.values):
            figures.add(*common(*key), rows[key])
    figures.write()
    if figures.targets.failed:
        sys.exit("report: a run of pages costs more than it may")


if __name__ == "__main__":
    main()
