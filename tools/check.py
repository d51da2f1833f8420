#!/usr/bin/env python3
"""Runs the script checkers over the source tree; see docs/style.md for the rules.

  tools/check.py [--root DIR] [--rule NAME]...    prints findings as path:line: [rule] message; exit code 1 if there are any
  tools/check.py --list                           the names of the rules
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checkers import frame_lines, hygiene, layers, no_panic, safety_note, sizes, unsafe, user_address, views  # noqa: E402
from checkers.source import Tree  # noqa: E402

CHECKERS = [layers, unsafe, safety_note, user_address, no_panic, sizes, views, frame_lines, hygiene]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    ap.add_argument("--rule", action="append", default=[])
    ap.add_argument("--list", action="store_true")
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
    for f in findings:
        print("%s:%d: [%s] %s" % (f.path, f.line, f.rule, f.message))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
