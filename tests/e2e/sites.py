#!/usr/bin/env python3
"""At least 99 % of the system calls of ordinary programs go through patched sites; those of a JIT program trap, all of them.

  tests/e2e/sites.py --build build [--mode fast|strict]      uses the instance of tests/run_matrix.py

Two counts that know nothing of each other: the emulator's of exceptions by a raw `syscall`, and the kernel's of calls made.
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAMS = [
    ["/bin/ls", "-lR", "/data/tree"], ["/bin/cat", "/data/text"], ["/usr/bin/sort", "-n", "/data/numbers"], ["/usr/bin/mawk", "{ n++ } END { print n }", "/data/text"],
    ["/bin/grep", "-rc", "quick", "/data/tree"], ["/bin/tar", "-C", "/tmp", "-xf", "/data/archive.tar"], ["/bin/gzip", "-dc", "/data/text.gz"],
    ["/usr/bin/sqlite3", ":memory:", "create table t(a); insert into t values (1); select * from t"],
    ["/usr/bin/python3", "-c", "import json, threading; print(json.dumps([1]))"], ["/usr/bin/perl", "-e", "print 1 + 1"],
    ["/bin/busybox", "find", "/data/tree"], ["/test/bin/musl_dynamic", "/tmp"], ["/test/bin/static_nonpie", "/tmp"], ["/test/bin/language", "/tmp"],
    ["/test/bin/goroutines", "/tmp"], ["/test/bin/rust", "/tmp"],
]


def counts(occlum, instance, mode, argv):
    """(calls, trapped) of one run."""
    p = subprocess.run([occlum, "run", "--stats", *argv], cwd=instance, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                       env=dict(os.environ, OCCLUM_EMULATOR=mode))
    text = p.stderr.decode(errors="replace") + p.stdout.decode(errors="replace")
    calls = re.search(r"^\s*system calls\s+(\d+)", text, re.M)
    trapped = re.search(r"^\s*AEX by raw syscall\s+(\d+)", text, re.M)
    if p.returncode or not calls:
        sys.exit("%s: exit %d, no count of system calls in the statistics:\n%s" % (argv[0], p.returncode, text[-2000:]))
    return int(calls.group(1)), int(trapped.group(1)) if trapped else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--mode", choices=["fast", "strict"], default="fast")
    opt = ap.parse_args()
    occlum = os.path.join(os.path.abspath(opt.build), "cli", "occlum")
    instance = os.path.join(os.path.abspath(opt.build), "tests", "matrix", "instance")
    total = total_trapped = 0
    for argv in PROGRAMS:
        calls, trapped = counts(occlum, instance, opt.mode, argv)
        print("%-24s %7d calls, %5d trapped (%.2f %%)" % (os.path.basename(argv[0]), calls, trapped, 100.0 * trapped / max(calls, 1)))
        total += calls
        total_trapped += trapped
    print("%-24s %7d calls, %5d trapped (%.2f %%)" % ("all", total, total_trapped, 100.0 * total_trapped / max(total, 1)))
    bad = total_trapped > total * 0.01
    calls, trapped = counts(occlum, instance, opt.mode, ["/test/bin/jit", "-l", "/tmp"])
    print("%-24s %7d calls, %5d trapped" % ("jit", calls, trapped))
    bad = bad or trapped < 100000
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
