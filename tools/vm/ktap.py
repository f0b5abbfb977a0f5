# SPDX-License-Identifier: GPL-2.0-only
"""Count the results in KTAP or TAP output.

The kernel's own parser (tools/testing/kunit/kunit.py) reads the results.  It
forgives three things that are failures here, and are looked at first: a
missing plan at the top level, results beyond the plan, and what it calls
errors, which change neither its counts nor its exit status.
"""

import os
import re
import subprocess
import sys
from collections import namedtuple

Counts = namedtuple("Counts", "passed failed skipped problems")

VERSION = re.compile(r"^(K?TAP version \d+)$")
PLAN = re.compile(r"^1\.\.(\d+)")
RESULT = re.compile(r"^(?:ok|not ok) (\d+)\b")
BAIL_OUT = re.compile(r"^Bail out!")
SUMMARY = re.compile(r"Testing complete\. Ran \d+ tests?: (.*)")


def strip_prefix(lines):
    """Drop what stands before the version line, and the log's time stamps."""
    prefix = None
    for line in lines:
        line = line.rstrip("\r\n")
        if prefix is None:
            found = re.search(r"K?TAP version \d+$", line)
            if not found:
                continue
            prefix = found.start()
        yield line[prefix:]


def structure(lines):
    """What is wrong with the top level: version, plan and numbers."""
    problems = []
    plan = None
    results = 0
    version = False
    for line in strip_prefix(lines):
        if VERSION.match(line):
            if version:
                problems.append("a second version line")
            version = True
        elif PLAN.match(line):
            if plan is not None:
                problems.append("a second plan")
            plan = int(PLAN.match(line)[1])
        elif RESULT.match(line):
            results += 1
            number = int(RESULT.match(line)[1])
            if number != results:
                problems.append(f"result {number} where {results} was due")
        elif BAIL_OUT.match(line):
            problems.append(line)
    if not version:
        problems.append("no KTAP or TAP version line")
    elif plan is None:
        problems.append("no plan")
    elif plan == 0:
        problems.append("an empty plan")
    elif results != plan:
        problems.append(f"{results} results, {plan} planned")
    return problems


def count(path, source, report):
    """Parse the file at path, the parser's own words go to report."""
    with open(path, errors="backslashreplace") as stream:
        problems = structure(stream)
    parser = os.path.join(source, "tools/testing/kunit/kunit.py")
    done = subprocess.run(
        [sys.executable, parser, "parse", os.path.abspath(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="backslashreplace", check=False)
    with open(report, "w") as stream:
        stream.write(done.stdout)
    numbers = {}
    for summary in SUMMARY.findall(done.stdout):
        numbers = {name: int(value) for name, value in
                   re.findall(r"(\w+): (\d+)", summary)}
    passed = numbers.get("passed", 0)
    failed = numbers.get("failed", 0) + numbers.get("crashed", 0)
    if numbers.get("errors", 0):
        problems.append(f"kunit.py: {numbers['errors']} errors, see {report}")
    if not numbers:
        problems.append("kunit.py found no result")
    if done.returncode and not failed:
        problems.append(f"kunit.py ended with {done.returncode}")
    # Whatever is wrong with the form counts as one failure at least.
    return Counts(passed, failed + len(problems), numbers.get("skipped", 0), problems)
