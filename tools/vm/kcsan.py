#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Data races that KCSAN reported: which are ours, and each of them once.

A report has two stacks, or one if the other access is not known.  It is ours if
one of the accesses was made by one of our modules; a function of the kernel's
library that it called for it, as memset(), does not count as another's.  But
percpu_counter does: it adds up what other CPUs count while they do, as it says.
The kernel has races of its own, by the strict rules many: they are kept, and no
failure.

usage: kcsan.py DIRECTORY       of a guest; writes races.log and races-kernel.log
"""

import os
import re
import sys
from collections import Counter

BEGIN = "BUG: KCSAN: "
RULE = re.compile(r"={20,}$")
LINE = re.compile(r"^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[[^\]]*\])? ?)?(.*)$")

# What a report is made of; other CPUs' messages may stand in between.
ACCESS = re.compile(r"(race at unknown origin, with )?[\w( )/-]+ to 0x[0-9a-f]+ of \d+ bytes "
                    r"by (task \d+|interrupt) on cpu \d+:$")
FRAME = re.compile(r" (?P<name>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+(?P<module> \[\w+\])?$")
PART = re.compile(r"$|  \|$|  \+-> reordered to: |value changed: | bits changed: "
                  r"|Reported by Kernel Concurrency Sanitizer on:$|CPU: \d+ UID: \d+ PID: "
                  r"|CPU: \d+ PID: |Tainted: |Hardware name: |Workqueue: ")

# They work on what they are given.
LIBRARY = re.compile(r"_*(mem(set|cpy|move|cmp|chr_inv|set64)|str\w*|find_\w+_bit|bitmap_\w+"
                     r"|list_\w+|copy_(to|from)_\w+|rep_\w+|clear_\w+)$")


class Report:
    """One report: its lines as they came, and the stacks in it."""

    def __init__(self, header):
        self.header = header        # the line as it stands in the log
        self.text = [LINE.match(header)[1]]
        self.stacks = []
        self.ended = False

    def add(self, text):
        """Take a line; false if it is none of a report's."""
        if ACCESS.match(text):
            self.stacks.append([])
        elif FRAME.match(text) and self.stacks:
            self.stacks[-1].append(FRAME.match(text))
        elif not PART.match(text):
            return False
        self.text.append(text)
        return True

    def ours(self):
        if not self.ended:
            return True             # nobody knows
        for stack in self.stacks:
            for frame in stack:
                if frame["module"]:
                    return True
                if not LIBRARY.match(frame["name"]):
                    break
        return False

    def title(self):
        return self.text[0][len(BEGIN):]


def split(lines):
    """All reports, and the log with only the first line of ours."""
    reports = []
    rest = []
    report = None
    rules = []                      # where in the rest they stand, not yet explained
    for line in lines:
        text = LINE.match(line.rstrip("\r\n"))[1]
        if RULE.match(text):
            if report:
                report.ended = True
                report = None
            else:
                rules.append(len(rest))
                rest.append(line)
        elif text.startswith(BEGIN):
            report = Report(line.rstrip("\r\n"))
            reports.append(report)
            if rules:
                rest[rules.pop()] = None
            rest.append(report)
        elif not report or not report.add(text):
            rest.append(line)
    log = []
    for line in rest:
        if not isinstance(line, Report):
            if line is not None:
                log.append(line)
        elif line.ours():
            log.append(line.header)
    return reports, log


def condense(lines):
    """The log, in which a race of ours is one line and others are none."""
    return split(lines)[1]


def write(path, reports):
    """Each race once, with how often it came; the most frequent first."""
    first = {}
    for report in reports:
        first.setdefault(report.title(), report)
    times = Counter(report.title() for report in reports)
    with open(path, "w") as stream:
        for title, n in times.most_common():
            stream.write(f"===== {n} times: {title}\n")
            stream.writelines(text + "\n" for text in first[title].text)
    return len(times)


def main():
    directory, = sys.argv[1:]
    with open(os.path.join(directory, "console.log"), errors="backslashreplace",
              newline="") as stream:
        reports, _ = split(stream.read().replace("\r", "").splitlines())
    ours = [report for report in reports if report.ours()]
    others = [report for report in reports if not report.ours()]
    print(f"          {len(ours)} reports of {write(os.path.join(directory, 'races.log'), ours)}"
          f" races of ours, {len(others)} of "
          f"{write(os.path.join(directory, 'races-kernel.log'), others)} of the kernel's own")


if __name__ == "__main__":
    main()
