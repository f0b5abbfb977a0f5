#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Judge one guest by what it left: console.log, channel.log, qemu.status.

Every program's output becomes DIR/<program>.tap, the kernel's log
DIR/kernel.log, and what the host itself finds DIR/guest.tap; all TAP is
counted by kunit.py (see ktap.py), whose words are kept as *.report.  Prints a
line for each program and what failed, and writes "passed failed skipped" to
DIR/counts.

Nothing counts that was not told: a program that was to run and has no output,
or no end, is a failure; so is a guest that did not say it was done.
"""

import argparse
import os
import re
import sys

import kmsg
import ktap

# What the guest itself sends besides the programs.
RIG = "rig"
KERNEL_LOG = "kernel-log"


class Channel:
    """The second serial port, taken apart: outputs, exit statuses, the end."""

    def __init__(self, text, nonce):
        self.output = {}
        self.status = {}
        self.done = False
        self.twice = []
        parts = re.split(rf"\n?rig-{nonce} (begin|end|done)\b(.*)\n", text)
        for verb, words, output in zip(parts[1::3], parts[2::3], parts[3::3]):
            words = words.split()
            if verb == "begin":
                if words[0] in self.output:
                    self.twice.append(words[0])
                self.output[words[0]] = output
            elif verb == "end":
                self.status[words[0]] = int(words[1])
            else:
                self.done = True


class Tap:
    """TAP that the host writes about the guest."""

    def __init__(self):
        self.lines = []
        self.number = 0

    def check(self, what, problems):
        self.number += 1
        self.lines += [f"# {problem}" for problem in problems]
        self.lines.append(f"{'not ok' if problems else 'ok'} {self.number} {what}")

    def write(self, path):
        with open(path, "w") as stream:
            stream.write(f"TAP version 13\n1..{self.number}\n")
            stream.writelines(line + "\n" for line in self.lines)


def read(path):
    with open(path, errors="backslashreplace", newline="") as stream:
        return stream.read().replace("\r", "")


# A line of the log that may belong to KTAP: its words at the margin, or what
# is indented.  kunit.py loses its way when another stands between a version
# line and the name of the suite; those are for kmsg.py to judge.
KTAP_LINE = re.compile(r"(\[[^\]]*\] )?(\s|# |(not )?ok \d|1\.\.\d|KTAP version )")


def kunit_part(console):
    """KTAP from the console, between the marks around the loading of the suites."""
    lines = console.splitlines()
    begin = [n for n, line in enumerate(lines) if "goalloc-rig: begin kunit" in line]
    if not begin:
        return ""
    part = []
    for line in lines[begin[0] + 1:]:
        if "goalloc-rig: end kunit" in line:
            break
        if KTAP_LINE.match(line):
            part.append(line)
    return "".join(line + "\n" for line in part)


def check_guest(directory, channel, console, programs):
    """The host's own checks; returns them as TAP."""
    tap = Tap()
    status = read(os.path.join(directory, "qemu.status")).strip()
    tap.check("the guest came to its end", [
        *([f"QEMU: {status}"] if status != "0" else []),
        *([] if channel.done else ["it did not say that it was done"])])

    log = channel.output.get(KERNEL_LOG)
    problems = kmsg.judge(console.splitlines(), levels=False)
    if log:
        problems += [p for p in kmsg.judge(log.strip().splitlines(), levels=True)
                     if p not in problems]
    else:
        problems.append("the guest did not send its kernel log")
    tap.check("the kernel log holds nothing unexpected", problems[:40])

    for program in programs:
        if program not in channel.output:
            problems = ["it did not run"]
        elif program not in channel.status:
            problems = ["it did not end"]
        elif channel.status[program]:
            problems = [f"it ended with status {channel.status[program]}"]
        else:
            problems = []
        if program in channel.twice:
            problems.append("it ran twice")
        tap.check(f"{program} ran and ended with 0", problems)
    return tap


def report(name, counts, directory):
    """One line, and more if something is wrong."""
    words = f"{counts.passed} passed"
    if counts.failed:
        words += f", {counts.failed} FAILED"
    if counts.skipped:
        words += f", {counts.skipped} skipped"
    print(f"          {name + ' ':.<32} {words}")
    if not counts.failed:
        return
    for problem in counts.problems:
        print(f"            {problem}")
    path = os.path.join(directory, name + ".tap")
    before = []
    for line in ktap.strip_prefix(read(path).splitlines()):
        if re.match(r"\s*not ok \d", line):
            if len(before) > 24:
                before[12:-12] = ["# ..."]
            print("\n".join(f"            {text}" for text in before + [line]))
        if re.match(r"\s*(not )?ok \d", line):
            before = []
        elif re.match(r"\s*#", line):
            before.append(line)


def plain(directory):
    """Judge without kunit.py, by the rig's two files of flat TAP."""
    status = 0
    for name in (RIG, "guest"):
        path = os.path.join(directory, name + ".tap")
        lines = read(path).splitlines()
        problems = ktap.structure(lines)
        for problem in problems:
            print(f"        {name}: {problem}")
        for line in lines:
            if line.startswith(("ok ", "not ok ", "# ")):
                print(f"        {line}")
        if problems or any(line.startswith("not ok ") for line in lines):
            status = 1
    return status


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="Linux source tree, for its kunit.py")
    parser.add_argument("--nonce", required=True, help="the number of this boot")
    parser.add_argument("--kunit", action="store_true",
                        help="suites report on the console")
    parser.add_argument("--plain", action="store_true",
                        help="programs do not speak TAP, their exit status counts")
    parser.add_argument("directory")
    parser.add_argument("program", nargs="*", help="programs that had to run")
    args = parser.parse_args()

    directory = args.directory
    console = read(os.path.join(directory, "console.log"))
    channel = Channel(read(os.path.join(directory, "channel.log")), args.nonce)
    outputs = {name: channel.output.get(name, "") for name in [*args.program, RIG]}
    if args.kunit:
        outputs = {"kunit": kunit_part(console), **outputs}

    for name, text in outputs.items():
        with open(os.path.join(directory, name + ".tap"), "w") as stream:
            stream.write(text)
    with open(os.path.join(directory, "kernel.log"), "w") as stream:
        stream.write(channel.output.get(KERNEL_LOG, console))
    check_guest(directory, channel, console, args.program).write(
        os.path.join(directory, "guest.tap"))

    if args.plain:
        sys.exit(plain(directory))

    total = [0, 0, 0]
    for name in [*outputs, "guest"]:
        if outputs.get(name, "?").strip():
            counts = ktap.count(os.path.join(directory, name + ".tap"), args.source,
                                os.path.join(directory, name + ".report"))
        else:
            counts = ktap.Counts(0, 1, 0, ["it said nothing"])
        report(name, counts, directory)
        total = [a + b for a, b in zip(total, counts[:3])]
    with open(os.path.join(directory, "counts"), "w") as stream:
        print(*total, file=stream)
    sys.exit(0 if total[0] and not total[1] else 1)


if __name__ == "__main__":
    main()
