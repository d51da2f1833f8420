"""frame-lines: the unsafe folder does not grow unseen. tools/frame-lines.txt holds the number of lines of code that kernel/frame may
have; raising it needs a note in docs/decisions/. `tools/check.py --record-frame-lines` writes the present number."""
import os

from checkers.source import Finding

RULE = "frame-lines"
RECORD = "tools/frame-lines.txt"


def count(tree):
    return sum(1 for source in tree.sources("kernel/frame") for line in source.code if line.strip())


def check(tree):
    lines = count(tree)
    if not lines:
        return
    recorded = tree.text(RECORD)
    if not recorded:
        yield Finding(RECORD, 1, RULE, "missing: record the %d lines of kernel/frame" % lines)
    elif lines > int(recorded[0]):
        yield Finding(RECORD, 1, RULE, "kernel/frame has %d lines of code, %s are recorded: shrink it or write a decision note" %
                      (lines, recorded[0]))


def record(tree):
    with open(os.path.join(tree.root, RECORD), "w") as f:
        f.write("# Lines of code of kernel/frame (without comments and blank lines) that are agreed on; see tools/checkers/frame_lines.py.\n")
        f.write("%d\n" % count(tree))
