#!/usr/bin/env python3
"""A rule without a seeded mistake is no rule: each one that tools/check.py knows has a test in CMakeLists.txt."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
rules = subprocess.run([os.path.join(HERE, "..", "..", "tools", "check.py"), "--list"], capture_output=True, text=True, check=True).stdout.split()
with open(os.path.join(HERE, "CMakeLists.txt")) as f:
    tested = re.search(r"foreach\(rule ([^)]*)\)", f.read()).group(1).split()
if sorted(rules) != sorted(tested):
    sys.exit("rules without a test: %s; tests without a rule: %s" % (set(rules) - set(tested), set(tested) - set(rules)))
print("%d rules, each with seeded mistakes" % len(rules))
