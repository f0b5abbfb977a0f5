#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Checks the models of the protocol between those who free and those who hold.

check.py [-v] [MODEL...]

Each *.pml that begins with lines of the kind " * run MACRO..." or " * fail
MACRO..." is a model.  With the macros of a run line spin must find no error in any
state; with those of a fail line, each of which has a mutant of the protocol in it,
it must find one.  Says nothing if all is as it should be; -v says what was found.
GOALLOC_JOBS is how many run at a time.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LINE = re.compile(r"^ \*\s(run|fail)\s+(.*)$", re.M)

# Seconds for one search, and MiB.
TIMEOUT = 300
MEMORY = 1500


def macros_of(sources):
    """All macros that conditions of the sources ask for."""
    asked = set()
    for text in sources.values():
        for line in re.findall(r"^#\s*(?:ifn?def|if|elif)\s+(.*)$", text, re.M):
            asked.update(re.findall(r"\b[A-Z][A-Z0-9_]+\b", line))
    return asked


def jobs_of(names, sources):
    """Lines (model, run or fail, macros) of the models."""
    asked = macros_of(sources)
    jobs = []
    for name in names:
        lines = LINE.findall(sources[name])
        if not any(what == "run" for what, _ in lines):
            sys.exit(f"{name}: not a model")
        for what, macros in lines:
            macros = macros.split()
            if unknown := [m for m in macros if m not in asked]:
                sys.exit(f"{name}: nothing asks for {' '.join(unknown)}")
            jobs.append((name, what, macros))
    return jobs


def command(args, cwd):
    """Runs a command; if it succeeded, and what it said."""
    try:
        done = subprocess.run(args, cwd=cwd, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT,
                              check=False)
    except subprocess.TimeoutExpired:
        return False, f"no answer after {TIMEOUT} s"
    return done.returncode == 0, done.stdout


def search(job):
    """Searches all states of a model: (what is wrong or None, what was found)."""
    name, what, macros = job
    with tempfile.TemporaryDirectory(prefix="goalloc-model-") as tmp:
        for source in HERE.glob("*.pml"):
            (pathlib.Path(tmp) / source.name).write_text(source.read_text())
        well, out = command(["spin", "-a", *[f"-D{m}" for m in macros], name], tmp)
        if not well:
            return f"spin: {out.strip()[-300:]}", ""
        well, out = command(["gcc", "-O0", "-w", "-DSAFETY", "-DNOFAIR",
                             f"-DMEMLIM={MEMORY}", "-o", "pan", "pan.c"], tmp)
        if not well:
            return f"gcc: {out.strip()[-300:]}", ""
        # Its exit status says nothing of what it found.
        out = command(["./pan", "-m1000000", "-w20"], tmp)[1]
    errors = re.search(r"errors: (\d+)", out)
    states = re.search(r"(\d+) states, stored", out)
    why = re.search(r"^pan:1: (.*) \(at depth \d+\)", out, re.M)
    # A search that was cut short has said nothing.
    cut = re.search(r"^(Warning: Search not completed|error: max search depth|pan: .*memory)",
                    out, re.M)
    if not errors or not states:
        return f"pan: {out.strip()[-300:]}", ""
    found = f"{states[1]} states" + (f", {why[1].strip()}" if why else "")
    if what == "run" and (errors[1] != "0" or why or cut):
        return f"an error: {found}", found
    if what == "fail" and not (errors[1] != "0" and why):
        return f"the mutant was not found: {found}", found
    return None, found


def main():
    verbose = sys.argv[1:2] == ["-v"]
    sources = {p.name: p.read_text() for p in sorted(HERE.glob("*.pml"))}
    names = [pathlib.Path(a).name for a in sys.argv[1 + verbose:]]
    names = names or [n for n in sources if LINE.search(sources[n])]
    jobs = jobs_of(names, sources)
    workers = int(os.environ.get("GOALLOC_JOBS") or os.cpu_count() or 1)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for (name, what, macros), (wrong, found) in zip(jobs, pool.map(search, jobs)):
            failed += wrong is not None
            if wrong:
                print(f"{name} {what} {' '.join(macros)}: {wrong}", flush=True)
            elif verbose:
                print(f"{name:14} {what:4} {' '.join(macros):32} {found}", flush=True)
    if verbose:
        print(f"{len(jobs) - failed} as they should be, {failed} not")
    sys.exit(failed != 0)


main()
