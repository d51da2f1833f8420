#!/usr/bin/env python3
"""Runs clang-tidy over the project's C++ files, in parallel, and remembers what was clean.

  tools/run-tidy.py [--build build] [--jobs N] [--record] [PATH...]     PATH: only files below these folders (default: all)

A file is run again only if it, a project header that it includes, a .clang-tidy above it or its command changed: the hash of all
of these is the name of a file in BUILD/tidy-cache that holds the findings. The unsafe folder's privileges hold for headers too.
tools/tidy-baseline.txt counts findings that are known and not yet mended, as PATH CHECK COUNT; more of them, or any other, is exit
code 1. The list only shrinks: --record rewrites it, and refuses to let it grow unless --grow says so.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("kernel/", "sgx/", "host/", "emulator/", "image/", "cli/", "sdk/")
TIDY = "clang-tidy-22"
EXTRA = ["--allow-enabling-analyzer-alpha-checkers", "--quiet"]
BASELINE = "tools/tidy-baseline.txt"
UNSAFE_CHECKS = {"cppcoreguidelines-avoid-non-const-global-variables", "cppcoreguidelines-owning-memory",
                 "cppcoreguidelines-pro-type-const-cast", "cppcoreguidelines-pro-type-reinterpret-cast",
                 "cppcoreguidelines-pro-type-union-access", "portability-restrict-system-includes",
                 "clang-analyzer-alpha.webkit.UncountedLocalVarsChecker", "clang-analyzer-alpha.webkit.UncountedCallArgsChecker"}
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def project_headers(path, seen):
    """The transitive closure of the file's quoted includes, as paths from the root of the repository."""
    for name in INCLUDE.findall(read(os.path.join(TOP, path))):
        name = name.decode()
        if name not in seen and os.path.exists(os.path.join(TOP, name)):
            seen.add(name)
            project_headers(name, seen)
    return seen


def arguments(entry):
    """The compiler's arguments without launcher, compiler, output and input."""
    words = entry.get("arguments") or shlex.split(entry["command"])
    while words and "clang" not in os.path.basename(words[0]):
        words = words[1:]
    out, skip = [], False
    for w in words[1:]:
        if skip:
            skip = False
        elif w in ("-o", "-MF", "-MT", "-MQ"):
            skip = True
        elif w not in ("-c", "-MD", "-MMD", "-Werror") and os.path.abspath(os.path.join(entry["directory"], w)) != os.path.abspath(entry["file"]):
            out.append(w)
    return out


def key_of(path, args):
    digest = hashlib.sha256(repr((TIDY, EXTRA, args)).encode())
    folder = os.path.dirname(path)
    while True:
        config = os.path.join(TOP, folder, ".clang-tidy")
        if os.path.exists(config):
            digest.update(read(config))
        if not folder:
            break
        folder = os.path.dirname(folder)
    for name in [path] + sorted(project_headers(path, set())):
        digest.update(name.encode() + b"\0" + read(os.path.join(TOP, name)))
    return digest.hexdigest()


def tidy(path, entry, cache):
    """The findings of one file: a list of [path, line, check, text]."""
    args = arguments(entry)
    stored = os.path.join(cache, key_of(path, args))
    if os.path.exists(stored):
        with open(stored) as f:
            return json.load(f)
    p = subprocess.run([TIDY, *EXTRA, os.path.join(TOP, path), "--", *args], cwd=entry["directory"], capture_output=True, text=True)
    out = p.stdout.replace(TOP + "/", "")
    findings = []
    for block in re.split(r"(?m)^(?=\S+:\d+:\d+: (?:error|warning): )", out)[1:]:
        m = re.match(r"(\S+?):(\d+):\d+: .*\[([\w.,+-]+)\]$", block.split("\n")[0])
        if m:
            findings.append([m.group(1), int(m.group(2)), m.group(3).split(",")[0], block.rstrip()])
    if p.returncode and not findings:
        return [[path, 1, "clang-tidy", "%s: clang-tidy failed:\n%s%s" % (path, p.stdout[-2000:], p.stderr[-2000:])]]
    with open(stored, "w") as f:
        json.dump(findings, f)
    return findings


def privileged(finding):
    path, check = finding[0], finding[2]
    return check in UNSAFE_CHECKS and (path.startswith("kernel/frame/") or path in UNSAFE_FILES)


def read_list(path):
    full = os.path.join(TOP, path)
    if not os.path.exists(full):
        return []
    with open(full) as f:
        return [line.split("#")[0].split() for line in f if line.split("#")[0].strip()]


def write_baseline(counts, partial, old):
    kept = {k: n for k, n in old.items() if partial and not any(k[0].startswith(p) for p in partial)}
    with open(os.path.join(TOP, BASELINE), "w") as f:
        f.write("# Findings of clang-tidy that are known and not yet mended: PATH CHECK COUNT. The list only shrinks (tools/run-tidy.py).\n")
        for (path, check), n in sorted({**kept, **counts}.items()):
            f.write("%s %s %d\n" % (path, check, n))


UNSAFE_FILES = {words[0] for words in read_list("tools/unsafe-files.txt")}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--record", action="store_true")
    ap.add_argument("--grow", action="store_true")
    ap.add_argument("paths", nargs="*")
    opt = ap.parse_args()
    with open(os.path.join(opt.build, "compile_commands.json")) as f:
        entries = json.load(f)
    cache = os.path.join(os.path.abspath(opt.build), "tidy-cache")
    os.makedirs(cache, exist_ok=True)
    work = {}
    for entry in entries:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), TOP)
        if path.startswith(FOLDERS) and path.endswith(".cc") and (not opt.paths or any(path.startswith(p) for p in opt.paths)):
            # A source that is built twice (kernel and unit test) is checked as the kernel builds it.
            if path not in work or "OCCLUM_KERNEL" in str(entry):
                work[path] = entry
    found = {}
    with concurrent.futures.ThreadPoolExecutor(opt.jobs) as pool:
        for findings in pool.map(lambda item: tidy(*item, cache), sorted(work.items())):
            for f in findings:
                if not privileged(f):
                    found[(f[0], f[1], f[2], f[3].split("\n")[0])] = f
    counts = collections.Counter((f[0], f[2]) for f in found.values())
    old = {(w[0], w[1]): int(w[2]) for w in read_list(BASELINE)}
    worse = {k: n for k, n in counts.items() if n > old.get(k, 0)}
    if opt.record and (opt.grow or not worse):
        write_baseline(counts, opt.paths, old)
        worse = {}
    for f in sorted(found.values()):
        if (f[0], f[2]) in worse:
            print(f[3])
    known = sum(counts.values()) - sum(worse.values())
    better = sum(n - counts.get(k, 0) for k, n in old.items() if counts.get(k, 0) < n) if not opt.paths and not opt.record else 0
    print("clang-tidy: %d files, %d findings, %d known%s" % (len(work), sum(worse.values()), known,
                                                          ", %d mended (tools/run-tidy.py --record)" % better if better else ""))
    return 1 if worse or not work else 0


if __name__ == "__main__":
    sys.exit(main())
