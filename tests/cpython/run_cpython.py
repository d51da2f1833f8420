#!/usr/bin/env python3
"""Runs modules of CPython's own tests natively and inside the enclave and compares them test by test.

  tests/cpython/run_cpython.py prepare [--build DIR]               `occlum new`, Python with its tests into the image, `occlum build`
  tests/cpython/run_cpython.py run MODULE... [--match PATTERN]     run and compare; without a module: all of modules.txt
  tests/cpython/run_cpython.py list                                the modules
  tests/cpython/run_cpython.py run --write [MODULE...]             the same, and write docs/cpython.md

With OCCLUM_TEST_LONG=1 modules that take long are run whole, else a sample of them (the pattern in modules.txt). A test that differs is
an error unless tests/cpython/known-differences.txt names it with a reason; once it agrees, its line has to go. A test that hangs (--limit
seconds without a sign) or ends the process counts as `hang` or `crash`; the module goes on behind it.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PYTHON = "/usr/bin/python3"
LIBRARY = "/usr/lib/python3.11"
PROGRAMS = ["/bin/sh", "/bin/bash", "/bin/true", "/bin/false", "/bin/echo", "/bin/cat", "/bin/ls", "/usr/bin/env", "/bin/sleep", "/usr/bin/id",
            "/usr/bin/head", "/usr/bin/yes", "/usr/bin/stty", "/bin/uname", "/usr/bin/getconf", "/usr/bin/nohup", "/bin/tar", "/usr/bin/zip", "/usr/bin/unzip"]
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/root", "TMPDIR": "/tmp"}
Outcome = collections.namedtuple("Outcome", "result seconds reason")


class Instance:
    def __init__(self, build, mode):
        self.work = os.path.join(os.path.abspath(build), "tests", "cpython")
        self.occlum = os.path.join(os.path.abspath(build), "cli", "occlum")
        self.kernel = os.path.join(os.path.abspath(build), "kernel", "occlum-kernel.elf")
        self.folder = os.path.join(self.work, "instance")
        self.mode = mode

    def prepare(self):
        stamp = os.path.join(self.work, "stamp")
        inputs = [self.occlum, self.kernel, os.path.abspath(__file__), os.path.join(HERE, "driver.py"), os.path.join(TOP, "tools", "stage.py")]
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
        settings["resource_limits"].update(user_space_size="1GB", user_space_max_size="4GB")
        with open(path, "w") as f:
            json.dump(settings, f, indent=2)
        image = os.path.join(self.folder, "image")
        subprocess.run([os.path.join(TOP, "tools", "stage.py"), image, "--python", PYTHON, "--tree", LIBRARY,
                        "--as", "%s=/test/driver.py" % os.path.join(HERE, "driver.py"), *PROGRAMS], check=True)
        for folder, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755)):
            os.makedirs(os.path.join(image, folder), exist_ok=True)
            os.chmod(os.path.join(image, folder), mode)
        for name in ("passwd", "group"):
            shutil.copy("/etc/" + name, os.path.join(image, "etc", name))
        self.tool("build", cwd=self.folder)
        with open(stamp, "w"):
            pass

    def tool(self, *args, cwd):
        subprocess.run([self.occlum, *args], check=True, cwd=cwd, stdin=subprocess.DEVNULL)

    def inside(self, args):
        env = dict(os.environ, OCCLUM_EMULATOR=self.mode)
        return ["setpriv", "--pdeathsig", "KILL", self.occlum, "run", PYTHON, "/test/driver.py", *args], self.folder, env

    def native(self, args):
        return [PYTHON, os.path.join(HERE, "driver.py"), *args], "/", ENVIRONMENT


def descriptor_limit():
    """As inside: 1024, which some tests try to reach."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Module:
    """One run of one module at one place: the outcome of each test by name."""

    def __init__(self, name, start, match, limit, log):
        self.name, self.start, self.match, self.limit = name, start, match, limit
        self.log = log
        self.outcomes, self.at, self.whole = {}, 0, None

    def run(self):
        """Again from behind the test that ended the process, until the module is through."""
        while True:
            first, ending = self.at, self.once()
            if ending == "done" or self.whole:
                break
            if self.current is None and self.at == first:
                self.whole = "%s outside of any test" % ending
                break
            if self.current is not None:
                self.outcomes[self.current] = Outcome(ending, self.limit, "")
                self.at = self.number + 1
        return self

    def once(self):
        args = ["test." + self.name, "--from", str(self.at)] + (["--match", self.match] if self.match else [])
        argv, cwd, env = self.start(args)
        self.current, self.number, finished = None, None, False
        p = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True,
                             preexec_fn=descriptor_limit)
        lines = queue.Queue()
        threading.Thread(target=self.pump, args=(p.stdout, lines), daemon=True).start()
        try:
            while True:
                line = lines.get(timeout=self.limit)
                if line is None:
                    break
                self.log.write(line)
                if line.startswith(b"@@ "):
                    finished |= self.take(line.decode(errors="backslashreplace").split(None, 1)[1].rstrip("\n"))
                    if finished:
                        break
        except queue.Empty:
            self.kill(p)
            return "hang"
        try:
            p.wait(10 if finished else self.limit)
        except subprocess.TimeoutExpired:
            if finished:
                self.outcomes["(end of the process)"] = Outcome("hang", 10, "")
        self.kill(p)
        return "done" if finished else "crash"

    @staticmethod
    def pump(stream, lines):
        for line in stream:
            lines.put(line)
        lines.put(None)

    @staticmethod
    def kill(p):
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        p.wait()

    def take(self, line):
        kind, _, rest = line.partition(" ")
        if kind == "start":
            number, self.current = rest.split(" ", 1)
            self.number = int(number)
        elif kind == "end":
            number, seconds, result, reason = (rest.split(" ", 3) + [""])[:4]
            self.outcomes[self.current] = Outcome(result, float(seconds), reason)
            self.current, self.at = None, int(number) + 1
        elif kind == "fixture":
            name, result, reason = re.match(r"(.*?) (pass|skip|fail) ?(.*)", rest).groups()
            self.outcomes[name] = Outcome(result, 0, reason)
        elif kind in ("module-skip", "module-fail"):
            self.whole = "%s: %s" % (kind[7:], rest)
            if kind == "module-skip":
                self.outcomes["(whole module)"] = Outcome("skip", 0, rest)
            else:
                self.outcomes["(whole module)"] = Outcome("fail", 0, rest)
        return kind in ("done", "module-skip")

    def count(self, *results):
        return sum(o.result in results for o in self.outcomes.values())


def read_list(name):
    with open(os.path.join(HERE, name)) as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line:
                yield line


def samples():
    """module -> the pattern of the tests that its short form runs; all of them where there is none."""
    found = {}
    for line in read_list("modules.txt"):
        name, _, pattern = line.partition(" ")
        found[name] = "" if os.environ.get("OCCLUM_TEST_LONG") else pattern.strip()
    return found


def known_differences():
    known = {}
    for line in read_list("known-differences.txt"):
        name, _, reason = line.partition(" ")
        known[name] = reason.strip()
    return known


def reason_for(known, label, a, b):
    """Why the test may differ: by its name, or (a pattern that starts with =) by what it said where it did not pass."""
    said = b.reason if b.result != "pass" else a.reason
    for pattern, reason in known.items():
        if said.startswith(pattern[1:].replace("_", " ")) if pattern.startswith("=") else fnmatch.fnmatchcase(label.replace(" ", "_"), pattern):
            return reason
    return None


def short(name, module):
    return re.sub(r"^(\w+ \()?test\.%s\." % re.escape(module), r"\1", name)


def differences(native, inside, known, module):
    """(test, native, inside, reason, is it known) for each test that did not end the same way."""
    for name in [*native.outcomes, *(n for n in inside.outcomes if n not in native.outcomes)]:
        a, b = (m.outcomes.get(name, Outcome("absent", 0, "")) for m in (native, inside))
        if a.result == b.result:
            continue
        label = module + "." + short(name, module)
        yield label, a, b, reason_for(known, label, a, b)


def run_module(instance, name, opt):
    """Both places at once, the whole module; then the tests that differ once more, alone, since some depend on the machine's load."""
    native, inside = run_places(instance, name, opt, opt.match or samples().get(name, ""), "")
    again = [n for n in native.outcomes if n.startswith("test.") and inside.outcomes.get(n, native.outcomes[n]).result != native.outcomes[n].result]
    again = [n for n in again if "skip" not in (native.outcomes[n].result, inside.outcomes[n].result)]
    if 0 < len(again) <= 20:
        for first, second in zip((native, inside), run_places(instance, name, opt, "|".join(again), ".again")):
            first.outcomes.update({n: o for n, o in second.outcomes.items() if n in again})
    return native, inside


def run_places(instance, name, opt, match, suffix):
    logs = os.path.join(instance.work, "logs")
    os.makedirs(logs, exist_ok=True)
    places = []
    for place, start in (("native", instance.native), ("inside", instance.inside)):
        log = open(os.path.join(logs, "%s.%s%s.log" % (name, place, suffix)), "wb", buffering=0)
        places.append(Module(name, start, match, opt.limit, log))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(Module.run, places))


TABLE_HEAD = """# CPython's own tests, inside the enclave and on Linux

Written by `tests/cpython/run_cpython.py run --write`; do not edit. The modules are those of Debian's libpython3.11-testsuite, run by Debian's
python3.11 as root on one machine, natively and inside (emulator, mode %s), with the resources that `python3 -m test` enables by default (none).
In the short form long modules are samples, those that `tests/cpython/modules.txt` names; in the long form (OCCLUM_TEST_LONG=1) every test of a
module runs. This table is of the %s form. `fail` counts failures, errors, hangs and crashes.

| module | native pass / skip / fail | inside pass / skip / fail | differing tests |
| --- | --- | --- | --- |
"""


def write_table(rows, mode):
    with open(os.path.join(TOP, "docs", "cpython.md"), "w") as f:
        f.write(TABLE_HEAD % (mode, "long" if os.environ.get("OCCLUM_TEST_LONG") else "short"))
        for name, native, inside, diffs in rows:
            cells = ["%d / %d / %d" % (m.count("pass"), m.count("skip"), m.count("fail", "hang", "crash")) for m in (native, inside)]
            f.write("| %s | %s | %s | %d |\n" % (name, *cells, len(diffs)))
        f.write("\n## Tests that differ\n\n")
        if not any(diffs for *_, diffs in rows):
            f.write("None.\n")
        else:
            f.write("| test | native | inside | reason |\n| --- | --- | --- | --- |\n")
        for *_, diffs in rows:
            for label, a, b, reason in diffs:
                f.write("| %s | %s | %s | %s |\n" % (label, a.result, b.result, (reason or "not explained: " + b.reason[:160]).replace("|", "\\|")))


def run(instance, names, opt):
    known, rows, bad = known_differences(), [], 0
    for name in names:
        began = time.monotonic()
        native, inside = run_module(instance, name, opt)
        diffs = list(differences(native, inside, known, name))
        different = {label for label, *_ in diffs}
        for label in (name + "." + short(n, name) for n in native.outcomes):
            if label in known and label not in different:
                bad += 1
                print("  FIXED %s: remove it from tests/cpython/known-differences.txt" % label)
        rows.append((name, native, inside, diffs))
        print("%-32s native %4d pass %3d skip %2d fail   inside %4d pass %3d skip %2d fail  differ %d (%.0f s)" % (
            name, *(m.count(*r) for m in (native, inside) for r in (["pass"], ["skip"], ["fail", "hang", "crash"])), len(diffs),
            time.monotonic() - began), flush=True)
        for m, place in ((native, "native"), (inside, "inside")):
            if m.whole:
                print("    %s: %s" % (place, m.whole))
        for label, a, b, reason in diffs:
            bad += reason is None
            print("  %s %s: native %s, inside %s: %s" % ("known" if reason else "DIFF ", label, a.result, b.result, (reason or b.reason or a.reason)[:300]))
    if opt.write:
        write_table(rows, instance.mode)
    print("cpython (%s): %d modules, %d tests differ without a reason" % (instance.mode, len(rows), bad))
    return 1 if bad else 0


def main():
    # A shell starts background jobs with SIGINT ignored, which programs inherit: the native side would fail the tests that send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["prepare", "list", "run"])
    ap.add_argument("modules", nargs="*")
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--mode", choices=["fast", "strict"], default="fast")
    ap.add_argument("--match", default="", help="only tests whose name contains this pattern")
    ap.add_argument("--limit", type=float, default=90, help="seconds without a sign before a test counts as hanging")
    ap.add_argument("--write", action="store_true", help="write docs/cpython.md")
    opt = ap.parse_intermixed_args()
    if opt.what == "list":
        print("\n".join(samples()))
        return 0
    instance = Instance(opt.build, opt.mode)
    instance.prepare()
    if opt.what == "prepare":
        return 0
    return run(instance, opt.modules or list(samples()), opt)


if __name__ == "__main__":
    sys.exit(main())
