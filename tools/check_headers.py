#!/usr/bin/env python3
"""self-contained-headers: each header compiles alone, whatever was included before it.

  tools/check_headers.py --build BUILD [--root DIR]     findings as path: message; exit code 1 if there are any

X.cc includes X.h before anything else, so the ordinary build compiles X.h alone. A header without such a file is compiled here, with the
flags of the kernel or of the host.
"""
import argparse
import concurrent.futures
import importlib.util
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ["abi", "sgx", "host_abi", "kernel", "host", "emulator", "image", "cli", "sdk"]
MEASURED = ("abi/", "sgx/", "host_abi/", "kernel/")  # what the kernel includes must satisfy the kernel's flags
spec = importlib.util.spec_from_file_location("run_tidy", os.path.join(HERE, "run-tidy.py"))
run_tidy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_tidy)


def arguments(build):
    """(flags of the kernel, flags of the host)."""
    with open(os.path.join(build, "compile_commands.json")) as f:
        entries = [entry for entry in json.load(f) if entry["file"].endswith(".cc")]
    kernel = next(entry for entry in entries if "OCCLUM_KERNEL=1" in str(entry))
    host = next(entry for entry in entries if "/cli/" in entry["file"])
    return run_tidy.arguments(kernel), run_tidy.arguments(host)


def sources(root, ending):
    for folder in FOLDERS:
        for place, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith(ending):
                    yield os.path.relpath(os.path.join(place, name), root)


def compile_alone(root, path, flags):
    p = subprocess.run(["clang++-22", *flags, "-I" + root, "-Wno-pragma-once-outside-header", "-Wno-unused-function", "-fsyntax-only", "-x", "c++",
                        os.path.join(root, path)], capture_output=True, text=True)
    error = re.search(r"error: .*", p.stderr)
    return None if p.returncode == 0 else "%s: does not compile alone: %s" % (path, error.group(0) if error else p.stderr[-300:])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default="build")
    ap.add_argument("--root", default=os.path.dirname(HERE))
    opt = ap.parse_args()
    kernel, host = arguments(opt.build)
    findings, covered = [], set()
    for path in sources(opt.root, ".cc"):
        own = path[:-3] + ".h"
        if not os.path.exists(os.path.join(opt.root, own)):
            continue
        with open(os.path.join(opt.root, path)) as f:
            first = re.search(r'^#include\s+["<](.*?)[">]', f.read(), re.M)
        covered.add(own)
        if not first or first.group(1) != own:
            findings.append("%s: must include %s before anything else" % (path, own))
    alone = [path for path in sources(opt.root, ".h") if path not in covered]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda path: compile_alone(opt.root, path, kernel if path.startswith(MEASURED) else host), alone)
        findings += [result for result in results if result]
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
