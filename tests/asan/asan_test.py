#!/usr/bin/env python3
"""The kernel under its address sanitizer (docs/decisions/kernel-asan.md).

  tests/asan/asan_test.py kernel   [--build DIR]      builds DIR/asan/kernel/occlum-kernel.elf and the matrix's instance with it
  tests/asan/asan_test.py mistakes [--build DIR]      each seeded mistake must end the kernel with a report that names it
  tests/asan/asan_test.py run      [--build DIR] [--filter REGEX]   cases of the matrix (default: all) on this kernel
  tests/asan/asan_test.py explain  [--build DIR] <LOG  puts functions and lines behind the addresses of a report
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MATRIX = os.path.join(TOP, "tests", "run_matrix.py")
# In the order of kernel/asan/mistakes.cc: what the report must say.
MISTAKES = ["heap-use-after-free: read of 1 ", "heap-buffer-overflow: write of 1 ", "heap-buffer-overflow: read of 1 ",
            "stack-buffer-overflow: write of 1 ", "stack-use-after-scope: read of 1 ", "global-buffer-overflow: read of 1 ", "double-free: ",
            "free-with-wrong-size: ", "heap-use-after-free: read of 100 ", "heap-use-after-free: read of 100 ", "page-use-after-free: read of 1 ",
            "page-run-overflow: read of 1 "]


def build_kernel(folder):
    launcher = ["-DCMAKE_C%s_COMPILER_LAUNCHER=ccache" % x for x in ("", "XX")] if shutil.which("ccache") else []
    subprocess.run(["cmake", "-G", "Ninja", "-S", TOP, "-B", folder, "-DOCCLUM_ASAN=ON", "-DOCCLUM_FOLDERS=kernel", *launcher], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", "occlum-kernel.elf"], check=True)


def mistakes(build):
    """Every mistake is reported, and a number behind the last one is refused: the list here is whole."""
    occlum = os.path.join(build, "cli", "occlum")
    instance = os.path.join(build, "tests", "matrix", "instance-other-kernel")
    bad = 0
    for number, wanted in enumerate([*MISTAKES, None]):
        p = subprocess.run([occlum, "run", "/test/bin/mistake", str(number)], cwd=instance, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=120)
        seen = p.stdout + p.stderr
        good = "the kernel went on: 1" in seen if wanted is None else p.returncode != 0 and "kernel panic: asan: " + wanted in seen
        bad += not good
        print("%s mistake %d: %s" % ("ok  " if good else "FAIL", number, wanted or "there is none"))
        if not good:
            print("    status %d\n    %s" % (p.returncode, "\n    ".join(seen.splitlines())))
    print("asan: %d mistakes, %d not reported" % (len(MISTAKES), bad))
    return 1 if bad else 0


def explain(kernel):
    for line in sys.stdin:
        sys.stdout.write(line)
        if "asan: " not in line and "kernel+0x" not in line:
            continue
        for address in re.findall(r"\+0x([0-9a-f]+)", line):
            # Return addresses: the call is one byte before.
            p = subprocess.run(["llvm-symbolizer-22", "--obj=" + kernel, "--pretty-print", hex(max(int(address, 16) - 1, 0))], capture_output=True, text=True)
            print("    +0x%s  %s" % (address, p.stdout.strip().replace("\n", "\n        ")))
    return 0


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["kernel", "mistakes", "run", "explain"])
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--filter", default=".")
    ap.add_argument("--mode", choices=["fast", "strict"], default="fast")
    opt = ap.parse_args()
    build = os.path.abspath(opt.build)
    kernel = os.path.join(build, "asan", "kernel", "occlum-kernel.elf")
    if opt.what == "kernel":
        build_kernel(os.path.join(build, "asan"))
        return subprocess.run([MATRIX, "prepare", "--build", build, "--kernel", kernel]).returncode
    if opt.what == "mistakes":
        return mistakes(build)
    if opt.what == "explain":
        return explain(kernel)
    return subprocess.run([MATRIX, "run", "--build", build, "--kernel", kernel, "--mode", opt.mode, "--filter", opt.filter]).returncode


if __name__ == "__main__":
    sys.exit(main())
