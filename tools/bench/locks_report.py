#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make rows, targets and a table of what locks.c printed.

locks_report.py DIR: DIR/locks.tsv has its lines. Writes DIR/locks.rows.tsv and
DIR/locks.targets.tsv. That a lock is held for too long is for locks.c to say.
"""

import os
import sys

from figures import Figures, table

MOST = 20000    # as in locks.c


def main():
    directory = sys.argv[1]
    figures = Figures(directory, "locks")
    lines = []
    with open(os.path.join(directory, "locks.tsv"), encoding="utf-8") as stream:
        for line in stream:
            _, work, took, _ = line.rstrip("\n").split("\t")
            verdict = figures.targets.add("locks", f"heap lock, {work}, instructions at most",
                                          int(took), MOST)
            figures.add("heap-lock", work.replace(" ", "-"), "-", "goalloc", "longest", int(took))
            lines.append([work, took, verdict])
    if not lines:
        sys.exit("locks_report: no rows")
    print(f"\nlocks: instructions that the heap lock is held at most, no more than {MOST}")
    table(["work", "longest", ""], lines)
    figures.write()


if __name__ == "__main__":
    main()
