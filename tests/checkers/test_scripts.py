#!/usr/bin/env python3
"""Each script checker must catch its seeded mistakes, all of them and nothing else, and accept the clean sample.

A folder scripts/RULE/ has a tree bad/, a tree good/, and expected.txt: the findings in bad/ without their messages.
  test_scripts.py RULE        --accept writes expected.txt from what is found now (read it before committing it)
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = os.path.join(HERE, "..", "..", "tools", "check.py")


def findings(root, rule):
    p = subprocess.run([sys.executable, CHECK, "--root", root, "--rule", rule], capture_output=True, text=True)
    found = [re.sub(r"(\]) .*", r"\1", line) for line in p.stdout.splitlines()]
    if p.stderr or p.returncode != (1 if found else 0):
        sys.exit("the checker failed: exit code %d\n%s" % (p.returncode, p.stderr))
    return found


def main():
    rule = sys.argv[1]
    folder = os.path.join(HERE, "scripts", rule)
    if rule == "file-size":  # a file of 601 lines need not lie about
        with tempfile.TemporaryDirectory() as d:
            for name, lines in (("bad", 601), ("good", 600)):
                os.makedirs(os.path.join(d, name, "host"))
                with open(os.path.join(d, name, "host", "long.cc"), "w") as f:
                    f.write("int a;\n" * lines)
            bad, good = findings(os.path.join(d, "bad"), rule), findings(os.path.join(d, "good"), rule)
        expected = ["host/long.cc:601: [file-size]"]
    else:
        bad, good = findings(os.path.join(folder, "bad"), rule), findings(os.path.join(folder, "good"), rule)
        path = os.path.join(folder, "expected.txt")
        if "--accept" in sys.argv:
            with open(path, "w") as f:
                f.write("\n".join(bad) + "\n")
        with open(path) as f:
            expected = f.read().splitlines()
    if bad != expected:
        sys.exit("found in bad/:\n  %s\nexpected:\n  %s" % ("\n  ".join(bad), "\n  ".join(expected)))
    if good:
        sys.exit("found in good/, which is clean:\n  %s" % "\n  ".join(good))
    print("%s: %d seeded mistakes caught, the clean sample accepted" % (rule, len(bad)))


if __name__ == "__main__":
    main()
