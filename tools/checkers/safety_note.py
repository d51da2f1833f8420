"""safety-note: a `// SAFETY:` comment directly above (or behind) each use of an unsafe word says why it is right.

A note holds for the statement below it, for a run of lines that all need one, and, above UNSAFE_BUFFERS_BEGIN, up to the END."""
import re

RULE = "safety-note"
NEEDS = re.compile(r"\b(UNSAFE_BUFFERS|UNSAFE_BUFFERS_BEGIN|reinterpret_cast|const_cast|NO_THREAD_SAFETY_ANALYSIS|asm|__asm__)\b")
ENDS_STATEMENT = re.compile(r"[;{}]\s*\\?$|^\s*(public|private|protected)\s*:\s*$|^\s*$|^\s*#|\):\s*$")


def has_note(source, index):
    if "SAFETY:" in source.lines[index]:
        return True
    i = index - 1
    while i >= 0:
        if source.is_comment(i):  # the whole block of comment lines counts
            while i >= 0 and source.is_comment(i):
                if "SAFETY:" in source.lines[i]:
                    return True
                i -= 1
            return False
        code = source.code[i].rstrip()
        if NEEDS.search(code) and not code.lstrip().startswith("#"):
            return has_note(source, i)  # a run of lines under one note
        if ENDS_STATEMENT.search(code):
            return False
        i -= 1
    return False


def check(tree):
    for source in tree.sources("kernel", (".cc", ".h")):
        covered = False  # between a noted BEGIN and its END
        in_macro = False
        for i, line in enumerate(source.code):
            starts_macro = line.lstrip().startswith("#")
            skip = in_macro or starts_macro
            in_macro = skip and source.lines[i].endswith("\\")
            if skip:
                continue
            if "UNSAFE_BUFFERS_END" in line:
                covered = False
            m = NEEDS.search(line)
            if m and not covered and not has_note(source, i):
                yield source.finding(i, RULE, "'%s' without a // SAFETY: line above" % m.group(1))
            if "UNSAFE_BUFFERS_BEGIN" in line:
                covered = True
