#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The judge must not be lenient: guests that went wrong, each in one way.

usage: judge_test.py LINUX-SOURCE        silent when all is well
"""

import concurrent.futures
import os
import subprocess
import sys
import tempfile

NONCE = "0123456789abcdef"
JUDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "judge.py")

TAP = "TAP version 13\n1..2\nok 1 a\nok 2 b\n"
KUNIT = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: goalloc_x
    1..2
    ok 1 first
    ok 2 second
ok 1 goalloc_x
"""
# What the kernel's kselftest_harness.h prints.
HARNESS = """\
TAP version 13
1..3
# Starting 3 tests from 2 test cases.
#  RUN           global.first ...
# abi.c:10:first:a word
#            OK  global.first
ok 1 global.first
#  RUN           heap.small.second ...
#      SKIP      not on this machine
#            OK  heap.small.second
ok 2 heap.small.second # SKIP not on this machine
#  RUN           heap.large.second ...
#            OK  heap.large.second
ok 3 heap.large.second
# PASSED: 3 / 3 tests passed.
# Totals: pass:2 fail:0 xfail:0 xpass:0 skip:1 error:0
"""
# It crashed, and the harness said so; it crashed with the harness.
HARNESS_FAILS = HARNESS.replace("ok 3", "not ok 3").replace(
    "#            OK  heap.large.second",
    "# second: Test terminated unexpectedly by signal 11\n#          FAIL  heap.large.second")
HARNESS_ENDS = HARNESS[:HARNESS.index("#            OK  heap.large.second")]
WARN = "WARNING: CPU: 0 PID: 51 at goalloc/mspan.c:15 f+0x4/0x10 [goalloc]"


def stamped(text):
    return "".join(f"[   10.123456] {line}\n" for line in text.splitlines())


class Guest:
    """A guest in which all is well; a case changes something."""

    def __init__(self):
        self.qemu = "0"
        self.kunit = KUNIT
        self.tap = TAP
        self.rig = TAP
        self.status = 0
        self.levels = ""        # lines of the log as dmesg -r has them
        self.before = ""        # console, before the module is loaded
        self.console = ""       # console, while the suites run
        self.done = True
        self.ends = True
        self.begins = True

    def write(self, directory):
        console = stamped(self.before + "goalloc-rig: start\ngoalloc-rig: begin kunit\n"
                          + self.console + self.kunit + "goalloc-rig: end kunit\n")
        log = "<6>[    9.000000] goalloc-rig: start\n" + self.levels
        channel = ""
        for name, text, status in (("one", self.tap, self.status), ("rig", self.rig, 0),
                                   ("kernel-log", log, 0)):
            if name == "one" and not self.begins:
                continue
            channel += f"\nrig-{NONCE} begin {name}\n{text}"
            if name != "one" or self.ends:
                channel += f"\nrig-{NONCE} end {name} {status}\n"
        if self.done:
            channel += f"\nrig-{NONCE} done\n"
        for name, text in (("console.log", console), ("channel.log", channel),
                           ("qemu.status", self.qemu + "\n")):
            with open(os.path.join(directory, name), "w") as stream:
                stream.write(text.replace("\n", "\r\n"))


def level(number, text):
    return f"<{number}>[   11.000000] {text}\n"


EXPECT = "goalloc-expect: 2 odd (one|two)"
EXPECT_OOM = "goalloc-expect: 1 invoked oom-killer"
OOM_BEGIN = level(4, "limits invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0")
OOM_MIDDLE = (level(4, "CPU: 1 PID: 88 Comm: limits Tainted: G           O       6.12.1") +
              level(4, "Call Trace:") + level(4, " <TASK>") +
              level(4, " dump_stack_lvl+0x5d/0x80") + level(6, "memory: usage 8192kB"))
OOM_END = level(3, "Memory cgroup out of memory: Killed process 88 (limits) total-vm:9kB")
OOM = OOM_BEGIN + OOM_MIDDLE + OOM_END

# What is changed, and whether the guest then passes.
CASES = {
    "all well": (True, {}),
    "a hang": (False, {"qemu": "timeout after 70 s", "done": False}),
    "QEMU fails": (False, {"qemu": "1"}),
    "it ends and does not say so": (False, {"done": False}),
    "other lines in between": (True, {"kunit": KUNIT.replace(
        "    # Subtest", "goalloc-rig: suites are running\n    # Subtest")}),
    "a suite fails": (False, {"kunit": KUNIT.replace("ok 2 second", "not ok 2 second")}),
    "no suite ran": (False, {"kunit": ""}),
    "no suite matched": (False, {"kunit": "KTAP version 1\n1..0\n"}),
    "a suite is cut off": (False, {"kunit": KUNIT[:KUNIT.index("    ok 2")]}),
    "a suite's last line is cut off": (False, {"kunit": KUNIT[:KUNIT.index("ok 1 goalloc_x")]}),
    "a suite without a plan": (False, {"kunit": KUNIT.replace("1..1\n", "", 1)}),
    "a suite less than planned": (False, {"kunit": KUNIT.replace("1..1\n", "1..2\n", 1)}),
    "a program fails": (False, {"tap": TAP.replace("ok 2", "not ok 2")}),
    "a program's status is not 0": (False, {"status": 1}),
    "a program was killed": (False, {"ends": False}),
    "a program did not run": (False, {"begins": False}),
    "a program says nothing": (False, {"tap": ""}),
    "a program without a plan": (False, {"tap": TAP.replace("1..2\n", "")}),
    "a program does less than planned": (False, {"tap": TAP.replace("ok 2 b\n", "")}),
    "a program does more than planned": (False, {"tap": TAP + "ok 3 c\n"}),
    "a program bails out": (False, {"tap": TAP + "Bail out!\n"}),
    "a program skips": (True, {"tap": TAP.replace("ok 2 b", "ok 2 b # SKIP not here")}),
    "the kernel's harness": (True, {"tap": HARNESS}),
    "the kernel's harness, a test fails": (False, {"tap": HARNESS_FAILS}),
    "the kernel's harness ends in a test": (False, {"tap": HARNESS_ENDS}),
    "the rig finds something": (False, {"rig": TAP.replace("ok 1", "not ok 1")}),
    "a splat on the console": (False, {"console": WARN + "\n"}),
    "page poison was written to": (False, {"console": "pagealloc: memory corruption\n"}),
    "a suite named like a checker": (
        True, {"console": "# goalloc_pagealloc: pass:8 fail:0 skip:0 total:8\n"}),
    "a splat in the log only": (False, {"levels": level(6, WARN)}),
    "a splat before the module": (False, {"before": WARN + "\n"}),
    "a leak": (False, {"levels": level(
        6, "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)")}),
    "a warning": (False, {"levels": level(4, "goalloc: something odd")}),
    "an error of another": (False, {"levels": level(3, "other: something odd")}),
    "a notice": (True, {"levels": level(5, "goalloc: something") +
                        level(6, "# goalloc_pagealloc: pass:8 fail:0 skip:0 total:8")}),
    "the out-of-tree warning": (True, {"levels": level(
        4, "goalloc: loading out-of-tree module taints kernel.")}),
    "warnings as announced": (True, {"levels": level(6, EXPECT) + level(4, "odd one") +
                                     level(4, "odd two"),
                                     "console": EXPECT + "\nodd one\nodd two\n"}),
    "one more than announced": (False, {"levels": level(6, EXPECT) + 3 * level(4, "odd one")}),
    "one less than announced": (False, {"levels": level(6, EXPECT) + level(4, "odd one")}),
    "a process killed for memory": (False, {"levels": OOM}),
    "a process killed for memory, as announced": (
        True, {"levels": level(6, EXPECT_OOM) + OOM}),
    "two killed, one announced": (False, {"levels": level(6, EXPECT_OOM) + OOM + OOM}),
    "a splat in the report of a killed process": (
        False, {"levels": level(6, EXPECT_OOM) + OOM_BEGIN + level(4, WARN) + OOM_END}),
    "a warning after a killed process": (
        False, {"levels": level(6, EXPECT_OOM) + OOM + level(4, "goalloc: something odd")}),
    "announced too late": (False, {"levels": 2 * level(4, "odd one") + level(6, EXPECT)}),
}


def verdict(changes, options):
    guest = Guest()
    vars(guest).update(changes)
    with tempfile.TemporaryDirectory() as directory:
        guest.write(directory)
        done = subprocess.run(
            [sys.executable, JUDGE, "--nonce", NONCE, *options, directory, "one"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode == 0, done.stdout


def main():
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda case: verdict(case[1], ["--kunit", "--source", sys.argv[1]]),
                           CASES.values())
    for (name, (passes, _)), (got, output) in zip(CASES.items(), results):
        if got != passes:
            print(f"{name}: {'passed' if got else 'failed'}\n{output}")
            bad += 1
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
