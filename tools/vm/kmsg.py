# SPDX-License-Identifier: GPL-2.0-only
"""Judge a kernel log: nothing in it that was not announced.

A line is bad if it looks like a report of the kernel's own checkers, wherever
it stands, or if it has the level of a warning or worse and comes after the
rig's line "goalloc-rig: start" (before that the kernel talks about the
machine).

A test that provokes such lines announces them first:

    goalloc-expect: <n> <regular expression>

allows the next n bad lines that match, and requires them.  Equal expressions
add up.

A memory cgroup over its limit is reported in fifty lines.  With

    goalloc-expect: <n> invoked oom-killer

each such report is one, down to its line "Killed process"; what a checker says
in between counts as ever.
"""

import re

SPLAT = re.compile(
    r"WARNING:|BUG:|INFO: (task|rcu|possible|trying|lockdep)|UBSAN:|KASAN|KFENCE|KCSAN"
    r"|Oops|kernel BUG at|Kernel panic|general protection fault|Call Trace:"
    r"|\[ cut here \]|lockup|detected stall|suspicious RCU|inconsistent lock state"
    r"|possible (circular|recursive) locking|sleeping function called"
    r"|scheduling while atomic|list_(add|del) corruption|refcount_t:|ODEBUG:"
    r"|Objects remaining|[Bb]ad page (state|map)|page allocation failure"
    r"|new suspected memory leaks|unreferenced object|Unable to handle kernel"
    r"|unable to handle page fault|double fault|workqueue lockup|Out of memory"
    r"|invoked oom-killer|\bpagealloc: (memory corruption|single bit)|nobody cared|module .* depends on")

# Said by the kernel about any module like ours, by KUnit about slow cases, or
# about a machine whose clock runs unevenly, as an emulated one's does; an emulated
# CPU that was offline comes back with an interrupt pending.
KNOWN = re.compile(
    r"loading out-of-tree module taints kernel"
    r"|module verification failed: signature"
    r"|# \S+: Test should be marked slow"
    r"|hrtimer: interrupt took \d+ ns|perf: interrupt took too long"
    r"|clocksource: .*(watchdog|unstable|skew)|tsc: Marking TSC unstable"
    r"|APIC: Stale IRR: |workqueue: \S+ hogged CPU|sched: .* replenish lagged")

# What follows in a report that has been seen already.
TRACE = re.compile(r"^\s*(\? )?\S+\+0x[0-9a-f]+/0x|^\s*$")

# The report of a memory cgroup that killed a process: first line, last line, and
# what a checker's report would look like too.
OOM = "invoked oom-killer"
OOM_END = re.compile(r"Killed process \d+")
OOM_PART = re.compile(r"Call Trace:|^\s*</?TASK>|Memory cgroup out of memory: Killed process")

START = "goalloc-rig: start"
EXPECT = re.compile(r"goalloc-expect: (\d+) (.+)")
LINE = re.compile(r"^(?:<(\d+)>)?(?:\[ *\d+\.\d+\](?:\[[^\]]*\])? ?)?(.*)$")
WARNING = 4     # KERN_WARNING; smaller is worse


def judge(lines, levels):
    """Return a list of what is wrong with the log, empty if nothing.

    Without levels, as the console has it, only splats are seen, and what was
    announced need not be among them.
    """
    expected = {}
    errors = []
    started = False
    oom = False             # in a report that was announced
    for line in lines:
        level, text = LINE.match(line.rstrip("\r\n")).groups()
        if START in text:
            started = True
        announced = EXPECT.search(text)
        if announced:
            count, pattern = int(announced[1]), announced[2].rstrip()
            try:
                re.compile(pattern)
            except re.error as why:
                errors.append(f"bad expression in: {text} ({why})")
                continue
            expected[pattern] = expected.get(pattern, 0) + count
            continue
        bad = SPLAT.search(text) or (
            levels and started and int(level or 0) % 8 <= WARNING)
        if oom and (OOM_PART.search(text) or not SPLAT.search(text)):
            bad = False
        if oom and OOM_END.search(text):
            oom = False
        if not bad or KNOWN.search(text) or (errors and TRACE.search(text)):
            continue
        for pattern, left in expected.items():
            if left and re.search(pattern, text):
                expected[pattern] -= 1
                oom = oom or OOM in text
                break
        else:
            errors.append(f"not announced: {text.strip()}")
    for pattern, left in expected.items():
        if left and levels:
            errors.append(f"announced and did not come, {left} times: {pattern}")
    if not started:
        errors.append("the log does not hold the rig's first line")
    return errors
