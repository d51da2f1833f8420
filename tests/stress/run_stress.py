#!/usr/bin/env python3
"""Runs stressors of Debian's stress-ng inside the enclave, each alone with --verify, and says how each ended.

  tests/stress/run_stress.py prepare [--build DIR]
  tests/stress/run_stress.py run [NAME...] [--seconds N] [--shard I/N] [--native] [--write]

Without names: all of the classes scheduler, pipe, interrupt, memory and os, less those that tests/stress/left-out.txt names (they need a
kernel module, privileges or hardware that an enclave rules out). tests/stress/known-gaps.txt names stressors that do not run yet. --write
writes docs/stress-ng.md. A stressor is good if it ends with `ok`, or with `skip` where stress-ng itself says that the system does not
offer what it needs. A kernel panic, a hang or a verify failure is an error.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = "/usr/bin/stress-ng"
CLASSES = ["scheduler", "pipe", "interrupt", "memory", "os"]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/root"}
Ending = collections.namedtuple("Ending", "verdict why seconds")


def read_reasons(name):
    reasons = {}
    with open(os.path.join(HERE, name)) as f:
        for line in f:
            stressor, _, reason = line.split("#")[0].strip().partition(" ")
            if stressor:
                reasons[stressor] = reason.strip()
    return reasons


def stressors():
    """name -> the asked classes it belongs to."""
    classes = collections.defaultdict(list)
    for c in CLASSES:
        text = subprocess.run([PROGRAM, "--class", c + "?"], capture_output=True, text=True).stdout
        for name in text.split(":", 1)[1].split():
            classes[name].append(c)
    return dict(sorted(classes.items()))


class Instance:
    def __init__(self, build, mode):
        self.work = os.path.join(os.path.abspath(build), "tests", "stress")
        self.occlum = os.path.join(os.path.abspath(build), "cli", "occlum")
        self.kernel = os.path.join(os.path.abspath(build), "kernel", "occlum-kernel.elf")
        self.folder = os.path.join(self.work, "instance")
        self.mode = mode

    def prepare(self):
        stamp = os.path.join(self.work, "stamp")
        inputs = [self.occlum, self.kernel, os.path.abspath(__file__), os.path.join(TOP, "tools", "stage.py")]
        if os.path.exists(stamp) and all(os.path.getmtime(p) < os.path.getmtime(stamp) for p in inputs):
            return
        if os.path.exists(stamp):
            os.unlink(stamp)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.work, exist_ok=True)
        self.tool("new", self.folder, cwd=self.work)
        path = os.path.join(self.folder, "Occlum.json")
        with open(path) as f:
            settings = json.load(f)
        settings["entry_points"] = ["/bin", "/usr/bin"]
        settings["env"] = {"default": ["%s=%s" % kv for kv in ENVIRONMENT.items()], "untrusted": []}
        settings["resource_limits"].update(user_space_size="1GB", user_space_max_size="4GB", kernel_space_heap_max_size="1GB")
        with open(path, "w") as f:
            json.dump(settings, f, indent=2)
        image = os.path.join(self.folder, "image")
        subprocess.run([os.path.join(TOP, "tools", "stage.py"), image, PROGRAM, "/bin/sh", "/bin/true"], check=True)
        for name in ("tmp", "root", "etc", "var/tmp"):
            os.makedirs(os.path.join(image, name), exist_ok=True)
        for name in ("passwd", "group"):
            shutil.copy("/etc/" + name, os.path.join(image, "etc", name))
        self.tool("build", cwd=self.folder)
        with open(stamp, "w"):
            pass

    def tool(self, *args, cwd):
        subprocess.run([self.occlum, *args], check=True, cwd=cwd, stdin=subprocess.DEVNULL)

    def inside(self, name, seconds):
        argv = ["setpriv", "--pdeathsig", "KILL", self.occlum, "run", PROGRAM, *arguments(name, seconds), "--temp-path", "/tmp"]
        return self.execute(name, argv, self.folder, dict(os.environ, OCCLUM_EMULATOR=self.mode), seconds, "inside")

    def native(self, name, seconds):
        with tempfile.TemporaryDirectory(dir=self.work) as tmp:
            return self.execute(name, [PROGRAM, *arguments(name, seconds), "--temp-path", tmp], "/", ENVIRONMENT, seconds, "native")

    def execute(self, name, argv, cwd, env, seconds, place):
        began = time.monotonic()
        p = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            out, _ = p.communicate(timeout=seconds + 40)
            ending = classify(p.returncode, out)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, _ = p.communicate()
            ending = ("hang", last_line(out))
        logs = os.path.join(self.work, "logs")
        os.makedirs(logs, exist_ok=True)
        with open(os.path.join(logs, "%s.%s.log" % (name, place)), "wb") as f:
            f.write(out)
        return Ending(*ending, time.monotonic() - began)


# Files that take more than the memory file systems of the instance have; a buffer that is gone through many times whatever the timeout says.
SMALLER = {"iomix": ["--iomix-bytes", "64M"], "prefetch": ["--prefetch-l3-size", "1M"],
           "stream": ["--stream-l3-size", "4M"]}


def arguments(name, seconds):
    return ["--" + name, "1", "--timeout", "%ds" % seconds, "--verify", "--oomable"] + SMALLER.get(name, [])


def last_line(out):
    lines = [line for line in out.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def classify(status, out):
    text = out.decode(errors="replace")
    if re.search(r"kernel panic|panic:|KASSERT", text, re.I):
        return "panic", next(line for line in text.splitlines() if re.search(r"panic|KASSERT", line, re.I))[:200]
    if "--pathological option" in text:
        return "skip", "stress-ng itself runs it only with --pathological"
    failed = re.search(r"stress-ng: (?:fail|error): *(.*)", text)
    skipped = re.search(r"stress-ng: info: .*?((?:\w|-)+: .*(?:skipp|not implemented|not supported|unavailable).*)", text)
    early = re.search(r"aborted early, out of system resources", text)
    if status == 0 and early and not skipped:
        return "skip", (failed.group(1) if failed else "out of system resources")[:200]
    if status == 0 and skipped:
        return "skip", skipped.group(1)[:200]
    if status == 0 and "Cannot fork" in text:
        return "fail", failed.group(1)[:200]
    if status == 0:
        return "ok", ""
    if status in (3, 4) and not (failed and "fail:" in failed.group(0)):
        return "skip", (skipped or failed).group(1)[:200] if (skipped or failed) else last_line(out)
    return "fail", "status %d: %s" % (status, failed.group(1)[:200] if failed else last_line(out))


def write_doc(rows, left_out, instance, seconds):
    with open(os.path.join(TOP, "docs", "stress-ng.md"), "w") as f:
        f.write("# stress-ng inside the enclave\n\nWritten by `tests/stress/run_stress.py run --write`; do not edit. Debian's stress-ng, classes %s, each stressor alone for %d s with\n"
                "`--verify` (emulator, mode %s). `ok`: it ran and found nothing wrong. `skip`: stress-ng itself says that the system lacks what it needs.\n\n"
                "| stressor | classes | ends | remark |\n| --- | --- | --- | --- |\n" % (", ".join(CLASSES), seconds, instance.mode))
        for name, classes, ending, reason in rows:
            remark = ": ".join(x for x in (reason, ending.why) if x)
            f.write("| %s | %s | %s | %s |\n" % (name, " ".join(classes), ending.verdict, remark.replace("|", "\\|")))
        f.write("\n## Left out\n\nThey need a kernel module, hardware or privileges that an enclave does not have.\n\n| stressor | why |\n| --- | --- |\n")
        for name, reason in sorted(left_out.items()):
            f.write("| %s | %s |\n" % (name, reason))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["prepare", "run"])
    ap.add_argument("names", nargs="*")
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--mode", choices=["fast", "strict"], default="fast")
    ap.add_argument("--seconds", type=int, default=5 if os.environ.get("OCCLUM_TEST_LONG") else 1)
    ap.add_argument("--jobs", type=int, default=1 if os.environ.get("OCCLUM_TEST_LONG") else 2, help="how many at once, each in an enclave of its own")
    ap.add_argument("--shard", default="0/1", metavar="I/N", help="only every Nth of them, from the Ith on")
    ap.add_argument("--native", action="store_true", help="natively instead of inside")
    ap.add_argument("--write", action="store_true", help="write docs/stress-ng.md")
    opt = ap.parse_intermixed_args()
    instance = Instance(opt.build, opt.mode)
    instance.prepare()
    if opt.what == "prepare":
        return 0
    classes, left_out, gaps = stressors(), read_reasons("left-out.txt"), read_reasons("known-gaps.txt")
    rows, bad = [], 0
    first, step = map(int, opt.shard.split("/"))
    names = (opt.names or [n for n in classes if n not in left_out])[first::step]
    pool = concurrent.futures.ThreadPoolExecutor(opt.jobs)
    endings = pool.map(lambda name: (instance.native if opt.native else instance.inside)(name, opt.seconds), names)
    for name, ending in zip(names, endings):
        good = ending.verdict in ("ok", "skip")
        wrong = good == (name in gaps) and not gaps.get(name, "").startswith("sometimes")
        bad += wrong
        rows.append((name, classes.get(name, []), ending, "" if good else gaps.get(name, "")))
        mark = "" if not wrong else " (passes: remove it from known-gaps.txt)" if good else " UNEXPECTED"
        print("%-5s %s (%.1f s)%s %s" % (ending.verdict, name, ending.seconds, mark, ending.why), flush=True)
    if opt.write:
        write_doc(rows, left_out, instance, opt.seconds)
    print("stress-ng (%s): %d stressors, %d ok, %d skipped by themselves, %d not as expected" % (
        "native" if opt.native else instance.mode, len(rows), sum(r[2].verdict == "ok" for r in rows), sum(r[2].verdict == "skip" for r in rows), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
