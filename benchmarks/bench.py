#!/usr/bin/env python3
"""The benchmark kit natively and inside the enclave, side by side in one run, with the figures that are to be reached.

  benchmarks/bench.py [--build build] [-n ROUNDS] [--mode fast|strict] [--best] [--json FILE] [NAME...]

Ratio = inside / native, for latencies (under 1 is faster) and throughputs (over 1 is faster) alike. Rows that switch between threads
or processes run with both sides pinned to one core: a wake-up across cores costs about 30 us on a virtual machine, which would measure
the machine. Rounds alternate; each figure is the median over the rounds of the median of the kit's batches. With --best it is the best
of many batches of 2 ms over all rounds, for both sides alike: other work on the machine only ever makes a batch slower. `boot` is the wall time of
`occlum run /bin/true` less that of /bin/true, in ms: the default Occlum.json, an image of 100 MB, warm, the median of 20.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import compare

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)

# name -> (relation, ratio to reach). design: docs/performance.md says where each comes from.
TARGETS = {
    "getpid": ("<=", 0.2), "getppid": ("<=", 0.2), "gettid": ("<=", 0.2), "umask": ("<=", 0.2),
    "read_zero": ("<=", 0.5), "stat": ("<=", 0.5), "open_close": ("<=", 0.5), "epoll_ready": ("<=", 0.5),
    "clock_gettime": ("<=", 1.2), "signal_self": ("<=", 0.5),
    "futex_pingpong": ("<=", 0.2), "pipe_pingpong": ("<=", 0.2), "unix_pingpong": ("<=", 0.2), "tcp_pingpong": ("<=", 0.2),
    "pipe_bw_64": (">=", 2.0), "pipe_bw_4k": (">=", 1.0), "pipe_bw_64k": (">=", 1.0), "unix_bw_64k": (">=", 1.0), "tcp_bw_64k": (">=", 2.0),
    "thread_create_join": ("<=", 0.4), "spawn": ("<=", 0.3), "spawn_pad14": ("<=", 0.3), "fork": ("<=", 3.0), "fork_2m": ("<=", 1.5),
    "mmap_touch_1m": ("<=", 0.5), "create_unlink": ("<=", 0.5), "file_read_4k": (">=", 1.0), "file_read_1m": (">=", 0.8),
    "pread_rand_4k": ("<=", 0.5), "file_write_1m": (">=", 0.6), "file_wsync_1m": (">=", 0.7), "cpu_1m_steps": ("<=", 1.01),
    "boot": ("<= ms", 15.0),
}
# Rows that compare two figures of the inside: (one, other, what the one may be of the other).
PAIRS = [("getppid", "getpid", 1.2), ("gettid", "getpid", 1.2), ("umask", "getpid", 1.2), ("spawn_pad14", "spawn", 1.2), ("spawn", "spawn_pad14", 1.2)]
PINNED = {"futex_pingpong", "thread_create_join", "pipe_pingpong", "pipe_bw_64", "pipe_bw_4k", "pipe_bw_64k", "unix_pingpong", "unix_bw_64k",
          "tcp_pingpong", "tcp_bw_64k", "spawn", "spawn_pad14", "vfork_exec", "fork", "fork_2m", "signal_self"}


class Bench:
    def __init__(self, build, mode, best=False):
        self.best = best
        self.occlum = os.path.join(os.path.abspath(build), "cli", "occlum")
        self.work = os.path.join(os.path.abspath(build), "benchmarks")
        self.instance = os.path.join(self.work, "instance")
        self.micro = os.path.join(self.work, "micro")
        self.mode = mode
        self.files = None

    def prepare(self):
        os.makedirs(self.work, exist_ok=True)
        subprocess.run(["make", "-s", "-C", HERE, "OUT=" + self.work], check=True)
        stamp = os.path.join(self.work, "instance.stamp")
        newest = max(os.path.getmtime(p) for p in (self.occlum, self.micro, os.path.join(os.path.dirname(self.occlum), "..", "kernel", "occlum-kernel.elf")))
        if os.path.exists(stamp) and os.path.getmtime(stamp) > newest:
            return
        shutil.rmtree(self.instance, ignore_errors=True)
        subprocess.run([self.occlum, "new", self.instance], check=True, cwd=self.work)
        image = os.path.join(self.instance, "image")
        stage = [os.path.join(TOP, "tools", "stage.py"), image, "/bin/true", "/bin/busybox"]
        subprocess.run(stage + ["--as=%s/%s=/bin/%s" % (self.work, n, n) for n in ("micro", "micro-pad14")], check=True)
        os.makedirs(os.path.join(image, "tmp"), exist_ok=True)
        with open(os.path.join(image, "filler"), "wb") as f:  # an image of 100 MB
            f.write(os.urandom(1 << 20) * 80)
        subprocess.run([self.occlum, "build"], check=True, cwd=self.instance)
        with open(stamp, "w"):
            pass

    def prefixes(self, pinned):
        pin = "taskset -c 1 " if pinned and os.cpu_count() > 1 else ""
        inside = "%ssh -c 'cd %s && OCCLUM_EMULATOR=%s exec %s run \"$@\"' sh /bin/micro {args}" % (pin, self.instance, self.mode, self.occlum)
        return {"native": pin + "nice -n 0", "inside": inside}

    def rounds(self, names, pinned, count, timeout):
        """{label: [one round's {name: (value, unit) or failure}]} for the kit's rows."""
        results = {"native": [], "inside": []}
        if not names:
            return results
        with tempfile.TemporaryDirectory(dir=self.work) as files:
            opt = argparse.Namespace(kit=self.micro, kit_args="-v -t 2 -b 25" if self.best else "", best=self.best, dirs={"native": files, "inside": "/tmp"}, dir="/tmp", timeout=timeout)
            prefixes = self.prefixes(pinned)
            labels = list(prefixes)
            for r in range(count):
                for label in labels if r % 2 == 0 else labels[::-1]:
                    got = compare.one_round(label, prefixes[label], opt, names)
                    got.pop("launch", None)
                    results[label].append(got)
                    print("round %d/%d %s%s" % (r + 1, count, label, ", one core" if pinned else ""), file=sys.stderr)
        return results

    def boot(self, times):
        def once(cmd, cwd):
            start = time.monotonic()
            p = subprocess.run(cmd, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, env=dict(os.environ, OCCLUM_EMULATOR=self.mode))
            return (time.monotonic() - start) * 1e9, p.returncode
        native, inside = [], []
        for i in range(times + 1):
            t, _ = once(["/bin/true"], "/")
            t2, status = once([self.occlum, "run", "/bin/true"], self.instance)
            if status:
                return {"native": ["exit %d" % status], "inside": ["exit %d" % status]}
            if i:  # the first is the warm-up
                native.append(t)
                inside.append(t2)
        return {"native": native, "inside": inside}


def settle(values, best):
    """One figure and its unit out of those of the rounds."""
    good = [v for v in values if not isinstance(v, str)]
    if not good:
        return None, (values or ["no result"])[0]
    unit = good[0][1]
    pick = statistics.median if not best else min if unit == "ns" else max
    return pick(v[0] for v in good), unit


def pair_rows(figures, slack=1.0, best=False):
    """[(cells, met)] for PAIRS whose figures are there."""
    rows = []
    for one, other, most in PAIRS:
        if one not in figures or other not in figures:
            continue
        (a, _), (b, _) = settle(figures[other][1], best), settle(figures[one][1], best)
        value = None if not a or b is None else b / a
        met = value is not None and value <= most * slack
        rows.append((["%s / %s" % (one, other), "", "", "-" if value is None else "%.2f" % value, "<= %g" % most, "ok" if met else "missed"], met))
    return rows


def row(name, native, inside, slack=1.0, best=False):
    """(cells of the table, True if the target is met or there is none)"""
    (a, unit), (b, other) = settle(native, best), settle(inside, best)
    relation, goal = TARGETS.get(name, (None, None))
    shown = [name, compare.show(a, unit) if a is not None else unit, compare.show(b, other) if b is not None else other]
    if relation == "<= ms":
        value = None if a is None or b is None else (b - a) / 1e6
        met = value is not None and value <= goal * slack
        return shown + ["-" if value is None else "+%.1f ms" % value, "<= +%g ms" % goal, "ok" if met else "missed"], met
    value = None if a is None or b is None or a == 0 else b / a
    if relation is None:
        return shown + ["-" if value is None else "%.2f" % value, "", ""], True
    met = value is not None and (value <= goal * slack if relation == "<=" else value >= goal / slack)
    return shown + ["-" if value is None else "%.2f" % value, "%s %g" % (relation, goal), "ok" if met else "missed"], met


def measure(bench, names, count, timeout=120, boots=20):
    """{name: (native values, inside values)}, values as compare.one_round gives them."""
    out = {}
    for pinned in (False, True):
        part = [n for n in names if n != "boot" and (n in PINNED) == pinned]
        results = bench.rounds(part, pinned, count, timeout)
        for n in part:
            out[n] = tuple([r[n] for r in results[label] if n in r] for label in ("native", "inside"))
    if "boot" in names:
        b = bench.boot(boots)
        out["boot"] = tuple([v if isinstance(v, str) else (v, "ns") for v in b[label]] for label in ("native", "inside"))
    return {n: out[n] for n in names if n in out}


def print_table(rows):
    head = ["name", "native", "inside", "inside/native", "target", ""]
    widths = [max(len(r[i]) for r in rows + [head]) for i in range(len(head))]
    for r in [head] + [["-" * w for w in widths]] + rows:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("-n", "--rounds", type=int, default=3)
    ap.add_argument("--mode", choices=["fast", "strict"], default="fast")
    ap.add_argument("--timeout", type=float, default=120)
    ap.add_argument("--best", action="store_true", help="for a machine that does other work too")
    ap.add_argument("--json", help="write every figure there")
    ap.add_argument("names", nargs="*")
    opt = ap.parse_args()
    bench = Bench(opt.build, opt.mode, opt.best)
    bench.prepare()
    names = opt.names
    if not names:
        names = subprocess.run([bench.micro, "-l"], capture_output=True, text=True, check=True).stdout.split() + ["boot"]
    figures = measure(bench, names, opt.rounds, opt.timeout)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({"mode": opt.mode, "figures": figures}, f, indent=1)
    rows = [row(n, *figures[n], best=opt.best) for n in names if n in figures] + pair_rows(figures, best=opt.best)
    print("emulator %s, %d rounds, %s, load average %.1f" %
          (opt.mode, opt.rounds, "best batches" if opt.best else "medians", os.getloadavg()[0]))
    print_table([r for r, _ in rows])
    missed = [r[0] for r, met in rows if not met]
    print("targets met: %d, missed: %d%s" % (sum(1 for r, met in rows if met and r[4]), len(missed), " (%s)" % ", ".join(missed) if missed else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
