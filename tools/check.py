#!/usr/bin/env python3
"""Runs the script checkers over the source tree; see docs/style.md for the rules.

  tools/check.py [--root DIR] [--rule NAME]...    prints findings as path:line: [rule] message; exit code 1 if there are any
  tools/check.py --list                           the names of the rules
  tools/check.py --record [--grow]                writes tools/check-baseline.txt anew

The baseline counts findings that are known and not yet mended, as PATH RULE COUNT; more of them, or any other, is an error. It only
shrinks: --record refuses to let it grow unless --grow says so.
"""
import argparse
import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checkers import frame_lines, hygiene, layers, no_panic, safety_note, sizes, unsafe, user_address, views  # noqa: E402
from checkers.source import Tree  # noqa: E402

CHECKERS = [layers, unsafe, safety_note, user_address, no_panic, sizes, views, frame_lines, hygiene]


BASELINE = "tools/check-baseline.txt"


def record(tree, counts, old, grow):
    larger = [k for k, n in counts.items() if n > old.get(k, 0)]
    if larger and not grow:
        return "the baseline would grow: %s" % ", ".join("%s %s" % k for k in larger)
    with open(os.path.join(tree.root, BASELINE), "w") as f:
        f.write("# Findings of tools/check.py that are known and not yet mended: PATH RULE COUNT. The list only shrinks.\n")
        for (path, rule), n in sorted(counts.items()):
            f.write("%s %s %d\n" % (path, rule, n))
    return None


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    ap.add_argument("--rule", action="append", default=[])
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--record", action="store_true")
    ap.add_argument("--grow", action="store_true")
    ap.add_argument("--record-frame-lines", action="store_true")
    opt = ap.parse_args()
    names = [c.RULE for c in CHECKERS]
    if opt.list:
        print("\n".join(names))
        return 0
    tree = Tree(opt.root)
    if opt.record_frame_lines:
        frame_lines.record(tree)
        return 0
    unknown = set(opt.rule) - set(names)
    if unknown:
        ap.error("no such rule: %s (rules: %s)" % (", ".join(sorted(unknown)), ", ".join(names)))
    findings = sorted(f for c in CHECKERS if not opt.rule or c.RULE in opt.rule for f in c.check(tree))
    counts = collections.Counter((f.path, f.rule) for f in findings)
    words = [line.split() for line in tree.text(BASELINE)]
    old = {(w[0], w[1]): int(w[2]) for w in words}
    if opt.record:
        problem = record(tree, counts, old, opt.grow)
        if problem:
            print(problem)
        return 1 if problem else 0
    worse = [f for f in findings if counts[(f.path, f.rule)] > old.get((f.path, f.rule), 0)]
    for f in worse:
        print("%s:%d: [%s] %s" % (f.path, f.line, f.rule, f.message))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
