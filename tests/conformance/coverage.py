#!/usr/bin/env python3
"""Every system call of the kernel's table is made by a conformance program: a handler that nobody calls natively and inside is a claim.

What counts is a use in code: SYS_name, or the library's function for it. Comments and texts do not count, nor do the table of bad pointers
and the fuzzers: they show what a call refuses, not what it does.
"""
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tools"))
import gen_syscalls_doc  # noqa: E402

NOT_COUNTED = {"errno_table.c", "fuzz.c", "ptrace_smash.c"}
# Made by libc or by every program on its way: no program needs to name them.
IMPLICIT = {"exit_group", "exit", "rt_sigreturn", "set_tid_address", "rseq", "restart_syscall"}
# Functions of the library that make a call of another name.
FUNCTIONS = {"rt_sigaction": "sigaction", "rt_sigprocmask": "sigprocmask", "rt_sigqueueinfo": "sigqueue", "prlimit64": "prlimit", "pselect6": "pselect",
             "signalfd4": "signalfd", "set_robust_list": "pthread_mutexattr_setrobust"}
# The library's function of this name makes a newer call, so only the number counts.
SUPERSEDED = {"open", "stat", "lstat", "fstat", "fork", "getrlimit", "setrlimit", "nanosleep", "select", "eventfd", "signalfd", "epoll_create", "inotify_init",
              "utime", "utimes", "mknod"}


def code(path):
    with open(path) as f:
        text = f.read()
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.S)


def is_used(name, text):
    if re.search(r"\b(?:SYS|__NR)_%s\b" % re.escape(name), text):
        return True
    function = FUNCTIONS.get(name, name)
    return name not in SUPERSEDED and re.search(r"\b%s\s*\(" % re.escape(function), text) is not None


programs = "".join(code(p) for p in sorted(glob.glob(os.path.join(HERE, "*.c"))) if os.path.basename(p) not in NOT_COUNTED)
names = [call[1] for _, calls in gen_syscalls_doc.entries() for call in calls]
missing = [n for n in names if n not in IMPLICIT and not is_used(n, programs)]
if missing or not names:
    sys.exit("calls that no conformance program makes: %s" % ", ".join(missing))
print("%d calls, each made by a conformance program" % len(names))
