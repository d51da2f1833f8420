"""input-never-panics: no KASSERT or panic on what a program or the host gave.

In syscall/ the parameters of sys_* functions (but the first, the task) are input, in host/ everything of type Untrusted, and in both
whatever a variable is initialised with from those, from a .load() or from a host call."""
import re

from checkers.source import line_of, matching

RULE = "input-never-panics"
FUNCTION = re.compile(r"\b(sys_\w+)\s*\(")
ASSERT = re.compile(r"\b(?:KASSERT|panic)\s*\(")
UNTRUSTED = re.compile(r"\bUntrusted<[^;(){}]*>\s*&?\s*(\w+)")
LOCAL = re.compile(r"\b(\w+)\s*=\s*([^;]*);")
SOURCES = re.compile(r"\.load(?:_all)?\(|\bcopy_in\(|\bcopy_string_from_user\(|\bUntrusted<")


def parameter_names(parameters):
    names, depth, current = [], 0, ""
    for c in parameters + ",":
        depth += c in "<([{"
        depth -= c in ">)]}"
        if c == "," and depth == 0:
            m = re.search(r"(\w+)\s*(?:=.*)?$", current.strip())
            names.append(m.group(1) if m and " " in current.strip() else None)
            current = ""
        else:
            current += c
    return names


def tainted_in(body, names):
    """Names of `body` that carry input, by repeated passes over its initialisations."""
    names = set(n for n in names if n) | set(UNTRUSTED.findall(body))
    while True:
        more = {name for name, value in LOCAL.findall(body)
                if SOURCES.search(value) or any(re.search(r"\b%s\b" % re.escape(n), value) for n in names)} - names
        if not more:
            return names
        names |= more


def findings_in(source, text, start, end, names):
    body = text[start:end]
    names = tainted_in(body, names)
    for m in ASSERT.finditer(body):
        argument = body[m.end() - 1:matching(body, m.end() - 1, "(", ")")]
        for name in sorted(names):
            if re.search(r"\b%s\b" % re.escape(name), argument):
                yield source.finding(line_of(text, start + m.start()), RULE, "assertion on '%s', which comes from a program or the host" % name)
                break


def check(tree):
    for source in tree.sources("kernel/syscall", (".cc", ".h")):
        text = "\n".join(source.code)
        for m in FUNCTION.finditer(text):
            close = matching(text, m.end() - 1, "(", ")")
            brace = re.match(r"[^;{}]*\{", text[close:])
            if not brace:
                continue  # a declaration or a call
            start = close + brace.end() - 1
            names = parameter_names(text[m.end():close - 1])[1:]
            yield from findings_in(source, text, start, matching(text, start, "{", "}"), names)
    for source in tree.sources("kernel/host", (".cc", ".h")):
        text = "\n".join(source.code)
        depth = 0
        start = 0
        for i, c in enumerate(text):  # each outermost function body; namespaces are transparent
            if c == "{":
                head = text[max(text.rfind(";", 0, i), text.rfind("}", 0, i), text.rfind("{", 0, i)) + 1:i]
                if depth == 0 and re.search(r"\b(namespace|class|struct|enum)\b", head) and "(" not in head:
                    continue
                if depth == 0:
                    start = i
                depth += 1
            elif c == "}" and depth:
                depth -= 1
                if depth == 0:
                    yield from findings_in(source, text, start, i + 1, [])
