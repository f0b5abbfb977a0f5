#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The judge must not be lenient: guests that went wrong, each in one way.

usage: judge_test.py LINUX-SOURCE        silent when all is well
"""

import concurrent.futures
import os
import re
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


def shown(levels):
    """What the console shows of such lines."""
    return re.sub(r"(?m)^<\d>\[[^]]*\] ", "", levels)


EXPECT = "goalloc-expect: 2 odd (one|two)"
EXPECT_ANY = "goalloc-expect: any odd (one|two)"
EXPECT_SAID = "goalloc-expect: said ^(?!.*goalloc)"
EXPECT_OOM = "goalloc-expect: 1 invoked oom-killer"
OOM_BEGIN = level(4, "limits invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0")
OOM_MIDDLE = (level(4, "CPU: 1 PID: 88 Comm: limits Tainted: G           O       6.12.1") +
              level(4, "Call Trace:") + level(4, " <TASK>") +
              level(4, " dump_stack_lvl+0x5d/0x80") + level(6, "memory: usage 8192kB"))
OOM_END = level(3, "Memory cgroup out of memory: Killed process 88 (limits) total-vm:9kB")
OOM = OOM_BEGIN + OOM_MIDDLE + OOM_END

EXPECT_CACHE = "goalloc-expect: 1 kmem_cache_create.* failed with error -12"
CACHE = (level(4, "__kmem_cache_create_args(goalloc_mcache) failed with error -12") +
         level(4, "Call Trace:") + level(4, " <TASK>") + level(4, " dump_stack+0x14/0x20") +
         level(4, " </TASK>"))

EXPECT_STACK = r"goalloc-expect: any ^sweep: vmalloc error: size \d+, "
STACK = (level(4, "sweep: vmalloc error: size 32768, failed to allocated page array size 64") +
         level(4, "Call Trace:") + level(4, " <TASK>") + level(4, " copy_process+0x32b2/0x5930") +
         level(4, "RIP: 0033:0x43ecd3") + level(4, " </TASK>") + level(4, "Mem-Info:") +
         level(4, "DMA32 free:717376kB boost:0kB") + level(4, "65336 pages reserved"))

EXPECT_PERCPU = r"goalloc-expect: any ^percpu: allocation failed, size=\d+ "
PERCPU = (level(4, "percpu: allocation failed, size=40 align=8 atomic=0, failed to populate") +
          level(4, "CPU: 1 UID: 0 PID: 88 Comm: sweep Tainted: G           O       6.12.1") +
          level(4, "Call Trace:") + level(4, " <TASK>") + level(4, " dump_stack+0x14/0x20") +
          level(4, " </TASK>"))

EXPECT_KASAN = "goalloc-expect: 1 BUG: KASAN: use-after-free"
KASAN_RULE = level(3, 66 * "=")
KASAN_KIND = level(3, "BUG: KASAN: use-after-free in f+0x4/0x10 [kasan]")
KASAN_MIDDLE = (level(3, "Write of size 1 at addr ffff88800afb0000 by task kasan/61") +
                level(3, "") + level(3, "CPU: 0 UID: 0 PID: 61 Comm: kasan Tainted: G") +
                level(3, "Call Trace:") + level(3, " <TASK>") +
                level(3, " dump_stack_lvl+0x5d/0x80") + level(3, " </TASK>") +
                level(4, "page: refcount:1 mapcount:0 mapping:0000000000000000") +
                level(4, "page dumped because: kasan: bad access detected") +
                level(3, ">ffff88800afb0000: fb fb fb fb") + level(3, "   ^"))
KASAN_LOCKDEP = level(4, "Disabling lock debugging due to kernel taint")
KASAN = KASAN_RULE + KASAN_KIND + KASAN_MIDDLE + KASAN_RULE
KASAN_CONSOLE = (EXPECT_KASAN + "\n" + 66 * "=" + "\nBUG: KASAN: use-after-free in f+0x4/0x10\n"
                 "Call Trace:\n <TASK>\n" + 66 * "=" + "\n")


def race(*frames):
    """A report of KCSAN with one stack for each of the frames."""
    lines = [66 * "=", "BUG: KCSAN: data-race in f / g"]
    for cpu, frame in enumerate(frames):
        lines += ["", f"write to 0xffff88800afb0000 of 8 bytes by task {cpu} on cpu {cpu}:",
                  f" {frame}", " kthread+0x1a0/0x1e0"]
    return "".join(level(3, line) for line in [
        *lines, "", "value changed: 0x01 -> 0x02", "",
        "Reported by Kernel Concurrency Sanitizer on:", "CPU: 0 UID: 0 PID: 61 Comm: k Tainted: G",
        "Hardware name: QEMU", 66 * "="])


RACE_KERNEL = race("f+0x4/0x10", "g+0x4/0x10")
RACE_OURS = race("f+0x4/0x10", "g+0x4/0x10 [goalloc]")
EXPECT_RACE = "goalloc-expect: 1 KCSAN: data-race in f / g"

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
    "an interrupt of a CPU that was offline": (True, {"levels": (
        level(0, "common_interrupt: 1.55 No irq handler for vector") +
        level(0, "No irq handler for 1.55"))}),
    "a CPU that came up late, or went so": (True, {"levels": (
        level(3, "CPU1 failed to report alive state") + level(3, "CPU 1 didn't die...") +
        level(3, "smpboot: do_boot_cpu failed(-1) to wakeup CPU#1"))}),
    "warnings as announced": (True, {"levels": level(6, EXPECT) + level(4, "odd one") +
                                     level(4, "odd two"),
                                     "console": EXPECT + "\nodd one\nodd two\n"}),
    "one more than announced": (False, {"levels": level(6, EXPECT) + 3 * level(4, "odd one")}),
    "one less than announced": (False, {"levels": level(6, EXPECT) + level(4, "odd one")}),
    "any number, as announced": (
        True, {"levels": level(6, EXPECT_ANY) + 5 * level(4, "odd one")}),
    "none of any number": (True, {"levels": level(6, EXPECT_ANY)}),
    "another than any number of them": (
        False, {"levels": level(6, EXPECT_ANY) + level(4, "odd one") + level(4, "odd three")}),
    "what another says, as announced": (
        True, {"levels": level(6, EXPECT_SAID) + 5 * level(3, "other: something odd")}),
    "nothing of it": (True, {"levels": level(6, EXPECT_SAID)}),
    "what goalloc says besides": (False, {"levels": level(6, EXPECT_SAID) +
                                          level(4, "other: goalloc is odd")}),
    "a splat of another besides": (False, {"levels": level(6, EXPECT_SAID) + level(4, WARN)}),
    "a report of many lines besides": (False, {"levels": level(6, EXPECT_SAID) + STACK}),
    "a process killed for memory": (False, {"levels": OOM}),
    "a process killed for memory, as announced": (
        True, {"levels": level(6, EXPECT_OOM) + OOM}),
    "two killed, one announced": (False, {"levels": level(6, EXPECT_OOM) + OOM + OOM}),
    "a splat in the report of a killed process": (
        False, {"levels": level(6, EXPECT_OOM) + OOM_BEGIN + level(4, WARN) + OOM_END}),
    "a warning after a killed process": (
        False, {"levels": level(6, EXPECT_OOM) + OOM + level(4, "goalloc: something odd")}),
    "a cache not made, as announced": (
        True, {"levels": level(6, EXPECT_CACHE) + CACHE,
               "console": EXPECT_CACHE + "\n" + shown(CACHE)}),
    "a cache not made": (False, {"levels": CACHE}),
    "a warning after a cache not made": (
        False, {"levels": level(6, EXPECT_CACHE) + CACHE + level(4, "something odd")}),
    "no stack for a child, as announced": (
        True, {"levels": level(6, EXPECT_STACK) + STACK,
               "console": EXPECT_STACK + "\n" + shown(STACK)}),
    "no stack for a child": (False, {"levels": STACK}),
    "no stack for a child, on the console only": (False, {"console": shown(STACK)}),
    "a warning after that": (
        False, {"levels": level(6, EXPECT_STACK) + STACK + level(4, "something odd")}),
    "a stack that finds no addresses, as announced": (
        True, {"levels": level(6, EXPECT_STACK) + re.sub(
            r", failed to .*", ", vm_struct allocation failed", STACK)}),
    "no counters for a child, as announced": (
        True, {"levels": level(6, EXPECT_PERCPU) + PERCPU,
               "console": EXPECT_PERCPU + "\n" + shown(PERCPU)}),
    "no counters for a child": (False, {"levels": PERCPU}),
    "no counters for a child, on the console only": (False, {"console": shown(PERCPU)}),
    "a warning after they were not there": (
        False, {"levels": level(6, EXPECT_PERCPU) + PERCPU + level(4, "something odd")}),
    "a report of KASAN": (False, {"levels": KASAN + KASAN_LOCKDEP}),
    "a report of KASAN, as announced": (
        True, {"levels": level(6, EXPECT_KASAN) + KASAN + KASAN_LOCKDEP,
               "console": KASAN_CONSOLE}),
    "two reports of KASAN, both announced": (
        True, {"levels": level(6, EXPECT_KASAN) + KASAN + KASAN_LOCKDEP +
                         level(6, EXPECT_KASAN) + KASAN}),
    "two reports of KASAN, one announced": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN + KASAN_LOCKDEP + KASAN}),
    "the second on the console only": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN,
                "console": KASAN_CONSOLE + KASAN_CONSOLE.partition("\n")[2]}),
    "another kind of KASAN's than announced": (
        False, {"levels": level(6, EXPECT_KASAN) +
                          KASAN.replace("use-after-free", "slab-out-of-bounds")}),
    "KASAN was announced and said nothing": (False, {"levels": level(6, EXPECT_KASAN)}),
    "a report of KASAN in another": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN_RULE + KASAN_KIND +
                          KASAN_MIDDLE + KASAN + KASAN_RULE}),
    "a splat in a report of KASAN": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN_RULE + KASAN_KIND + KASAN_MIDDLE +
                          level(4, WARN) + KASAN_RULE}),
    "a report of KASAN is cut off": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN_RULE + KASAN_KIND + KASAN_MIDDLE}),
    "its first line is not there twice": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN_RULE + KASAN}),
    "a warning after a report of KASAN": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN + level(4, "goalloc: something odd")}),
    "a warning of goalloc's in a report of KASAN": (
        False, {"levels": level(6, EXPECT_KASAN) + KASAN_RULE + KASAN_KIND + KASAN_MIDDLE +
                          level(4, "goalloc: something odd") + KASAN_RULE}),
    "lockdep gives up, and KASAN did not report": (False, {"levels": KASAN_LOCKDEP}),
    "a data race of the kernel's own": (True, {"levels": RACE_KERNEL}),
    "a data race of ours": (False, {"levels": RACE_OURS}),
    "a data race in memory that we gave to the kernel's library": (
        False, {"levels": race("memset+0x4/0x10\n<3>[   11.000000]  f+0x4/0x10 [goalloc]")}),
    "a data race of an unknown with us": (False, {"levels": race("f+0x4/0x10 [goalloc]").replace(
        "write to", "race at unknown origin, with write to")}),
    "a data race in what we called": (
        True, {"levels": race("f+0x4/0x10\n<3>[   11.000000]  h+0x4/0x10 [goalloc]")}),
    "a data race of ours, as announced": (
        True, {"levels": level(6, EXPECT_RACE) + RACE_OURS}),
    "a data race was announced and is the kernel's": (
        False, {"levels": level(6, EXPECT_RACE) + RACE_KERNEL}),
    "two data races of ours, one announced": (
        False, {"levels": level(6, EXPECT_RACE) + RACE_OURS + RACE_KERNEL + RACE_OURS}),
    "a splat in the report of a data race": (
        False, {"levels": RACE_KERNEL.replace("<3>[   11.000000] value",
                                              level(4, WARN) + "<3>[   11.000000] value")}),
    "the report of a data race is cut off": (
        False, {"levels": RACE_KERNEL[:RACE_KERNEL.index("Reported by")] + "\n"}),
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
