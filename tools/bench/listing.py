#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""List the instructions of the hot path, each accounted for.

listing.py DIR NAME GOALLOC.KO BENCH.KO: a guest has run goalloc_speed_bench.ko with
path=1 under QEMU's -d exec,nochain. DIR/path-NAME/trace.log says which blocks of the
two modules ran, sections.tap where they were, speed-path.tap what was counted. Writes
DIR/listing-NAME.txt, DIR/path-NAME.rows.tsv and DIR/path-NAME.targets.tsv.

What is listed is what ran: of all turns of a loop the path that most took. Its length
must be what was counted, or the listing is of something else, which is an error.
"""

import argparse
import collections
import os
import re
import subprocess
import sys

from figures import Figures

# Never on the path of a free on the CPU that owns the span; rdtsc is the benchmark's.
LOCKED = re.compile(r"\block\b|^xchg\b.*\(")
INTERRUPTS = re.compile(r"^(cli|sti|pushf|popf)")

TRANSFER = re.compile(r"^(bnd |notrack )?(j\w+|call\w*|ret\w*|iret\w*|loop\w*)\b")

PAGE = 4096

Insn = collections.namedtuple("Insn", "addr text reloc next")


class Module:
    """A module's text: instructions by offset, functions by name."""

    def __init__(self, path):
        self.path = path
        self.insns = {}
        self.functions = {}
        function = None
        lines = subprocess.run(
            ["objdump", "-dr", "--no-show-raw-insn", "-j", ".text", path],
            check=True, capture_output=True, text=True).stdout.splitlines()
        found = []
        for line in lines:
            if match := re.match(r"^([0-9a-f]+) <(.*)>:$", line):
                function = match[2]
                self.functions[function] = [int(match[1], 16), None]
            elif match := re.match(r"^\s*([0-9a-f]+):\t(.*?)\s*$", line):
                found.append([int(match[1], 16), match[2], "", function])
            elif match := re.match(r"^\s+[0-9a-f]+: R_\S+\s+(\S+)$", line):
                found[-1][2] = re.sub(r"[+-]0x[0-9a-f]+$", "", match[1])
        ends = [insn[0] for insn in found[1:]] + [found[-1][0] + 16]
        for (addr, text, reloc, function), end in zip(found, ends):
            self.insns[addr] = Insn(addr, text, reloc, end)
            self.functions[function][1] = end

    def transfers(self, addr):
        """Does a block end here? What a tracer would patch is a nop when nobody does."""
        insn = self.insns[addr]
        return bool(TRANSFER.match(insn.text)) and insn.reloc != "__fentry__"

    def sources(self, addrs):
        """For each address: (function, file, line) from the innermost inlined one out."""
        out = subprocess.run(
            ["addr2line", "-i", "-f", "-a", "-j", ".text", "-e", self.path],
            input="".join(f"{addr:#x}\n" for addr in addrs), check=True,
            capture_output=True, text=True).stdout.splitlines()
        found, frames, i = {}, None, 0
        while i < len(out):
            if out[i].startswith("0x"):
                frames = found.setdefault(int(out[i], 16), [])
                i += 1
                continue
            path, _, number = out[i + 1].split(" (")[0].rpartition(":")
            frames.append((out[i], path, int(number) if number.isdigit() else 0))
            i += 2
        return found


class Trace:
    """The blocks that ran, as (module, offset)."""

    def __init__(self, path, bases):
        self.blocks = []
        known = {}      # each address is looked up once
        with open(path, encoding="ascii", errors="replace") as stream:
            for line in stream:
                words = line.split("/", 2)
                if not line.startswith("Trace ") or len(words) < 3:
                    continue
                if words[1] not in known:
                    pc = int(words[1], 16)
                    known[words[1]] = next(((module, pc - base) for module, base in bases
                                            if pc - base in module.insns), None)
                if known[words[1]]:
                    self.blocks.append(known[words[1]])

    def turns(self, module, name):
        """All turns of a function's loop, each a tuple of blocks, and how often."""
        begin, end = module.functions[name]
        inside = collections.Counter(
            addr for where, addr in self.blocks if where is module and begin <= addr < end)
        if not inside:
            sys.exit(f"listing: {name} did not run")
        most = inside.most_common(1)[0][1]
        # The head is what the loop jumps back to, and runs as often as anything in it.
        jumps = {int(insn.text.split()[1], 16) for addr, insn in module.insns.items()
                 if begin <= addr < end and re.match(r"^j\w+\s+[0-9a-f]+ <", insn.text)}
        head = min(addr for addr, times in inside.items()
                   if times > most * 0.9 and addr in jumps)
        turns, turn = collections.Counter(), None
        for block in self.blocks:
            if block == (module, head):
                if turn:
                    turns[tuple(turn)] += 1
                turn = [block]
            elif turn:
                turn.append(block)
                if block[0] is module and not begin <= block[1] < end:
                    turn = None     # the loop is left
        return turns


def expand(blocks):
    """The instructions of blocks, the first of which follows the last."""
    path = []
    for i, (module, addr) in enumerate(blocks):
        where, then = blocks[(i + 1) % len(blocks)]
        start = addr
        while True:
            insn = module.insns.get(addr)
            if insn is None:
                sys.exit(f"listing: no instruction at {addr:#x} of {module.path}")
            path.append((module, insn))
            addr = insn.next
            if module.transfers(insn.addr):
                break
            # The clock ends a block, as does a page: before what reaches into the next.
            if where is module and addr == then and addr != start and \
                    (insn.text == "rdtsc" or addr not in module.insns or
                     (module.insns[addr].next - 1) // PAGE != start // PAGE):
                break
    return path


def outside(path):
    """Calls of functions that are in neither module."""
    names = []
    for (module, insn), (where, then) in zip(path, path[1:]):
        if insn.text.startswith("call") and insn.reloc != "__fentry__" and \
                where is module and then.addr == insn.next:
            names.append(insn.reloc or insn.text)
    return names


class Listing:
    """@own is the module whose instructions are to be accounted for."""

    def __init__(self, top, own):
        self.top = top
        self.own = own
        self.lines = []
        self.files = {}

    def source(self, path, number):
        name = os.path.join(self.top, path)
        if name not in self.files:
            try:
                with open(name, encoding="utf-8") as stream:
                    self.files[name] = stream.read().splitlines()
            except OSError:
                self.files[name] = []
        lines = self.files[name]
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    @staticmethod
    def account(frames):
        """Where an instruction comes from: the innermost line of the project's own."""
        inner = []
        for function, path, number in frames:
            for part in ("/goalloc/", "/tools/bench/"):
                if part in path and "/include/" not in path.split(part)[-1]:
                    name = part.strip("/") + "/" + path.split(part)[-1]
                    return function, name, number, inner
            inner.append(function)
        return frames[-1][0] if frames else "", "", 0, inner

    def add(self, title, path, note):
        addrs = collections.defaultdict(list)
        for module, insn in path:
            addrs[module].append(insn.addr)
        sources = {module: module.sources(sorted(set(found)))
                   for module, found in addrs.items()}
        self.lines += [title, "=" * len(title), "", note, ""]
        groups = collections.Counter()
        last = None
        for number, (module, insn) in enumerate(path, 1):
            function, name, line, inner = self.account(sources[module][insn.addr])
            what = group_of(insn, module is self.own, function, inner, self.source(name, line))
            groups[what] += 1
            key = function, name, line
            comment = f"{function}(): {self.source(name, line)}"[:90] if key != last else ""
            last = key
            text = re.sub(r"\s+", " ", insn.text)
            text = re.sub(r"\s*#.*$", "", text)
            if insn.reloc:
                text = re.sub(r"[0-9a-f]+ <.*>$", insn.reloc, text)
                text = text.replace("0x0(%rip)", f"{insn.reloc}(%rip)")
                if insn.reloc not in text:
                    text += f" [{insn.reloc}]"
            else:
                text = re.sub(r"[0-9a-f]+ (<.*>)$", r"\1", text)
            self.lines.append(f"{number:4}  {text:<48} {what:<14} {comment}".rstrip())
        self.lines += ["", "By purpose: " + ", ".join(f"{what} {count}"
                                                    for what, count in groups.most_common()),
                       ""]


# What an instruction is for, by the first that fits: patterns for the line of source
# or for the functions that it is inlined from.
GROUPS = (
    ("count", r"nmalloc|nfree|count_free", r"count_free"),
    ("preempt", r"preempt_(disable|enable)", r""),
    ("context", r"mcache_in_task|in_nmi|preempt_count", r"mcache_in_task|mcache_context"),
    ("owner", r"owner|bool mine", r"owner"),
    ("cache", r"this_cpu_(read|ptr)|this_mcache|mc \+ entry|->mcache", r"this_mcache"),
    ("address", r"a->base \+|\* a->elemsize", r""),
    ("zeroing", r"__GFP_ZERO|needzero|zero", r"needzero"),
    ("span lookup", r"span_of|vmemmap|\(!s\b|\bs &&", r"span_of|spanmap"),
    ("slot", r"divmul|mspan_divide|slot_of|slot / |nelems", r"divide|mul_halves|slot_of"),
    ("bits", r"->free\b|->kept|\.free\b|\.kept|word|slot\(|mask|cmpxchg|\bcan\b",
     r"_slot$|next_free_fast|free_remote|free_owned"),
    ("class", r"class", r"size_to_class|spanclass"),
)

LEGEND = """\
What it is for is told by the line of source that the compiler says it is of:

  caller       arguments, the call, what the loop does with the object
  entry        endbr64, and room for a call that a tracer would put there: a nop
  frame        registers to the stack and back, the stack's guard
  preempt      preemption off and on: the CPU stays the same meanwhile
  context      is this a task, a softirq or a hardirq
  class        from the size to the size class
  cache        this CPU's mcache, and its entry for the class
  zeroing      is memory to be cleared; is it clear already
  span lookup  from the address to its span, for any address
  owner        is the span this mcache's
  slot         from the address to the slot, exactly: an address inside an object is refused
  bits         the slot's bits, looked at and changed: a double free is refused
  address      from the slot to the address
  count        for the books
  other        functions that call each other, and what they answer
  return       a return is one instruction where no mitigation makes it two
"""


def group_of(insn, own, function, inner, source):
    text = f"{insn.text} {insn.reloc}"
    if not own:
        return "caller"
    if re.search(r"endbr64|__fentry__", text):
        return "entry"
    if re.search(r"^ret|__x86_return_thunk", text):
        return "return"
    if re.search(r"^(push|pop) |\$0x[0-9a-f]+,%rsp|%gs:0x28", text):
        return "frame"
    functions = [function, *inner]
    for what, in_source, in_functions in GROUPS:
        if re.search(in_source, source) or \
                (in_functions and any(re.search(in_functions, name) for name in functions)):
            return what
    return "other"


def between(path, call):
    """What runs from a call to its return."""
    begin = next(i for i, (_, insn) in enumerate(path)
                 if insn.text.startswith("call") and insn.reloc == call)
    module, insn = path[begin]
    end = next((i for i, (where, other) in enumerate(path[begin + 1:], begin + 1)
                if where is module and other.addr == insn.next), len(path))
    return path[begin + 1:end]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("name", help="of the series, as 6.12")
    parser.add_argument("goalloc")
    parser.add_argument("bench")
    parser.add_argument("--top", default=os.path.join(os.path.dirname(__file__), "../.."))
    args = parser.parse_args()

    directory = os.path.join(args.directory, f"path-{args.name}")
    goalloc, bench = Module(args.goalloc), Module(args.bench)
    bases = []
    with open(os.path.join(directory, "sections.tap"), encoding="utf-8") as stream:
        for line in filter(None, (line.strip() for line in stream)):
            path, address = line.split(":")
            module = bench if "speed_bench" in path else goalloc
            bases.append((module, int(address, 16)))
    counted = {}
    with open(os.path.join(directory, "speed-path.tap"), encoding="utf-8") as stream:
        for line in filter(None, (line.rstrip("\n") for line in stream)):
            part, _, _, allocator, metric, value = line.split("\t")
            counted[part, allocator, metric] = int(value) / 100
    with open(os.path.join(directory, "release"), encoding="utf-8") as stream:
        release = stream.read().strip()
    trace = Trace(os.path.join(directory, "trace.log"), bases)

    def usual(name):
        turns = trace.turns(bench, name)
        blocks, times = turns.most_common(1)[0]
        return expand(blocks), times / sum(turns.values())

    figures = Figures(args.directory, f"path-{args.name}", args.name)
    listing = Listing(args.top, goalloc)
    listing.lines += [f"The hot path, instruction by instruction ({release})", "",
                      *LEGEND.splitlines(), ""]
    what = {"goalloc": ("task_goalloc_64_hot", "goalloc_alloc(64, GFP_KERNEL), goalloc_free()"),
            "goalloc-class": ("task_goalloc_class_0_hot",
                              "goalloc_class_alloc(class of 64, GFP_KERNEL), goalloc_free()")}
    empty = len(usual("task_nothing_0_hot")[0])
    for allocator, (name, title) in what.items():
        path, part = usual(name)
        length = len(path) - empty
        if outside(path):
            sys.exit(f"listing: {name} calls {', '.join(outside(path))}")
        if length != counted["hot", allocator, "pair"]:
            sys.exit(f"listing: {name}: {length} instructions are listed,"
                     f" {counted['hot', allocator, 'pair']} were counted")
        listing.add(title, path,
                    f"{length} instructions, as counted, and {empty} of the loop; the path of"
                    f" {part:.0%} of all turns.")
        freed = between(path, "goalloc_free")
        for what_for, pattern in (("locked", LOCKED), ("interrupt flag", INTERRUPTS)):
            number = sum(bool(pattern.search(insn.text)) for _, insn in freed)
            figures.targets.add(args.name, f"{what_for} instructions of a free on the owner's CPU,"
                                f" {allocator}", number, 0)
            figures.add("path", "free-own", "64", allocator, what_for.replace(" ", "-"), number)
        figures.add("path", "hot", "64", allocator, "instructions", length)

    path, part = usual("softirq_goalloc_64_discard")
    empty = len(usual("softirq_nothing_0_discard")[0])
    calls = outside(path)
    mean = counted["handed", "goalloc", "free"]
    note = (f"Made in a softirq, freed by a task: {len(path) - empty} instructions and {empty}"
            f" of the loop; the path of {part:.0%} of all turns, {mean:.0f} in the mean.")
    if calls:
        note += f" Not listed is what {', '.join(calls)} does."
    listing.add("goalloc_free() from elsewhere", path, note)
    number = sum(bool(LOCKED.search(insn.text)) for _, insn in path)
    figures.targets.add(args.name, "locked instructions of a free from elsewhere", number, 1)
    figures.add("path", "free-elsewhere", "64", "goalloc", "locked", number)
    figures.add("path", "free-elsewhere", "64", "goalloc", "instructions", len(path) - empty)
    with open(os.path.join(args.directory, f"listing-{args.name}.txt"), "w",
              encoding="utf-8") as stream:
        print("\n".join(listing.lines), file=stream)
    figures.write()


if __name__ == "__main__":
    main()
