"""Source files as the checkers see them: a tree of files, each with its text and its text without comments and strings."""
import collections
import os
import re

Finding = collections.namedtuple("Finding", "path line rule message")

TOKEN = re.compile(r"""
    (?P<line>//[^\n]*) | (?P<block>/\*.*?\*/) | (?P<raw>R"(?P<tag>[^()\\ ]*)\(.*?\)(?P=tag)") |
    (?P<string>"(?:\\.|[^"\\\n])*") | (?P<number>\b[0-9][0-9a-fA-FxX']*(?=[^\w'])) | (?P<char>'(?:\\.|[^'\\\n])+')
""", re.X | re.S)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def without(text, kinds):
    """The text with tokens of these kinds blanked out: lines and columns stay."""
    def replace(m):
        kind = "string" if m.group("raw") else m.lastgroup if m.lastgroup != "tag" else "string"
        if kind == "block":
            kind = "line"
        if kind == "number" or kind not in kinds:
            return m.group(0)
        inner = m.group(0)
        return inner[0] + blank(inner[1:-1]) + inner[-1] if kind in ("string", "char") else blank(inner)
    return TOKEN.sub(replace, text)


class Source:
    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        self._code = None
        self._code_with_strings = None

    @property
    def code(self):  # lines without comments and the content of strings
        if self._code is None:
            self._code = without(self.text, {"line", "string", "char"}).split("\n")
        return self._code

    @property
    def code_with_strings(self):  # for #include lines
        if self._code_with_strings is None:
            self._code_with_strings = without(self.text, {"line"}).split("\n")
        return self._code_with_strings

    def finding(self, index, rule, message):
        return Finding(self.path, index + 1, rule, message)

    def is_comment(self, index):
        return bool(self.lines[index].strip()) and not self.code[index].strip()


class Tree:
    """The files below some folders of a root, by extension. Build folders and hidden folders are left out."""

    def __init__(self, root):
        self.root = root
        self._sources = {}

    def sources(self, folder, extensions=(".cc", ".h", ".S")):
        found = []
        for current, subfolders, files in os.walk(os.path.join(self.root, folder)):
            subfolders[:] = sorted(s for s in subfolders if not s.startswith((".", "build")))
            for name in sorted(files):
                if name.endswith(extensions):
                    path = os.path.relpath(os.path.join(current, name), self.root)
                    if path not in self._sources:
                        self._sources[path] = Source(self.root, path)
                    found.append(self._sources[path])
        return found

    def text(self, path):
        """A small file of the tree as lines without comments and blanks; [] if there is none."""
        full = os.path.join(self.root, path)
        if not os.path.exists(full):
            return []
        with open(full) as f:
            return [line.split("#")[0].strip() for line in f if line.split("#")[0].strip()]


def matching(text, start, opening, closing):
    """The index behind the bracket that closes the one at `start`, or the end of the text."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] == opening:
            depth += 1
        elif text[i] == closing:
            depth -= 1
            if depth == 0:
                return i + 1
    return len(text)


def line_of(text, index):
    return text.count("\n", 0, index)
