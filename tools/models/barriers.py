#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compares Documentation/concurrency.rst with the source and with the models.

Every function of goalloc/ that has a barrier, or an atomic operation that orders
something, is to be in its table with it, and nothing else; and each mutant of the
models is to be named.  Says what differs.
"""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = TOP / "Documentation" / "concurrency.rst"

ORDERS = re.compile(r"\b(smp_mb|smp_rmb|smp_wmb|smp_mb__\w+|smp_store_release|smp_store_mb|"
                    r"smp_load_acquire|(?:try_)?cmpxchg|xchg|atomic\w*_(?:acquire|release)|"
                    r"rcu_assign_pointer|synchronize_rcu|call_rcu|kfree_rcu|kvfree_rcu|"
                    r"rcu_barrier)\(")
FUNCTION = re.compile(r"^[A-Za-z].*?\b(\w+)\(")
ROW = re.compile(r"^``(\w+)``\s+``(\w+)``\s+\S", re.M)


def without_comments(text):
    """The text, comments as blank as they are long."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]), text,
                  flags=re.S)


def in_source():
    """All (function, operation) with the places they are at."""
    found = {}
    for path in sorted((TOP / "goalloc").glob("*.[ch]")):
        function = None
        for number, line in enumerate(without_comments(path.read_text()).split("\n"), 1):
            if (begins := FUNCTION.match(line)) and not line.endswith(";"):
                function = begins[1]
            for operation in ORDERS.findall(line):
                found.setdefault((function, operation), f"{path.name}:{number}")
    return found


def mutants():
    """The macros of what the models want to see fail: those of more than one word."""
    lines = [line for path in sorted((TOP / "tools" / "models").glob("*.pml"))
             for line in re.findall(r"^ \* fail\s+(.*)$", path.read_text(), re.M)]
    return {macro for line in lines for macro in line.split() if "_" in macro}


def main():
    source = in_source()
    text = DOCUMENT.read_text()
    table = set(ROW.findall(text))
    unnamed = {macro for macro in mutants() if not re.search(rf"\b{macro}\b", text)}
    for key in sorted(source.keys() - table):
        print(f"{source[key]}: {key[1]}() in {key[0]}() is not in {DOCUMENT.name}")
    for key in sorted(table - source.keys()):
        print(f"{DOCUMENT.name}: {key[0]}() has no {key[1]}()")
    for macro in sorted(unnamed):
        print(f"{DOCUMENT.name}: says nothing of the mutant {macro}")
    if not source or not mutants():
        print("no barrier or no mutant found: is this the source?")
    sys.exit(not source or not mutants() or source.keys() != table or bool(unnamed))


main()
