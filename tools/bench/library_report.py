#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make rows and a table of what malloc() costs in a process.

library_report.py DIR SERIES...: DIR/library/<series>/<allocator>-<pass>.tap have the
rows of tools/bench/library.c. Writes DIR/library.rows.tsv, the means of both orders,
and DIR/library.targets.tsv: nothing is asked.
"""

import argparse
import os
import sys

from figures import Figures, table

ALLOCATORS = ("goalloc", "glibc", "mmap")
PASSES = ("first", "second")


def read(directory):
    """{(case, size, metric): {allocator: [first, second]}}"""
    found = {}
    for allocator in ALLOCATORS:
        for number, name in enumerate(PASSES):
            path = os.path.join(directory, f"{allocator}-{name}.tap")
            with open(path, encoding="utf-8") as stream:
                lines = [line.rstrip("\n").split("\t") for line in stream if line.strip()]
            if not lines:
                sys.exit(f"library_report: {path} is empty")
            for line in lines:
                if len(line) != 6 or line[0] != "library" or line[3] != allocator:
                    sys.exit(f"library_report: {path}: not a row: {line}")
                row = found.setdefault((line[1], int(line[2]), line[4]), {})
                row.setdefault(allocator, [None, None])[number] = float(line[5])
    for key, row in found.items():
        if any(None in values for values in row.values()):
            sys.exit(f"library_report: {key} was measured in one order only")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("series", nargs="+", help="kernels, as 6.12")
    args = parser.parse_args()

    figures = Figures(args.directory, "library")
    for series in args.series:
        lines = []
        worst = (0, "")
        # Small objects before large, sizes in order within a case.
        found = read(os.path.join(args.directory, "library", series))
        cases = list(dict.fromkeys(case for case, _, _ in found))
        for key in sorted(found, key=lambda key: (cases.index(key[0]), key[1], key[2])):
            case, size, metric = key
            line = [f"{case} {size} {metric}"]
            for allocator in ALLOCATORS:
                if allocator not in found[key]:
                    line.append("")
                    continue
                first, second = found[key][allocator]
                mean = (first + second) / 2
                worst = max(worst, (abs(first - second) / max(first, second, 1),
                                    f"{line[0]}, {allocator}"))
                figures.rows.append((series, "library", case, size, allocator, metric, mean))
                line.append(f"{mean:.1f}")
            row = found[key]
            line.append(f"{sum(row['goalloc']) / max(sum(row['glibc']), 1):.2f}"
                        if "goalloc" in row and "glibc" in row else "")
            lines.append(line)
        print(f"\n{series}: instructions of malloc() and free() in a process, of the kernel too")
        table(["case, bytes", *ALLOCATORS, "goalloc/glibc"], lines)
        print(f"  The two orders differ by {worst[0]:.1%} at most ({worst[1]}).\n")
    figures.write()


if __name__ == "__main__":
    main()
