#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make rows, targets and tables of the nanoseconds that several boots measured.

uml_report.py DIR BOOTS: DIR/uml/<boot>/speed-first.tap and speed-second.tap hold the
rows of speed_bench.c in both orders, DIR/uml/release says on what kernel. Time differs
from boot to boot, even where nothing else runs: each row is the middle one of the
boots, and each target the middle one of the ratios, which are of one boot each. Writes
DIR/uml.rows.tsv and DIR/uml.targets.tsv (see figures.py).
"""

import argparse
import os
import statistics

import speed
from figures import Figures, Targets

NAME = "uml"
PASSES = ("first", "second")


def middle(values):
    return statistics.median_low(sorted(values))


def merge(boots):
    """One Speed of many, with the middle one of each row."""
    merged = boots[0]
    merged.rows = {key: middle([boot.rows[key] for boot in boots]) for key in merged.rows}
    merged.difference = max(boot.difference for boot in boots)
    return merged


def targets(figures, boots):
    """The middle ratios, and all of them for who wants to know how steady they are."""
    found = {}
    for boot in boots:
        one = Targets()
        speed.time_targets(NAME, boot, one)
        for _, what, value, limit, _ in one.rows:
            found.setdefault((what, limit), []).append(value)
    for (what, limit), values in found.items():
        verdict = figures.targets.add(NAME, what, middle(values), limit)
        print(f"  {what}: {', '.join(f'{value:.3f}' for value in values)} by boot,"
              f" asked {limit}: {verdict}")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("boots", type=int)
    args = parser.parse_args()

    directory = os.path.join(args.directory, NAME)
    with open(os.path.join(directory, "release"), encoding="utf-8") as release:
        print(f"\n{release.read().strip()}, nanoseconds, the middle of {args.boots} boots\n")
    boots = [speed.Speed(os.path.join(directory, str(boot + 1)), PASSES)
             for boot in range(args.boots)]
    figures = Figures(args.directory, NAME)
    targets(figures, boots)
    merged = merge(boots)
    speed.tables(NAME, merged, "ns")
    for key, value in merged.rows.items():
        figures.add(*key, value)
    figures.write()


if __name__ == "__main__":
    main()
