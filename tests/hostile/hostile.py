#!/usr/bin/env python3
"""The hostile entry test: builds the instance with the program under attack, then runs hostile_test over a range of seeds.

  tests/hostile/hostile.py --build build [--first SEED] [--count N] [--prepare] [-- MORE OPTIONS OF hostile_test]

The short form has 500 seeds, with OCCLUM_TEST_LONG 100 000.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def prepare(build, work):
    occlum = os.path.join(build, "cli", "occlum")
    inputs = [occlum, os.path.join(build, "kernel", "occlum-kernel.elf"), os.path.join(HERE, "victim.c"), os.path.abspath(__file__)]
    stamp = os.path.join(work, "stamp")
    if os.path.exists(stamp) and all(os.path.getmtime(p) < os.path.getmtime(stamp) for p in inputs):
        return
    shutil.rmtree(work, ignore_errors=True)
    instance = os.path.join(work, "instance")
    os.makedirs(work)
    quiet = {"check": True, "stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    subprocess.run([occlum, "new", instance], **quiet)
    config = os.path.join(instance, "Occlum.json")
    with open(config) as f:
        settings = json.load(f)
    settings["resource_limits"]["max_num_of_threads"] = 4
    settings["entry_points"] = ["/bin"]
    with open(config, "w") as f:
        json.dump(settings, f)
    binary = os.path.join(instance, "image", "bin", "victim")
    os.makedirs(os.path.dirname(binary), exist_ok=True)
    os.makedirs(os.path.join(instance, "image", "tmp"), exist_ok=True)
    subprocess.run(["/usr/bin/gcc", "-O1", "-Wall", "-Werror", "-pthread", "-static", "-o", binary, os.path.join(HERE, "victim.c")], check=True)
    subprocess.run([binary], check=True, stdout=subprocess.DEVNULL)  # it is right on Linux first
    subprocess.run([occlum, "build"], cwd=instance, **quiet)
    with open(stamp, "w"):
        pass


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", required=True)
    ap.add_argument("--first", type=int, default=1)
    ap.add_argument("--count", type=int, default=100000 if os.environ.get("OCCLUM_TEST_LONG") else 500)
    ap.add_argument("--prepare", action="store_true", help="only build the instance")
    ap.add_argument("rest", nargs="*")
    opt = ap.parse_args()
    build = os.path.abspath(opt.build)
    work = os.path.join(build, "tests", "hostile", "work")
    prepare(build, work)
    if opt.prepare:
        return 0
    instance = os.path.join(work, "instance", "build")
    return subprocess.run([os.path.join(build, "tests", "hostile", "hostile_test"), "--enclave", os.path.join(instance, "enclave.bin"),
                           "--image", os.path.join(instance, "image.bin"), "--first", str(opt.first), "--count", str(opt.count),
                           *opt.rest]).returncode


if __name__ == "__main__":
    sys.exit(main())
