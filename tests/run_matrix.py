#!/usr/bin/env python3
"""Runs programs natively and inside the enclave and compares what they print and how they end.

  tests/run_matrix.py prepare --build build        compile, stage, `occlum new`, `occlum build`
  tests/run_matrix.py list [--filter REGEX]        the names of the cases
  tests/run_matrix.py native [--filter REGEX]      the native runs alone: what a program does must be the same twice
  tests/run_matrix.py run [--filter REGEX] [--mode fast|strict] [--repeat N] [--jobs N]

A case passes if standard output and exit status are equal. A case named in tests/matrix-known-gaps.txt must fail, with the reason
written there; when it passes, the line has to go. Exit code 0 if every case is as it should be.
"""
import argparse
import concurrent.futures
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import matrix_cases
import matrix_debuggers
import matrix_processes

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/", "OCCLUM": "yes"}
STABLE_TIME = 1000000000  # of every file of the test data


class Matrix:
    def __init__(self, build, mode, sgx1=False, kernel=None):
        self.work = os.path.join(os.path.abspath(build), "tests", "matrix")
        self.occlum = os.path.join(os.path.abspath(build), "cli", "occlum")
        self.mode = mode
        self.sgx1 = sgx1  # an instance without EDMM: all memory is there from the start, RWX
        self.kernel = os.path.abspath(kernel or os.path.join(build, "kernel", "occlum-kernel.elf"))
        self.instance = os.path.join(self.work, "instance" + ("-sgx1" if sgx1 else "") + ("-other-kernel" if kernel else ""))
        # The sanitizer's shadow, redzones and larger stacks need room.
        self.limits = {"kernel_space_heap_size": "256MB", "kernel_space_heap_max_size": "256MB" if sgx1 else "4GB"} if kernel else {}
        self.bin = os.path.join(self.work, "bin")
        self.data = os.path.join(self.work, "data")

    # ---- preparation ----

    def compile(self):
        os.makedirs(self.bin, exist_ok=True)
        folder = os.path.join(HERE, "conformance")
        env = dict(os.environ, CGO_ENABLED="0", GO111MODULE="off", GOCACHE=os.path.join(self.work, "gocache"), GOFLAGS="")

        def one(item):
            name, (source, compiler, flags) = item
            src, out = os.path.join(folder, source), os.path.join(self.bin, name)
            inputs = [src, os.path.join(folder, "conf.h"), os.path.join(HERE, "matrix_cases.py")]
            if os.path.exists(out) and os.path.getmtime(out) > max(map(os.path.getmtime, inputs)):
                return
            cmd = {"gcc": ["/usr/bin/gcc", "-O1", "-Wall", "-Wno-nonnull", "-Wno-stringop-overflow", "-Wno-stringop-overread",
                           "-Wno-infinite-recursion", "-Wno-array-bounds", "-pthread", *flags, "-o", out, src, "-lm", "-lrt"],
                   "g++": ["/usr/bin/g++", "-O1", "-Wall", "-pthread", *flags, "-o", out, src],
                   "musl-gcc": ["/usr/bin/musl-gcc", "-O1", "-w", "-pthread", *flags, "-o", out, src],
                   "go": ["/usr/bin/go", "build", "-o", out, src],
                   "rustc": ["/usr/bin/rustc", *flags, "-o", out, src]}[compiler]
            subprocess.run(cmd, check=True, env=env, cwd=self.work)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(one, {**matrix_cases.PROGRAMS, **matrix_cases.TOOLS}.items()))
        self.fetch_static_busybox()

    def fetch_static_busybox(self):
        """Debian's busybox-static cannot be installed beside busybox: its one program is taken out of the package."""
        out = os.path.join(self.bin, "busybox-static")
        if os.path.exists(out):
            return
        with tempfile.TemporaryDirectory(dir=self.work) as d:
            os.chmod(d, 0o777)  # apt downloads as a user of its own
            subprocess.run(["apt-get", "-q", "download", "busybox-static"], check=True, cwd=d, stdin=subprocess.DEVNULL)
            package = [f for f in os.listdir(d) if f.endswith(".deb")][0]
            subprocess.run(["dpkg-deb", "-x", package, "root"], check=True, cwd=d)
            shutil.copy2(os.path.join(d, "root", "bin", "busybox"), out)

    def make_data(self):
        if os.path.exists(os.path.join(self.data, ".complete")):
            return
        shutil.rmtree(self.data, ignore_errors=True)
        os.makedirs(self.data)
        rng = random.Random(1)
        words = "the quick brown fox jumps over a lazy dog while enclaves keep secrets from hosts and every page is measured".split()

        def write(name, content):
            path = os.path.join(self.data, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content)
        text = "".join(" ".join(rng.choice(words) for _ in range(rng.randrange(1, 14))) + "\n" for _ in range(30000)).encode()
        write("text", text)
        write("text2", text.replace(b"lazy", b"busy", 20))
        write("numbers", "".join("%d\n" % rng.randrange(10 ** 6) for _ in range(50000)).encode())
        write("big", rng.randbytes(100 << 20))
        for folder in range(8):
            for i in range(12):
                write("tree/dir%d/f%d.txt" % (folder, i), b" ".join(rng.choice(words).encode() for _ in range(rng.randrange(9000))))
        os.symlink("dir0/f0.txt", os.path.join(self.data, "tree", "link"))
        os.symlink("../none", os.path.join(self.data, "tree", "dir1", "dangling"))
        write("tree/empty", b"")
        write("tree/dir2/" + "n" * 200, b"a long name\n")
        self.stable_times()

        def run(*cmd):
            subprocess.run(cmd, check=True, cwd=self.data, stderr=subprocess.PIPE)
        run("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf", "archive.tar", "tree")
        run("gzip", "-nk", "text")
        run("xz", "-k", "text")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "36500", "-subj",
            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-batch")
        for folder, subfolders, files in os.walk(self.data):
            os.chmod(folder, 0o755)
            for f in files:
                if not os.path.islink(os.path.join(folder, f)):
                    os.chmod(os.path.join(folder, f), 0o644)
        write(".complete", b"")
        self.stable_times()

    def stable_times(self):
        for folder, _, files in os.walk(self.data, topdown=False):
            for f in files + ["."]:
                os.utime(os.path.join(folder, f), (STABLE_TIME, STABLE_TIME), follow_symlinks=False)

    def make_instance(self):
        """Builds the instance unless it is newer than everything that goes into it."""
        stamp = self.instance + ".stamp"
        inputs = [self.occlum, self.kernel, os.path.join(HERE, "matrix_cases.py"), os.path.join(HERE, "matrix_processes.py"), os.path.join(HERE, "matrix_network.py"), os.path.join(HERE, "matrix_debuggers.py"), os.path.abspath(__file__),
                  os.path.join(TOP, "tools", "stage.py"), *(os.path.join(self.bin, n) for n in os.listdir(self.bin))]
        if os.path.exists(stamp) and all(os.path.getmtime(p) < os.path.getmtime(stamp) for p in inputs if os.path.exists(p)):
            return
        if os.path.exists(stamp):
            os.unlink(stamp)
        shutil.rmtree(self.instance, ignore_errors=True)
        self.tool("new", self.instance, cwd=self.work)
        config = os.path.join(self.instance, "Occlum.json")
        with open(config) as f:
            settings = json.load(f)
        settings["entry_points"] = ["/bin", "/usr/bin", "/test/bin"]
        settings["env"] = {"default": ["%s=%s" % kv for kv in ENVIRONMENT.items()], "untrusted": []}
        settings["resource_limits"]["user_space_size"] = "1GB"
        settings["resource_limits"]["user_space_max_size"] = "4GB"
        settings["resource_limits"].update(self.limits)
        if self.sgx1:
            settings["resource_limits"]["user_space_size"] = settings["resource_limits"]["user_space_max_size"] = "512MB"
            settings["feature"]["enable_edmm"] = False
        with open(config, "w") as f:
            json.dump(settings, f, indent=2)
        image = os.path.join(self.instance, "image")
        cases = matrix_cases.all_cases()
        debian = sorted({c.argv[0] for c in cases if not c.built and "python" not in c.argv[0]})
        ours = ["--as=%s=/test/bin/%s" % (os.path.join(self.bin, n), n) for n in sorted(os.listdir(self.bin))]
        subprocess.run([os.path.join(TOP, "tools", "stage.py"), image, "--python", matrix_cases.PYTHON, "--perl", *ours, *debian], check=True)
        trees = [t for t in ["/usr/lib/x86_64-linux-gnu/perl", *matrix_processes.TREES, *matrix_debuggers.TREES] if os.path.isdir(t)]
        subprocess.run([os.path.join(TOP, "tools", "stage.py"), image, *(a for t in trees for a in ("--tree", t)), *matrix_processes.staged_files(), *matrix_debuggers.staged_files()], check=True)
        os.makedirs(os.path.join(image, "tmp"), exist_ok=True)
        with open(os.path.join(image, ".inside-an-instance"), "w"):
            pass  # programs that must not run natively look for it
        leave_out = shutil.ignore_patterns("big") if self.sgx1 else None
        shutil.copytree(self.data, os.path.join(image, "data"), symlinks=True, ignore=leave_out)
        self.tool("build", cwd=self.instance)
        with open(stamp, "w"):
            pass

    def tool(self, *args, cwd):
        subprocess.run([self.occlum, *args], check=True, cwd=cwd, stdin=subprocess.DEVNULL, env=dict(os.environ, OCCLUM_KERNEL=self.kernel))

    # ---- running ----

    def native(self, c):
        with tempfile.TemporaryDirectory(dir=self.work if is_open(self.work) else "/var/tmp", prefix="tmp.") as tmp:
            argv = [a.replace("{data}", self.data).replace("{tmp}", tmp) for a in c.argv]
            if c.built:
                argv[0] = os.path.join(self.bin, os.path.basename(c.argv[0]))
            out, status, _ = execute(argv, c, cwd="/", env=ENVIRONMENT)
            return self.normal(out, c, [(self.data, "/data"), (tmp, "/tmp")]), status

    def inside(self, c):
        # An enclave must not outlive the runner, however that ends; setpriv, since code between fork and exec is not safe beside threads.
        argv = ["setpriv", "--pdeathsig", "KILL", self.occlum, "run"] + [a.replace("{data}", "/data").replace("{tmp}", "/tmp") for a in c.argv]
        env = dict(os.environ, OCCLUM_EMULATOR=self.mode)
        out, status, err = execute(argv, c, cwd=self.instance, env=env)
        return self.normal(out, c, []), status, err

    @staticmethod
    def normal(out, c, paths):
        for native, inside in paths:
            out = out.replace(native.encode(), inside.encode())
        if c.clean:
            text = out.decode(errors="backslashreplace")
            for pattern, replacement in c.clean:
                text = pattern.sub(replacement, text)
            out = text.encode()
        return b"".join(sorted(out.splitlines(True))) if c.unordered else out

    def check(self, c):
        """None if native and inside agree, else a text that shows how they differ."""
        want, want_status = self.native(c) if c.expect is None else (c.expect.encode(), 0)
        got, got_status, err = self.inside(c)
        if want == got and want_status == got_status:
            return None
        lines = ["exit status natively %s, inside %s" % (want_status, got_status)]
        a, b = (x.decode(errors="backslashreplace").splitlines() for x in (want, got))
        diff = list(difflib.unified_diff(a, b, "native", "inside", lineterm="", n=1))
        lines += diff[:40] + (["... %d more lines of difference" % (len(diff) - 40)] if len(diff) > 40 else [])
        if err:
            lines += ["standard error inside (end):"] + err.decode(errors="backslashreplace").splitlines()[-15:]
        return "\n    ".join(line[:300] for line in lines)


def is_open(folder):
    """Other users may go through it and all that is above (a clone in root's home is closed); some cases become another user."""
    while folder != "/":
        if not os.stat(folder).st_mode & 0o001:
            return False
        folder = os.path.dirname(folder)
    return True


def execute(argv, c, cwd, env):
    p = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.PIPE if c.stdin is not None else subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, umask=0o022)
    try:
        out, err = p.communicate(c.stdin, timeout=c.timeout)
    except subprocess.TimeoutExpired:
        p.terminate()
        try:
            out, err = p.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
        return out, "timeout", err
    status = p.returncode if p.returncode >= 0 else 128 - p.returncode  # as a shell shows a death by signal
    return out, status, err


def known_gaps():
    gaps = {}
    path = os.path.join(HERE, "matrix-known-gaps.txt")
    if os.path.exists(path):
        with open(path) as f:
            for line in f:
                name, _, reason = line.split("#")[0].strip().partition(" ")
                if name:
                    gaps[name] = reason.strip()
    return gaps


def run_all(matrix, cases, opt):
    gaps = known_gaps()
    bad = done = skipped = 0

    def one(c):
        if c.root and os.geteuid() != 0:
            return c, "skip", 0.0
        start = time.monotonic()
        return c, matrix.check(c), time.monotonic() - start
    with concurrent.futures.ThreadPoolExecutor(opt.jobs) as pool:
        for c, difference, seconds in pool.map(one, [c for _ in range(opt.repeat) for c in cases]):
            if difference == "skip":
                skipped += 1
                print("skip  %s (its native run must be root's)" % c.name)
                continue
            done += 1
            if c.name in gaps:
                verdict = "gap  " if difference else "FIXED"
                bad += difference is None
                text = "    known: %s" % gaps[c.name] if difference else "    passes: remove it from tests/matrix-known-gaps.txt"
            else:
                verdict = "FAIL " if difference else "ok   "
                bad += difference is not None
                text = "    " + difference if difference else ""
            if opt.repeat > 1 and verdict == "ok   ":
                continue  # of many repeats, what fails is to be seen at once
            print("%s %s (%.1f s)" % (verdict, c.name, seconds), flush=True)
            if text:
                print(text, flush=True)
    print("matrix (%s): %d as expected, %d not, %d skipped" % (opt.mode, done - bad, bad, skipped))
    return 1 if bad or not done else 0


def run_native(matrix, cases):
    """The cases must be deterministic: two native runs agree, and conformance programs hold their own checks."""
    bad = 0
    for c in cases:
        if c.expect is not None or (c.root and os.geteuid() != 0):
            continue
        first, second = matrix.native(c), matrix.native(c)
        if first != second or (c.name.startswith("conf.") and first[1] != 0):
            bad += 1
            print("FAIL  %s: status %s and %s, output %s" % (c.name, first[1], second[1], "equal" if first[0] == second[0] else "differs"))
            sys.stdout.write("\n".join(line for line in first[0].decode(errors="replace").splitlines() if "not true" in line) + "\n")
    print("native: %d cases, %d bad" % (len(cases), bad))
    return 1 if bad else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["prepare", "list", "native", "run"])
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--filter", default="", metavar="REGEX")
    ap.add_argument("--mode", choices=["fast", "strict"], default="fast")
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=1)
    ap.add_argument("--sgx1", action="store_true", help="an instance without EDMM, and the smaller list of cases for it")
    ap.add_argument("--kernel", metavar="FILE", help="an instance with this kernel, such as the one of `make asan`")
    ap.add_argument("--without-instance", action="store_true", help="prepare: programs and data alone")
    opt = ap.parse_args()
    cases = [c for c in matrix_cases.all_cases() if re.search(opt.filter, c.name)]
    if opt.what == "list":
        print("\n".join(c.name for c in cases))
        return 0
    if opt.sgx1:
        cases = [c for c in cases if c.name in matrix_cases.SGX1]
    matrix = Matrix(opt.build, opt.mode, opt.sgx1, opt.kernel)
    os.makedirs(matrix.work, exist_ok=True)
    if opt.what == "prepare":
        matrix.compile()
        matrix.make_data()
        if not opt.without_instance:
            matrix.make_instance()
        return 0
    if not cases:
        print("no case matches %r" % opt.filter)
        return 1
    return run_native(matrix, cases) if opt.what == "native" else run_all(matrix, cases, opt)


if __name__ == "__main__":
    sys.exit(main())
