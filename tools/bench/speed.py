# SPDX-License-Identifier: GPL-2.0-only
"""Tables and targets of speed_bench.c: what an object costs, goalloc and its peers."""

import os
import sys

from figures import table

ALLOCATORS = ("goalloc", "goalloc-variable", "goalloc-class", "kmalloc", "kmalloc-variable",
              "kmem_cache", "kmem_cache-bulk", "alloc_pages", "kvmalloc")

FEW = 256

SMALL = ("8", "16", "32", "48", "64", "100", "128", "256", "512", "1024")

# What is asked, in instructions or as a part of kmalloc's.
PAIR = 64
ALLOC = 32
SHUFFLED = {"64": 0.5}
LARGE = {"16384": 0.05, "32768": 0.05, "65536": 0.25, "1048576": 0.25}
BULK = 15

# The same in nanoseconds.
HOT_TIME = 0.33
SHUFFLED_TIME = 0.67


class Speed:
    """Rows by (part, case, size, allocator, metric): the mean of both orders."""

    def __init__(self, directory, passes):
        found = [self.read(os.path.join(directory, f"speed-{name}.tap")) for name in passes]
        if not found[0] or any(rows.keys() != found[0].keys() for rows in found):
            sys.exit(f"report: {directory}: speed was measured in one order only")
        self.rows = {key: sum(rows[key] for rows in found) / len(found) for key in found[0]}
        self.difference = max(
            ((max(values) - min(values)) / max(*values, 1), key) for key, values in
            ((key, [rows[key] for rows in found]) for key in self.rows))

    @staticmethod
    def read(path):
        rows = {}
        with open(path, encoding="utf-8") as stream:
            for line in filter(None, (line.rstrip("\n") for line in stream)):
                *key, value = line.split("\t")
                if len(key) != 5 or tuple(key) in rows:
                    sys.exit(f"report: {path}: not a row, or twice: {line}")
                rows[tuple(key)] = int(value) / 100
        return rows

    def get(self, *key):
        return self.rows.get(key)

    def groups(self):
        """Tables in the order of the rows: (part, case or few or many) to lines."""
        groups = {}
        for part, case, size, _, _ in sorted(self.rows, key=by_size):
            if part in ("lifo", "shuffled"):
                group = part, "few" if int(case) <= FEW else "many"
            else:
                group = part, case
            lines = groups.setdefault(group, [])
            if (case, size) not in lines:
                lines.append((case, size))
        return sorted(groups.items(), key=by_part)


def by_size(key):
    size = key[2]
    return int(size) if size.isdigit() else 0


def by_part(group):
    (part, case), _ = group
    parts = ("hot", "lifo", "shuffled", "random", "tiny", "bulk", "softirq", "handed")
    words = case.split("-")
    return parts.index(part), int(words[0]) if words[0].isdigit() else 0, case


def number(value):
    return f"{value:.1f}" if value < 20 else f"{value:.0f}"


def cell(speed, part, case, size, allocator):
    pair, alloc, free = (speed.get(part, case, size, allocator, metric)
                         for metric in ("pair", "alloc", "free"))
    if pair is None:
        return ""
    if alloc is None:
        return number(pair)
    return f"{number(pair)} ({number(alloc)}+{number(free)})"


TITLES = {
    "hot": "each object is freed as soon as it is made",
    "lifo": "{} live, the last one is freed first",
    "shuffled": "{} live, freed in any order",
    "random": "sizes of 16 to 1024 bytes, {}",
    "tiny": "tiny objects, {}",
    "bulk": "{} objects in a call",
    "softirq": "in a softirq, {}",
    "handed": "{} made in a softirq, then freed by a task",
}


def tables(series, speed, unit):
    for (part, case), lines in speed.groups():
        most = max(lines, key=lambda line: int(line[0]) if line[0].isdigit() else 0)[0]
        title = TITLES[part].format(most if part in ("lifo", "shuffled") else case)
        columns = [allocator for allocator in ALLOCATORS
                   if any(speed.get(part, *line, allocator, "pair") is not None
                          for line in lines)]
        peer = "kmalloc" if "kmalloc" in columns else "kmem_cache-bulk"
        out = []
        for line in lines:
            ratio = (speed.get(part, *line, "goalloc", "pair") /
                     max(speed.get(part, *line, peer, "pair"), 0.01))
            name = line[1]
            if part in ("lifo", "shuffled") and line[0] != most:
                name += f" ({line[0]} live)"
            out.append([name, *(cell(speed, part, *line, allocator) for allocator in columns),
                        f"{ratio:.2f}"])
        print(f"{series}: {unit} an object, {title}: pair (alloc+free)")
        table(["bytes", *columns, f"goalloc/{peer}"], out)
    part, key = speed.difference
    print(f"  The two orders differ by {part:.1%} at most"
          f" ({' '.join(word for word in key if word != '-')}).\n")


def ratio_targets(series, speed, targets, part, case, limits):
    for size, limit in limits.items():
        mine, peer = (speed.get(part, case, size, allocator, "pair")
                      for allocator in ("goalloc", "kmalloc"))
        if mine is None or not peer:
            continue
        name = f"{part} {case}" if case != "-" else part
        targets.add(series, f"{name} pair of {size} bytes over kmalloc's", mine / peer, limit)


def class_targets(series, speed, targets):
    """
    An exact class beside goalloc_alloc() in each table, the worst size. Neither is known
    when the call is compiled, so that is with a variable size. Beside it in bulk there is
    goalloc_alloc_bulk(), which finds the class once.
    """
    for (part, case), lines in speed.groups():
        bulk = part == "bulk"
        peer = "goalloc" if bulk else "goalloc-variable"
        ratios = []
        for line in lines:
            mine, other = (speed.get(part, *line, allocator, "pair")
                           for allocator in ("goalloc-class", peer))
            if mine is not None and other:
                ratios.append((mine / other, line[1]))
        if ratios:
            ratio, size = max(ratios)
            case = {"few": f"{FEW}", "many": "4096", "-": ""}.get(case, case)
            name = " ".join(filter(None, (part, case)))
            call = "goalloc_alloc_bulk()" if bulk else "goalloc_alloc() of a variable size"
            targets.add(series, f"{name} pair, exact class over {call}, worst at {size} bytes",
                        ratio, 1)


def instruction_targets(series, speed, targets):
    for size in SMALL:
        for metric, limit in (("pair", PAIR), ("alloc", ALLOC)):
            value = speed.get("hot", "-", size, "goalloc", metric)
            if value is not None:
                targets.add(series, f"hot {metric} of {size} bytes, instructions", value, limit)
    ratio_targets(series, speed, targets, "shuffled", "4096", SHUFFLED)
    ratio_targets(series, speed, targets, "hot", "-", LARGE)
    for size in SMALL:
        for metric in ("alloc", "free"):
            mine, peer = (speed.get("bulk", "64", size, allocator, metric)
                          for allocator in ("goalloc", "kmem_cache-bulk"))
            if mine is None:
                continue
            name = f"bulk of 64, {metric} of {size} bytes"
            targets.add(series, f"{name}, instructions", mine, BULK)
            targets.add(series, f"{name} over kmem_cache's", mine / peer, 1)
    class_targets(series, speed, targets)


def time_targets(series, speed, targets):
    ratio_targets(series, speed, targets, "hot", "-", {"64": HOT_TIME})
    ratio_targets(series, speed, targets, "shuffled", "4096", {"64": SHUFFLED_TIME})


def report(figures, directory, passes, unit):
    """All that a series has to say of speed."""
    speed = Speed(directory, passes)
    tables(figures.name, speed, unit)
    if unit == "ns":
        time_targets(figures.name, speed, figures.targets)
    else:
        instruction_targets(figures.name, speed, figures.targets)
    for key, value in speed.rows.items():
        figures.add(*key, value)
