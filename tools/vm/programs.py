#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Print what the programs took under each malloc, and write it as TSV.

Reads the table that the guest sent (guest/measure.c says what its values are)
and writes DIR/programs.tsv.
"""

import argparse
import os

import judge

SIDES = ("glibc", "goalloc")
FIELDS = ("status", "wall_ms", "cpu_ms", "rss_kib", "held_kib", "heaps")

HEAD = """\
        Seconds of wall clock on the emulated machine; MiB of peak memory: rss is the
        largest process's resident set by getrusage(), held what all its heaps held
        together, pages and metadata, looked at every 100 ms.

        program              glibc s goalloc s   ratio   glibc rss goalloc rss      held"""


def rows(text):
    """The table as {program: {side: {field: number}}}, in its order."""
    table = {}
    for line in text.splitlines():
        name, side, *values = line.split("\t")
        table.setdefault(name, {})[side] = dict(zip(FIELDS, map(int, values)))
    return table


def write_tsv(table, path):
    with open(path, "w") as stream:
        print("program", "malloc", *FIELDS, sep="\t", file=stream)
        for name, sides in table.items():
            for side, values in sides.items():
                print(name, side, *(values[field] for field in FIELDS), sep="\t",
                      file=stream)


def show(table):
    print(HEAD)
    for name, sides in table.items():
        if set(sides) != set(SIDES) or any(values["status"] for values in sides.values()):
            print(f"        {name:<20} did not run to its end under both")
            continue
        glibc, goalloc = (sides[side] for side in SIDES)
        print(f"        {name:<20} {glibc['wall_ms'] / 1000:>7.1f} "
              f"{goalloc['wall_ms'] / 1000:>9.1f} "
              f"{goalloc['wall_ms'] / max(glibc['wall_ms'], 1):>7.2f} "
              f"{glibc['rss_kib'] / 1024:>11.1f} {goalloc['rss_kib'] / 1024:>11.1f} "
              f"{goalloc['held_kib'] / 1024:>9.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nonce", required=True, help="the number of this boot")
    parser.add_argument("directory")
    args = parser.parse_args()
    channel = judge.Channel(
        judge.read(os.path.join(args.directory, "channel.log")), args.nonce)
    if channel.status.get("table") != 0:
        raise SystemExit("        the guest sent no table")
    table = rows(channel.output["table"])
    path = os.path.join(args.directory, "programs.tsv")
    write_tsv(table, path)
    show(table)
    print(f"        as TSV: {path}")


if __name__ == "__main__":
    main()
