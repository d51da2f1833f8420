"""file-size: a file has at most 600 lines. (Functions of at most 60 lines are clang-tidy's readability-function-size.)"""
RULE = "file-size"
LIMIT = 600
FOLDERS = ["abi", "sgx", "host_abi", "kernel", "host", "emulator", "image", "cli", "sdk", "tools", "tests", "benchmarks", "demos"]


def check(tree):
    for folder in FOLDERS:
        for source in tree.sources(folder, (".cc", ".h", ".S", ".py")):
            count = len(source.lines) - (source.lines[-1] == "")
            if count > LIMIT:
                yield source.finding(count - 1, RULE, "%d lines (at most %d)" % (count, LIMIT))
