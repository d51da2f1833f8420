#!/usr/bin/env python3
"""Copies programs of this machine, with the libraries and loaders that they name, into an image folder.

  tools/stage.py IMAGE [--python /usr/bin/python3] [--perl] [--tree DIR]... [--as SRC=DST]... PROGRAM...

Every file keeps its absolute path. --tree copies a whole folder and the libraries that its ELF files need; --as puts a file
at another path. The times of files are kept, so that Python's compiled caches stay valid. Exit code 1 and one line per
missing file if something is not there. What `copy_bom` does from a bill of materials, this does for tests from a list.
"""
import argparse
import glob
import os
import shutil
import struct
import sys

LIBRARY_DIRS = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
PT_DYNAMIC, PT_INTERP, PT_LOAD = 2, 3, 1
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29


class Elf:
    """The interpreter, the needed libraries and the search path of an ELF64 file; None fields where there are none."""

    def __init__(self, data):
        self.interp, self.needed, self.path = None, [], []
        phoff, = struct.unpack_from("<Q", data, 32)
        phentsize, phnum = struct.unpack_from("<HH", data, 54)
        loads, dynamic = [], None
        for i in range(phnum):
            kind, _, off, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, phoff + i * phentsize)
            if kind == PT_LOAD:
                loads.append((vaddr, off, filesz))
            elif kind == PT_INTERP:
                self.interp = data[off:off + filesz].split(b"\0")[0].decode()
            elif kind == PT_DYNAMIC:
                dynamic = (off, filesz)
        if dynamic:
            self._read_dynamic(data, dynamic, loads)

    def _read_dynamic(self, data, dynamic, loads):
        entries = []
        for off in range(dynamic[0], dynamic[0] + dynamic[1], 16):
            tag, value = struct.unpack_from("<QQ", data, off)
            if tag == 0:
                break
            entries.append((tag, value))
        table = next((v for t, v in entries if t == DT_STRTAB), None)
        if table is None:
            return
        base = next((table - vaddr + off for vaddr, off, size in loads if vaddr <= table < vaddr + size), table)

        def text(at):
            return data[base + at:data.index(b"\0", base + at)].decode()
        self.needed = [text(v) for t, v in entries if t == DT_NEEDED]
        for tag, value in entries:
            if tag in (DT_RPATH, DT_RUNPATH):
                self.path += text(value).split(":")


class Stage:
    def __init__(self, image):
        self.image = image
        self.done = set()
        self.missing = []

    def inside(self, path):
        return os.path.join(self.image, path.lstrip("/"))

    def file(self, src, dst=None):
        """Copies one file, its symbolic link in the same folder if it is one, and all that it needs to be loaded."""
        dst = dst or src
        if dst in self.done:
            return
        self.done.add(dst)
        if not os.path.exists(src):
            self.missing.append(src)
            return
        out = self.inside(dst)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        if os.path.islink(src) and "/" not in os.readlink(src) and src == dst:
            if not os.path.lexists(out):
                os.symlink(os.readlink(src), out)
            self.file(os.path.join(os.path.dirname(src), os.readlink(src)))
            return
        if os.path.isdir(src):
            self.tree(src)
            return
        if os.path.exists(out) and os.path.samefile(src, out):
            return
        shutil.copy2(os.path.realpath(src), out)
        self.libraries_of(src)

    def libraries_of(self, src):
        with open(src, "rb") as f:
            data = f.read(4)
            if data != b"\x7fELF":
                return
            data += f.read()
        elf = Elf(data)
        origin = os.path.dirname(os.path.realpath(src))
        dirs = [p.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for p in elf.path] + LIBRARY_DIRS
        musl = bool(elf.interp and "musl" in elf.interp)
        if elf.interp:
            self.file(elf.interp, elf.interp)
        for name in elf.needed:
            if musl and name.startswith("libc."):
                continue  # musl's loader is its C library
            path = next((os.path.join(d, name) for d in dirs if os.path.exists(os.path.join(d, name))), None)
            if path is None:
                self.missing.append("%s (needed by %s)" % (name, src))
            else:
                self.file(path)

    def tree(self, top, skip=()):
        for folder, subfolders, files in os.walk(top):
            subfolders[:] = sorted(s for s in subfolders if os.path.join(folder, s) not in skip)
            os.makedirs(self.inside(folder), exist_ok=True)
            for name in sorted(files):
                self.file(os.path.join(folder, name))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("image")
    ap.add_argument("--python", metavar="PROGRAM", help="this interpreter with its standard library")
    ap.add_argument("--perl", action="store_true", help="perl's base modules")
    ap.add_argument("--tree", action="append", default=[], metavar="DIR")
    ap.add_argument("--as", action="append", default=[], metavar="SRC=DST", dest="renamed")
    ap.add_argument("programs", nargs="*")
    opt = ap.parse_intermixed_args()
    stage = Stage(opt.image)
    for program in opt.programs:
        stage.file(program)
    if opt.python:
        stage.file(opt.python)
        for lib in glob.glob("/usr/lib/python3.[0-9]*"):
            unused = ["test", "idlelib", "turtledemo", "lib2to3", "pydoc_data"]
            stage.tree(lib, skip={os.path.join(lib, x) for x in unused} | set(glob.glob(lib + "/config-*")))
    if opt.perl:
        for lib in ["/usr/lib/x86_64-linux-gnu/perl-base"] + glob.glob("/usr/share/perl/5.[0-9]*"):
            stage.file(lib)
    for folder in opt.tree:
        stage.tree(os.path.abspath(folder))
    for pair in opt.renamed:
        stage.file(*pair.split("=", 1))
    for path in stage.missing:
        print("stage: missing on this machine: %s" % path, file=sys.stderr)
    return 1 if stage.missing else 0


if __name__ == "__main__":
    sys.exit(main())
