#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make rows, targets and a table of what objects take of memory.

memory_report.py DIR RUN...: DIR/memory/<cpus>/<run>.tap hold what goalloc_memory_bench
printed, a run being <workload>:<allocator>. Writes DIR/memory.rows.tsv and
DIR/memory.targets.tsv.
"""

import argparse
import os
import sys

from figures import Figures, table

SERIES = "memory"
ALLOCATORS = ("goalloc", "kmalloc", "goalloc-class", "kmem_cache")

# What is asked: backed over asked for, at the peak of a mix and of one of which half
# was freed; goalloc's over kmalloc's when 90 % were freed. What was freed is looked at
# 10 s later.
PEAK = ("uniform-1-2048", 1.13)
HALF = ("3.5-4-4.5K", 2.2)
FREED = 0.8


def read(directory, cpus, runs):
    """{(workload, phase): {allocator: {"asked": bytes, "backed": bytes}}}"""
    found = {}
    for run in runs:
        workload, allocator = run.split(":")
        path = os.path.join(directory, SERIES, cpus, run + ".tap")
        with open(path, encoding="utf-8") as stream:
            lines = [line.rstrip("\n").split("\t") for line in stream if line.strip()]
        if not lines:
            sys.exit(f"memory_report: {path} is empty")
        for line in lines:
            if len(line) != 6 or (line[0], line[1], line[3]) != (SERIES, workload, allocator):
                sys.exit(f"memory_report: {path}: not a row: {line}")
            phase = found.setdefault((workload, line[2]), {})
            phase.setdefault(allocator, {})[line[4]] = int(line[5])
    for (workload, phase), allocators in found.items():
        if len({values["asked"] for values in allocators.values()}) != 1:
            sys.exit(f"memory_report: {workload}, {phase}: not asked for the same")
    return found


def target(targets, cpus, workload, phase, ratio, over):
    """The verdict, or an empty word if nothing is asked."""
    what = f"{cpus} CPU, {workload}"
    if (workload, phase) == (PEAK[0], "peak"):
        return targets.add(SERIES, f"{what}: backed over asked for, peak", ratio, PEAK[1])
    if not phase.startswith("later"):
        return ""
    if workload == HALF[0]:
        return targets.add(SERIES, f"{what}: backed over live, half freed, 10 s later", ratio,
                           HALF[1])
    return targets.add(SERIES, f"{what}: goalloc over kmalloc, 90 % freed, 10 s later"
                       + phase.removeprefix("later").replace("-", ", round "), over, FREED)


def tell(figures, cpus, found):
    """All of a machine, as rows and a table."""
    lines = []
    for (workload, phase), allocators in found.items():
        line = [f"{workload} {phase}", ""]
        for allocator in ALLOCATORS:
            if allocator not in allocators:
                line += ["", ""]
                continue
            asked, backed = allocators[allocator]["asked"], allocators[allocator]["backed"]
            line[1] = f"{asked / 2**20:.1f}"
            line += [f"{backed / 2**20:.1f}", f"{backed / asked:.2f}"]
            case = f"{workload}-{phase}-{cpus}cpu"
            figures.add("memory", case, "-", allocator, "asked-bytes", asked)
            figures.add("memory", case, "-", allocator, "backed-bytes", backed)
            figures.add("memory", case, "-", allocator, "ratio", backed / asked)
        if "goalloc" in allocators and "kmalloc" in allocators:
            goalloc = allocators["goalloc"]
            over = goalloc["backed"] / allocators["kmalloc"]["backed"]
            line += [f"{over:.2f}", target(figures.targets, cpus, workload, phase,
                                           goalloc["backed"] / goalloc["asked"], over)]
        else:
            line += ["", ""]
        lines.append(line)
    print(f"\nmemory, {cpus} CPU: MiB asked for, MiB backed and their ratio,"
          " goalloc's over kmalloc's")
    table(["workload and phase", "asked", "goalloc", "ratio", "kmalloc", "ratio", "class",
           "ratio", "kmem_cache", "ratio", "g/k", ""], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpus", default="1", help='numbers of CPUs, as in "1 8"')
    parser.add_argument("directory")
    parser.add_argument("run", nargs="+", help="<workload>:<allocator>")
    args = parser.parse_args()

    figures = Figures(args.directory, SERIES)
    for cpus in args.cpus.split():
        tell(figures, cpus, read(args.directory, cpus, args.run))
    figures.write()


if __name__ == "__main__":
    main()
