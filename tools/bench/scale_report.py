#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make rows, targets and tables of what scale_bench.c counted.

scale_report.py [--classes] [--works WORKS] DIR CPUS...: DIR/scale-<cpus>/<work>.tap hold what the
module printed. Writes DIR/scale.rows.tsv and DIR/scale.targets.tsv and prints both as
tables, with --classes each class of objects, too.
"""

import argparse
import os
import sys

from figures import Figures, table

WORKS = {
    "private": "each thread replaces its own objects, 1024 of them",
    "private-many": "the same with 16384",
    "pairs": "each object is freed on another CPU, up to 256 on their way",
    "pairs-deep": "the same with 4096",
    "larson": "arrays of objects are handed from thread to thread",
    "softirq": "made in a softirq, freed in a task",
    "stress": "all sizes, from everywhere to everywhere",
}

# Allocations for one taking of a lock, of mcentrals and page heap together.
ALLOCATIONS = {"private": 500, "pairs": 60, "pairs-deep": 60}

# Per cent of the takings that found the lock taken. Where hardly any are, one that did
# would be some per cent of them; there it is of as many as private work may have.
CONTENDED = 1

WHERE = ("mcentral", "heap")


def read(path):
    """The rows of a guest's work: {(where, slot): numbers}."""
    rows = {}
    with open(path) as stream:
        for line in filter(None, (line.rstrip("\n") for line in stream)):
            word, _, _, where, slot, *numbers = line.split("\t")
            if word != "locks":
                sys.exit(f"scale_report: {path}: {line}")
            rows[where, slot] = tuple(int(number) for number in numbers)
    if any((where, "-") not in rows for where in WHERE):
        sys.exit(f"scale_report: {path}: rows are missing")
    return rows


def percent(part, whole):
    return 100 * part / whole if whole else 0.0


def classes(all_rows, works, cpus):
    """Where locks come from."""
    for work in works:
        lines = []
        for number in cpus:
            for (where, slot), row in all_rows[work, number].items():
                if slot == "-":
                    continue
                made, locks, contended, spans = row
                lines.append([slot, number, made, locks, f"{made / locks:.0f}" if locks else "-",
                              contended, spans])
        if lines:
            lines.sort(key=lambda line: (int(line[1]), int(line[0])))
            print(f"scale: {work}, by class")
            table(["slot", "CPUs", "allocations", "locks", "1 in", "contended", "spans"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", action="store_true")
    parser.add_argument("--works", default=" ".join(WORKS), type=str.split)
    parser.add_argument("directory")
    parser.add_argument("cpus", nargs="+")
    args = parser.parse_args()

    all_rows = {(work, cpus): read(os.path.join(args.directory, f"scale-{cpus}", f"{work}.tap"))
                for work in args.works for cpus in args.cpus}
    figures = Figures(args.directory, "scale")
    lines = []
    for work in args.works:
        for cpus in args.cpus:
            together = 0
            line = [work, cpus]
            verdicts = []
            for where in WHERE:
                made, locks, contended, _ = all_rows[work, cpus][where, "-"]
                together += locks
                share = percent(contended, locks)
                for metric, value in (("locks-per-million", 1e6 * locks / made),
                                      ("contended-per-million", 1e6 * contended / made),
                                      ("contended-percent", share)):
                    figures.add("locks", f"{work}-{cpus}cpu", "-", f"goalloc-{where}", metric,
                                value)
                line += [f"{1e6 * locks / made:.0f}", f"{1e6 * contended / made:.1f}",
                         f"{share:.2f}%"]
                if cpus == "8" and work != "stress":
                    judged = percent(contended, max(locks, made // ALLOCATIONS["private"]))
                    verdicts.append(figures.targets.add(
                        "scale", f"{work}, {cpus} CPUs, contended, %, {where}", judged,
                        CONTENDED))
            if work in ALLOCATIONS:
                verdicts.append(figures.targets.add(
                    "scale", f"{work}, {cpus} CPUs, locks of a million allocations",
                    1e6 * together / made, 1e6 / ALLOCATIONS[work]))
            line.append(f"1 in {made / together:.0f}" if together else "none")
            line.append("short" if "short" in verdicts else "ok" if verdicts else "")
            lines.append(line)
    figures.write()

    print("\nscale: takings of locks for a million allocations, each with its free, and how many"
          "\nof them found the lock taken, on Debian's 6.12")
    table(["work", "CPUs", "mcentral", "contended", "", "page heap", "contended", "",
           "together", ""], lines)
    for work in args.works:
        words = WORKS[work]
        limit = f"; at most 1 in {ALLOCATIONS[work]}" if work in ALLOCATIONS else ""
        print(f"  {work}: {words}{limit}")
    print(f"  with 8 CPUs at most {CONTENDED} % of the takings contended, but in stress; where"
          f"\n  fewer than 1 in {ALLOCATIONS['private']} take the lock, {CONTENDED} % of so many\n")
    if args.classes:
        classes(all_rows, args.works, args.cpus)


if __name__ == "__main__":
    main()
