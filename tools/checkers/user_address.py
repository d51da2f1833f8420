"""user-address: program memory is reached through UserPtr and UserBytes; the bare number is for frame/, mm/ and the tracer."""
import re

RULE = "user-address"
ALLOWED = ("kernel/frame/", "kernel/mm/", "kernel/syscall/strace")
CALL = re.compile(r"(?:\.|->)address\(\)")


def check(tree):
    for source in tree.sources("kernel", (".cc", ".h")):
        if source.path.startswith(ALLOWED):
            continue
        for i, line in enumerate(source.code):
            if CALL.search(line):
                yield source.finding(i, RULE, ".address() is for frame/, mm/ and syscall/strace")
