#!/usr/bin/env python3
"""The compiler's and clang-tidy's rules: each seeded mistake of compiler/*.txt must be refused with the expected diagnostic, and the
clean samples accepted, with the very flags that the kernel is built with.

  test_compiler.py compiler|tidy BUILD
"""
import concurrent.futures
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
spec = importlib.util.spec_from_file_location("run_tidy", os.path.join(TOP, "tools", "run-tidy.py"))
run_tidy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_tidy)


def kernel_arguments(build):
    with open(os.path.join(build, "compile_commands.json")) as f:
        for entry in json.load(f):
            if "OCCLUM_KERNEL=1" in str(entry) and entry["file"].endswith(".cc"):
                return run_tidy.arguments(entry)
    sys.exit("no kernel file in compile_commands.json")


def seeds(path):
    with open(path) as f:
        for part in re.split(r"(?m)^=== ", f.read())[1:]:
            name, text = part.split("\n", 1)
            repeat = re.search(r"// repeat-line: (.*)", text)
            if repeat:
                text = text.replace("@REPEAT@", "\n".join([repeat.group(1)] * 70))
            expect = re.search(r"// expect: (.*)", text)
            link = re.search(r"// expect-link: (.*)", text)
            yield name, text, expect and expect.group(1), link and link.group(1)


def compiler(args, folder, index, seed):
    name, text, expect, link = seed
    src, out = os.path.join(folder, "seed%d.cc" % index), os.path.join(folder, "seed%d.o" % index)
    with open(src, "w") as f:
        f.write(text)
    # The kernel's code is generated when it is linked (kernel/lto.cmake), and what is found then ends the link; here it is the compiler's turn.
    p = subprocess.run(["clang++-22", *args, "-fno-lto", "-Werror", "-c", src, "-o", out], capture_output=True, text=True)
    if link:  # compiles, and is caught by the post-link check: the object needs the symbol
        symbols = subprocess.run(["llvm-nm-22", "-u", out], capture_output=True, text=True).stdout
        return name, p.returncode == 0 and link in symbols, p.stderr + symbols
    if expect is None:
        return name, p.returncode == 0, p.stderr
    return name, p.returncode != 0 and re.search(expect, p.stderr) is not None, p.stderr


def tidy(args, folder, index, seed):
    name, text, expect, _ = seed
    src = os.path.join(folder, "kernel", "seed%d.cc" % index)
    with open(src, "w") as f:
        f.write(text)
    p = subprocess.run([run_tidy.TIDY, *run_tidy.EXTRA, src, "--", *args], capture_output=True, text=True)
    found = re.findall(r"(?m)^%s:\d+:\d+: .*\[([\w.-]+)" % re.escape(src), p.stdout)
    if expect is None:
        return name, not found and p.returncode == 0, p.stdout + p.stderr
    return name, any(re.fullmatch(expect, f) for f in found), p.stdout + p.stderr


def main():
    what, build = sys.argv[1:3]
    args = kernel_arguments(build)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "kernel"))
        shutil.copy(os.path.join(TOP, ".clang-tidy"), folder)
        shutil.copy(os.path.join(TOP, "kernel", ".clang-tidy"), os.path.join(folder, "kernel"))
        table = list(seeds(os.path.join(HERE, "compiler", {"compiler": "seeds.txt", "tidy": "tidy-seeds.txt"}[what])))
        one = {"compiler": compiler, "tidy": tidy}[what]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, good, output in pool.map(lambda item: one(args, folder, *item), enumerate(table)):
                print("%s: %s" % ("caught" if good else "MISSED", name))
                if not good:
                    bad += 1
                    print(output)
    print("%d seeds, %d not as expected" % (len(table), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
