# SPDX-License-Identifier: GPL-2.0-only
"""Judge a kernel log: nothing in it that was not announced.

A line is bad if it looks like a report of the kernel's own checkers, wherever
it stands, or if it has the level of a warning or worse and comes after the
rig's line "goalloc-rig: start" (before that the kernel talks about the
machine).

A data race that KCSAN reports is one line, the first one, if it is ours, and else
none (kcsan.py).

A test that provokes such lines announces them first:

    goalloc-expect: <n> <regular expression>

allows the next n bad lines that match, and requires them.  Equal expressions
add up.  With "any" for n as many as there are may come, or none: what the kernel
itself says where its allocations are made to fail.  With "said" that holds for lines
that are bad by their level alone, and a checker's report counts as ever.

A memory cgroup over its limit is reported in fifty lines.  With

    goalloc-expect: <n> invoked oom-killer

each such report is one, down to its line "Killed process"; what a checker or
goalloc says in between counts as ever.  So is a report of KASAN, from its first line of "="
to its last, in a guest booted with kasan_multi_shot, announced with

    goalloc-expect: <n> BUG: KASAN: <kind>

and the line in which lockdep says that it gives up after the first of them.

So is what the kernel says of its own at length where it gets no memory, down to the
end of its trace or of the machine's figures: "kmem_cache_create... failed with error
-12", "vmalloc error: size ..." and "percpu: allocation failed, size=...".
"""

import re
from collections import namedtuple

import kcsan

SPLAT = re.compile(
    r"WARNING:|BUG:|INFO: (task|rcu|possible|trying|lockdep)|UBSAN:|KASAN|KFENCE|KCSAN"
    r"|Oops|kernel BUG at|Kernel panic|general protection fault|Call Trace:"
    r"|\[ cut here \]|lockup|detected stall|suspicious RCU|inconsistent lock state"
    r"|possible (circular|recursive) locking|sleeping function called"
    r"|scheduling while atomic|list_(add|del) corruption|refcount_t:|ODEBUG:"
    r"|Objects remaining|[Bb]ad page (state|map)|page allocation failure"
    r"|new suspected memory leaks|unreferenced object|Unable to handle kernel"
    r"|unable to handle page fault|double fault|workqueue lockup|Out of memory"
    r"|kmem_cache_create\S* failed with error|invoked oom-killer|\bpagealloc: (memory corruption|single bit)|nobody cared|module .* depends on")

# Said by the kernel about any module like ours, by KUnit about slow cases, or
# about a machine whose clock runs unevenly, as an emulated one's does; an emulated
# CPU that was offline comes back with an interrupt pending, or too late, and one that
# gets little time is kept busy by the threads that PREEMPT_RT makes of interrupts.
KNOWN = re.compile(
    r"loading out-of-tree module taints kernel"
    r"|module verification failed: signature"
    r"|# \S+: Test should be marked slow"
    r"|hrtimer: interrupt took \d+ ns|perf: interrupt took too long"
    r"|clocksource: .*(watchdog|unstable|skew)|tsc: Marking TSC unstable"
    r"|APIC: Stale IRR: |No irq handler for (vector|\d+\.\d+)"
    r"|CPU\d+ failed to report (alive|dead) state|CPU \d+ didn't die"
    r"|do_boot_cpu failed\(-?\d+\) to wakeup CPU"
    r"|workqueue: \S+ hogged CPU|sched: .* replenish lagged"
    r"|sched: RT throttling activated")

# What follows in a report that has been seen already.
TRACE = re.compile(r"^\s*(\? )?\S+\+0x[0-9a-f]+/0x|^\s*$")

# Reports of many lines that can be announced as one: what their first line holds,
# their last line, and what in between looks like a checker's report, too.
Block = namedtuple("Block", "begin end part")
RULE = re.compile(r"^={20,}$")      # stands above "BUG: KASAN:", too
TRACE_PART = r"Call Trace:|^\s*</?(TASK|IRQ|NMI|SOFTIRQ)>"
BLOCKS = (
    Block("invoked oom-killer", re.compile(r"Killed process \d+"),
          re.compile(TRACE_PART + "|Memory cgroup out of memory: Killed process")),
    Block("BUG: KASAN:", RULE, re.compile(TRACE_PART)),
    Block(") failed with error -", re.compile(r"^\s*</TASK>"), re.compile(TRACE_PART)),
    Block("percpu: allocation failed, size=", re.compile(r"^\s*</TASK>"), re.compile(TRACE_PART)),
    # With all that is known of the machine's memory.
    Block("vmalloc error: size ", re.compile(r"^\d+ pages reserved"), re.compile(TRACE_PART)),
)

# What counts in such a report as it does elsewhere.
COUNTS = re.compile(SPLAT.pattern + "|^goalloc: ")

# What is said once, after the first report of KASAN.
LOCKDEP_OFF = "Disabling lock debugging due to kernel taint"

START = "goalloc-rig: start"
EXPECT = re.compile(r"goalloc-expect: (\d+|any|said) (.+)")
ANY = float("inf")      # of such lines; one less is as many
LINE = re.compile(r"^(?:<(\d+)>)?(?:\[ *\d+\.\d+\](?:\[[^\]]*\])? ?)?(.*)$")
WARNING = 4     # KERN_WARNING; smaller is worse


def judge(lines, levels):
    """Return a list of what is wrong with the log, empty if nothing.

    Without levels, as the console has it, only splats and reports of many lines
    are seen, and what was announced need not be among them.
    """
    expected = {}
    said = []               # may come as warnings
    errors = []
    started = False
    block = None            # in a report that was announced
    rules = []              # those that no announced report has explained
    kasan = False           # a report of it was announced and came
    for line in kcsan.condense(lines):
        level, text = LINE.match(line.rstrip("\r\n")).groups()
        if START in text:
            started = True
        announced = EXPECT.search(text)
        if announced:
            count, pattern = announced[1], announced[2].rstrip()
            try:
                re.compile(pattern)
            except re.error as why:
                errors.append(f"bad expression in: {text} ({why})")
                continue
            if count == "any":
                expected[pattern] = ANY
            elif count == "said":
                said.append(pattern)
            else:
                expected[pattern] = expected.get(pattern, 0) + int(count)
            continue
        # A report's first line counts on the console, too: the trace below it does.
        report = SPLAT.search(text) or started and any(kind.begin in text for kind in BLOCKS)
        bad = report or started and levels and int(level or 0) % 8 <= WARNING
        if block and (block.part.search(text) or not COUNTS.search(text)):
            bad = False
        if block and block.end.search(text):
            block = None
        if not bad or KNOWN.search(text) or (errors and TRACE.search(text)):
            continue
        if RULE.match(text):
            rules.append(text)
            continue
        if kasan and text == LOCKDEP_OFF:
            continue
        if not report and any(re.search(pattern, text) for pattern in said):
            continue
        for pattern, left in expected.items():
            if left and re.search(pattern, text):
                expected[pattern] -= 1
                for kind in BLOCKS:
                    if kind.begin in text:
                        block = kind
                if block and block.end is RULE:
                    del rules[-1:]
                    kasan = True
                break
        else:
            errors.append(f"not announced: {text.strip()}")
    errors += [f"not announced: {text}" for text in rules]
    if block:
        errors.append(f"a report that did not end: {block.begin}")
    for pattern, left in expected.items():
        if left and left != ANY and levels:
            errors.append(f"announced and did not come, {left} times: {pattern}")
    if not started:
        errors.append("the log does not hold the rig's first line")
    return errors
