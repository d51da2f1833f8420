#!/usr/bin/env python3
"""Changed bytes are refused: seeded one-byte changes in the image, its hash tree, the configuration, the kernel and the signature.

  tests/e2e/tamper.py --build build [--changes 64]     (OCCLUM_TEST_LONG: 512 changes each)

The program inside reads everything there is. For each change either the run is refused, with an exit code that is not 0 and a message
that names the artefact, or the byte was met by no read (padding) and everything is as without the change. What is never allowed is
another output, or a crash without a message. Changes of measured bytes and of the signature must all be refused.
"""
import argparse
import concurrent.futures
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ROOTS = ["/bin", "/lib", "/lib64", "/etc", "/data", "/usr"]
NAMES = {"image": ["image"], "hash tree": ["image", "hash"], "configuration": ["enclave"], "kernel": ["enclave"], "signature": ["enclave", "signature"]}


def enclave_parts(path):
    """Byte ranges of an enclave file by artefact (docs/enclave-file.md)."""
    with open(path, "rb") as f:
        data = f.read()
    magic, _, _, _, _, _, count, plan, signature, layout, = struct.unpack_from("<8sIIQQIIQQQ", data, 0)
    assert magic == b"OCCLENC1", "not an enclave file"
    kernel, config, after_layout = [], [], False
    for i in range(count):
        address, size, _, flags, _, offset = struct.unpack_from("<QQQIIQ", data, plan + i * 40)
        if not flags & 2:
            continue
        if address == layout:
            after_layout = True
        elif not after_layout:
            kernel.append((offset, offset + size))
        elif not config:
            config.append((offset, offset + size))
    return {"kernel": kernel, "configuration": config, "signature": [(signature, signature + 1808)]}


def pick(rng, ranges):
    total = sum(b - a for a, b in ranges)
    at = rng.randrange(total)
    for a, b in ranges:
        if at < b - a:
            return a + at
        at -= b - a
    raise AssertionError


class Tamper:
    def __init__(self, build):
        self.occlum = os.path.join(os.path.abspath(build), "cli", "occlum")
        self.work = tempfile.mkdtemp(prefix="tamper.", dir=os.path.join(os.path.abspath(build), "tests"))
        self.instance = os.path.join(self.work, "instance")

    def prepare(self):
        walk = os.path.join(self.work, "walk")
        subprocess.run(["gcc", "-O1", "-Wall", "-o", walk, os.path.join(HERE, "walk.c")], check=True)
        subprocess.run([self.occlum, "new", self.instance], check=True, stderr=subprocess.PIPE)
        image = os.path.join(self.instance, "image")
        subprocess.run([os.path.join(TOP, "tools", "stage.py"), image, "--as=%s=/bin/walk" % walk, "/bin/cat"], check=True)
        rng = random.Random(3)
        for i in range(200):
            name = os.path.join(image, "data", "d%d" % (i % 10), "f%d" % i)
            os.makedirs(os.path.dirname(name), exist_ok=True)
            with open(name, "wb") as f:
                f.write(rng.randbytes(rng.randrange(30000)))
        subprocess.run([self.occlum, "build"], check=True, cwd=self.instance, stderr=subprocess.PIPE)
        self.clean = self.run(self.instance)
        if self.clean[0] != 0 or b"files" not in self.clean[1]:
            sys.exit("the untouched instance does not run: exit %d\n%s" % (self.clean[0], self.clean[2].decode(errors="replace")))

    def run(self, instance):
        try:
            p = subprocess.run([self.occlum, "run", "/bin/walk", *ROOTS], cwd=instance, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        except subprocess.TimeoutExpired:
            return "timeout", b"", b""
        return p.returncode, p.stdout, p.stderr

    def parts(self):
        build = os.path.join(self.instance, "build")
        with open(os.path.join(build, "image.json")) as f:
            erofs = json.load(f)["image.bin"]["erofs_size"]
        size = os.path.getsize(os.path.join(build, "image.bin"))
        parts = {k: ("enclave.bin", v) for k, v in enclave_parts(os.path.join(build, "enclave.bin")).items()}
        parts["image"] = ("image.bin", [(0, erofs)])
        parts["hash tree"] = ("image.bin", [(size - max(4096, erofs // 128 // 4096 * 4096), size)])
        return parts

    def one(self, artefact, file, at, bit):
        """None if the change was refused as it should be, "unmet", or what went wrong."""
        with tempfile.TemporaryDirectory(dir=self.work) as copy:
            instance = os.path.join(copy, "i")
            shutil.copytree(self.instance, instance, symlinks=True, ignore=shutil.ignore_patterns("image"))
            path = os.path.join(instance, "build", file)
            os.chmod(path, 0o600)
            with open(path, "r+b") as f:
                f.seek(at)
                old = f.read(1)[0]
                f.seek(at)
                f.write(bytes([old ^ (1 << bit)]))
            status, out, err = self.run(instance)
        text = err.decode(errors="replace").lower()
        if status == 0:
            if out != self.clean[1]:
                return "exit 0 with another output: %r" % out
            return "unmet" if file == "image.bin" else "accepted: the byte is measured or signed"
        if status == "timeout" or "panic" in text or (isinstance(status, int) and status < 0):
            return "ended by %s: %s" % (status, text[-300:])
        if not any(name in text for name in NAMES[artefact]):
            return "the message does not name the artefact (%s): %s" % (artefact, text[-300:])
        return None


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--changes", type=int, default=512 if os.environ.get("OCCLUM_TEST_LONG") else 64)
    ap.add_argument("--seed", type=int, default=1)
    opt = ap.parse_args()
    os.makedirs(os.path.join(opt.build, "tests"), exist_ok=True)
    tamper = Tamper(opt.build)
    bad = 0
    try:
        tamper.prepare()
        for artefact, (file, ranges) in sorted(tamper.parts().items()):
            rng = random.Random("%d %s" % (opt.seed, artefact))
            changes = [(artefact, file, pick(rng, ranges), rng.randrange(8)) for _ in range(opt.changes)]
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                results = list(pool.map(lambda c: tamper.one(*c), changes))
            unmet = results.count("unmet")
            wrong = [(c, r) for c, r in zip(changes, results) if r not in (None, "unmet")]
            print("%-13s %d changes: %d refused, %d in bytes that no read meets, %d wrong" %
                  (artefact, len(changes), results.count(None), unmet, len(wrong)), flush=True)
            for c, r in wrong[:5]:
                print("  %s at %d, bit %d: %s" % (c[1], c[2], c[3], r))
            bad += len(wrong) + (unmet > len(changes) // 2)
    finally:
        shutil.rmtree(tamper.work, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
