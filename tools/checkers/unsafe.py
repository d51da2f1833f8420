"""one-unsafe-folder: words that need care stand in kernel/frame and in the files that tools/unsafe-files.txt names, nowhere else.
no-naked-new: the same holds for new, delete and malloc. Casts in C style are the compiler's to find (-Wold-style-cast)."""
import re

RULE = "one-unsafe-folder"
WORDS = [
    (re.compile(r"\b(reinterpret_cast|const_cast)\b"), RULE),
    (re.compile(r"\b(volatile|asm|__asm__|__asm)\b"), RULE),
    (re.compile(r"\b(union)\b"), RULE),
    (re.compile(r"\b(?:__builtin_|std::)?(mem(?:cpy|move|set|cmp|chr)|str(?:cpy|ncpy|cat|len))\s*\("), RULE),
    (re.compile(r"\b(UNSAFE_BUFFERS\w*)\b"), RULE),
    (re.compile(r"\b(std::launder|__builtin_alloca|alloca)\b"), RULE),
    (re.compile(r"(?<!operator )\b(new)\b(?!\s*>)"), "no-naked-new"),
    (re.compile(r"(?<!operator )(?<!= )\b(delete)\b"), "no-naked-new"),
    (re.compile(r"\b(malloc|calloc|realloc|free|aligned_alloc|posix_memalign)\s*\("), "no-naked-new"),
]


def allowed(tree):
    return set(tree.text("tools/unsafe-files.txt"))


def check(tree):
    files = allowed(tree)
    for source in tree.sources("kernel", (".cc", ".h")):
        if source.path.startswith("kernel/frame/") or source.path in files:
            continue
        for i, line in enumerate(source.code):
            if line.lstrip().startswith("#"):
                continue
            for pattern, rule in WORDS:
                for m in pattern.finditer(line):
                    yield source.finding(i, rule, "'%s' outside kernel/frame" % m.group(1))
    for source in tree.sources("kernel", (".S",)):
        if not source.path.startswith("kernel/frame/") and source.path not in files:
            yield source.finding(0, RULE, "assembly outside kernel/frame")
