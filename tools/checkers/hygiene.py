"""hygiene: what must not be in the repository: tabs and trailing blanks in code, include guards that do not name their file, and
`using namespace` in headers."""
import re

RULE = "hygiene"
FOLDERS = ["abi", "sgx", "host_abi", "kernel", "host", "emulator", "image", "cli", "sdk"]


def check(tree):
    for folder in FOLDERS:
        for source in tree.sources(folder, (".cc", ".h")):
            for i, line in enumerate(source.lines):
                if "\t" in line:
                    yield source.finding(i, RULE, "a tab")
                if line != line.rstrip():
                    yield source.finding(i, RULE, "blanks at the end of the line")
                if source.path.endswith(".h") and re.match(r"\s*using\s+namespace\b", source.code[i]):
                    yield source.finding(i, RULE, "using namespace in a header")
            if source.path.endswith(".h"):
                guard = re.sub(r"[^A-Z0-9]", "_", source.path.upper())
                if "#ifndef %s" % guard not in source.text:
                    yield source.finding(0, RULE, "the include guard must be %s" % guard)
