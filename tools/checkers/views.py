"""views-do-not-stay: a class whose objects are counted lives longer than a call, so it has no span or string_view member, unless a
// SAFETY: line above it says that the class itself owns the memory and gives it back."""
import re

from checkers.safety_note import has_note
from checkers.source import line_of, matching

RULE = "views-do-not-stay"
CLASS = re.compile(r"\b(?:class|struct)\s+(?:\[\[[^\]]*\]\]\s*)?(\w+)[^;{}()]*?:\s*([^;{}]*)\{")
VIEW = r"(?:std::)?(?:basic_)?(?:span\s*<[^;(){}]*>|string_view|u8string_view)"
MEMBER = re.compile(r"^\s*(?:const\s+|mutable\s+)*(?:std::(?:optional|array)<\s*)?%s[\s>,\d]*\s+\w+\s*(?:\{[^;]*\}|=[^;]*)?;" % VIEW, re.M)


def own_level(body):
    """The class body with everything in inner braces and parentheses blanked out."""
    out, depth = [], 0
    for c in body:
        if c in "{(":
            depth += 1
        out.append(c if depth == 0 or c in "\n(" else " ")
        if c in "})":
            depth -= 1
    return "".join(out)


def check(tree):
    counted = {"RefCounted"}
    classes = []
    for source in tree.sources("kernel", (".cc", ".h")):
        text = "\n".join(source.code)
        for m in CLASS.finditer(text):
            classes.append((source, text, m, set(re.findall(r"\w+", m.group(2)))))
    grown = True
    while grown:  # a class derived from a counted class is counted
        more = {m.group(1) for _, _, m, bases in classes if bases & counted} - counted
        grown = bool(more)
        counted |= more
    for source, text, m, bases in classes:
        if m.group(1) not in counted:
            continue
        start = m.end()
        body = own_level(text[start:matching(text, m.end() - 1, "{", "}") - 1])
        for member in MEMBER.finditer(body):
            first = member.start() + len(member.group(0)) - len(member.group(0).lstrip())
            line = line_of(text, start + first)
            if not has_note(source, line):
                yield source.finding(line, RULE, "a view as member of the counted class %s" % m.group(1))
