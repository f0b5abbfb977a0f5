#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Say what traces of allocations hold: show.py [--events] TRACE..."""

import argparse
import lzma

MAGIC = b"GOALTRC1"
MALLOC, CALLOC, FREE, REALLOC = range(4)
NAMES = ("malloc", "calloc", "free", "realloc")


def numbers(data):
    """The numbers of 7 bits a byte, the lowest first."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
    if shift:
        raise ValueError("a number is cut off")


def events(data):
    """(operation, number of the object, bytes) of each event; None for a free's."""
    if data[:len(MAGIC)] != MAGIC:
        raise ValueError("no trace")
    made = 0
    rest = numbers(data[len(MAGIC):])
    for word in rest:
        op, value = word & 3, word >> 2
        if op in (MALLOC, CALLOC):
            yield op, made, value
            made += 1
        elif value >= made:
            raise ValueError("an object that was not made yet")
        else:
            yield op, made - 1 - value, next(rest) if op == REALLOC else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", action="store_true", help="a line for each event")
    parser.add_argument("trace", nargs="+")
    args = parser.parse_args()

    for path in args.trace:
        with open(path, "rb") as stream:
            data = stream.read()
        if path.endswith(".xz"):
            data = lzma.decompress(data)
        sizes = {}
        counts = [0] * len(NAMES)
        live = peak = objects = 0
        for op, number, size in events(data):
            counts[op] += 1
            if args.events:
                print(NAMES[op], number, "" if size is None else size)
            live += (size or 0) - sizes.pop(number, 0)
            if size is not None:
                sizes[number] = size
            if live > peak:
                peak, objects = live, len(sizes)
        words = ", ".join(f"{count} {name}" for count, name in zip(counts, NAMES))
        print(f"{path}: {words}; at most {peak} bytes in {objects} objects;"
              f" {live} bytes in {len(sizes)} objects at the end")


if __name__ == "__main__":
    main()
