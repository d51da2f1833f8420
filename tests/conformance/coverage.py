#!/usr/bin/env python3
"""Every system call of the kernel's table is made by a conformance program: a handler that nobody calls natively and inside is a claim."""
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tools"))
import gen_syscalls_doc  # noqa: E402

programs = "".join(open(p).read() for p in glob.glob(os.path.join(HERE, "*.c")))
# Made by libc or by every program on its way: no program needs to name them.
IMPLICIT = {"exit_group", "exit", "rt_sigreturn", "set_tid_address", "futex_waitv", "rseq", "restart_syscall"}
names = [call[1] for _, calls in gen_syscalls_doc.entries() for call in calls]
missing = [n for n in names if n not in IMPLICIT and not re.search(r"\b(SYS_)?%s\b" % re.escape(n), programs)]
if missing or not names:
    sys.exit("calls that no conformance program makes: %s" % ", ".join(missing))
print("%d calls, each made by a conformance program" % len(names))
