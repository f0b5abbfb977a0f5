#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Put together what the parts of make bench found.

collect.py DIR NAME...: DIR/NAME.rows.tsv and DIR/NAME.targets.tsv of each part become
DIR/rows.tsv and DIR/targets.tsv. Prints the targets.
"""

import argparse
import os
import sys

from figures import ROW, TARGET, table


def gather(directory, names, kind, head):
    """All lines of a kind, in one file with a head."""
    lines = []
    for name in names:
        path = os.path.join(directory, f"{name}.{kind}.tsv")
        if kind == "targets" and not os.path.exists(path):
            continue        # nothing is asked of it
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                words = line.rstrip("\n").split("\t")
                if len(words) != len(head):
                    sys.exit(f"collect: {path}: {line}")
                lines.append(words)
    with open(os.path.join(directory, f"{kind}.tsv"), "w", encoding="utf-8") as stream:
        for words in [head, *lines]:
            print(*words, sep="\t", file=stream)
    return lines


def shown(value):
    return f"{float(value):.2f}".rstrip("0").rstrip(".")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("names", nargs="+", help="parts, as 6.12 or uml")
    args = parser.parse_args()

    if not gather(args.directory, args.names, "rows", ROW):
        sys.exit("collect: no rows")
    targets = gather(args.directory, args.names, "targets", TARGET)
    print("What is asked of goalloc\n")
    table(["series: what", "value", "at most", ""],
          [[f"{series}: {what}", shown(value), shown(limit), verdict]
           for series, what, value, limit, verdict in targets])
    short = sum(verdict != "ok" for *_, verdict in targets)
    print(f"{len(targets) - short} targets ok, {short} short")


if __name__ == "__main__":
    main()
