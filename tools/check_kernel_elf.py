#!/usr/bin/env python3
"""The post-link check of the measured kernel: what source checks cannot see.

  tools/check_kernel_elf.py KERNEL [--vector-symbols FILE] [--exports FILE] [--objdump llvm-objdump-22]

Findings are printed as `rule: text`, exit code 1 if there are any. Rules:
  instruction  one that faults in an enclave or leaves it: syscall, sysenter, int, cpuid, in, out, hlt, vmcall, rdpmc...
  vector       a vector, mask, MMX or x87 register or instruction outside the symbols that --vector-symbols allows (one regular
               expression a line): the program's registers stay untouched in a system call
  fs           use of %fs, which is the program's
  segment      memory that is both writable and executable, or an executable stack
  relocation   anything but R_X86_64_RELATIVE, a relocation of code, a needed library
  constructor  .init_array, .ctors and their like
  undefined    a symbol that nobody defines; operator new, malloc and their like even if somebody does
  export       dynamic symbols that differ from the golden file --exports
  frame        a function whose stack frame is larger than 2048 bytes (.stack_sizes, if the kernel has it: where the linker generates
               the code, the compiler's -Wframe-larger-than sees only part of the frames)
"""
import argparse
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import elf_file as elf  # noqa: E402
from elf_file import ElfFile  # noqa: E402

FORBIDDEN = re.compile(r"^(syscall|sysenter|sysexit|sysret[lq]?|int|int1|into|iret[lqwd]?|cpuid|in[bwl]?|out[bwl]?|ins[bwl]|outs[bwl]|hlt|"
                       r"vmcall|vmmcall|vmfunc|vmlaunch|rdpmc|rdmsr|wrmsr|getsec|s[gil]dt[lqw]?|str[lqw]?|smsw[lqw]?|lmsw|l[gil]dt[lqw]?|ltr|"
                       r"invd|wbinvd|invlpg|cli|sti|clts|lcall[lqw]?|ljmp[lqw]?|lret[lqw]?|sysexitq|monitor|mwait)$")
VECTOR_REGISTER = re.compile(r"%(st\b|st\(|mm[0-7]\b|[xyz]mm\d|k[0-7]\b|tmm[0-7])")
# x87 without a register operand; loading and storing control words belongs to entry and exit.
X87 = re.compile(r"^(f(?!ence\b|xsave|xrstor|ldcw|nstcw|ninit|nclex)[a-z0-9]+|wait|emms|femms|vzero(upper|all))$")
FS = re.compile(r"%fs\b")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(?:(?:lock|rep|repne|repe|notrack|data16|cs|ds|es|ss|bnd|rex64|addr32|xacquire|xrelease)\s+)*(\S+)\s*(.*)$")
LABEL = re.compile(r"^([0-9a-f]+) <(.*)>:$")
# Deleting destructors of classes with virtual ones name operator delete; frame/ defines it so that a call would panic.
ALLOCATORS = re.compile(r"^(_Zn[wa]m.*|malloc|calloc|realloc|free|__cxa_(guard_acquire|atexit|throw|allocate_exception))$")

FRAME_LIMIT = 2048  # as cmake/options.cmake has it for the compiler


class Check:
    def __init__(self, path, opt):
        self.path, self.opt = path, opt
        self.file = ElfFile(path)
        self.findings = []

    def find(self, rule, text):
        self.findings.append("%s: %s" % (rule, text))

    def instructions(self):
        allowed = [re.compile(p) for p in read_list(self.opt.vector_symbols)]
        cmd = [self.opt.objdump, "-d", "--no-show-raw-insn", self.path]
        p = subprocess.run(cmd, capture_output=True, text=True)
        if p.returncode:
            sys.exit("%s failed: %s" % (self.opt.objdump, p.stderr.strip()))
        symbol, vector_ok, seen = "?", False, 0
        for line in p.stdout.splitlines():
            m = LABEL.match(line)
            if m:
                symbol = m.group(2)
                vector_ok = any(a.search(symbol) for a in allowed)
                continue
            m = LINE.match(line)
            if not m:
                continue
            seen += 1
            address, name, operands = m.groups()
            operands = operands.split("#")[0].split("<")[0]
            where = "%s at 0x%s in %s" % ((name + " " + operands).strip(), address, symbol)
            if FORBIDDEN.match(name):
                self.find("instruction", where)
            if not vector_ok and (VECTOR_REGISTER.search(operands) or X87.match(name)):
                self.find("vector", where)
            if FS.search(operands):
                self.find("fs", where)
        if not seen:
            self.find("instruction", "no instruction found: is this the kernel?")

    def segments(self):
        f = self.file
        for s in f.segments:
            if s.kind == elf.PT_LOAD and s.flags & elf.PF_W and s.flags & elf.PF_X:
                self.find("segment", "the segment at 0x%x is writable and executable" % s.vaddr)
            if s.kind == elf.PT_GNU_STACK and s.flags & elf.PF_X:
                self.find("segment", "the stack is executable")
        for s in f.sections:
            if s.flags & elf.SHF_ALLOC and s.flags & elf.SHF_WRITE and s.flags & elf.SHF_EXECINSTR:
                self.find("segment", "section %s is writable and executable" % s.name)
            if s.flags & elf.SHF_ALLOC and s.size and re.match(r"\.(init_array|preinit_array|fini_array|ctors|dtors)\b", s.name):
                self.find("constructor", "section %s has %d bytes" % (s.name, s.size))
            if s.flags & elf.SHF_ALLOC and s.size and s.name in (".tdata", ".tbss"):
                self.find("fs", "section %s: thread-local data of the compiler's kind lives at %%fs" % s.name)

    def relocations(self):
        code = [(s.vaddr, s.vaddr + s.memsz) for s in self.file.segments if s.kind == elf.PT_LOAD and not s.flags & elf.PF_W]
        for section, where, kind in self.file.relocations():
            if kind != elf.R_X86_64_RELATIVE:
                self.find("relocation", "type %d at 0x%x (%s)" % (kind, where, section))
            if any(a <= where < b for a, b in code):
                self.find("relocation", "of read-only memory at 0x%x" % where)
        for tag, value in self.file.dynamic():
            if tag == elf.DT_TEXTREL or (tag == elf.DT_FLAGS and value & elf.DF_TEXTREL):
                self.find("relocation", "the dynamic section announces relocations of text")
            if tag == elf.DT_NEEDED:
                self.find("relocation", "a shared library is needed")

    def names(self):
        for s in self.file.symbols(elf.SHT_SYMTAB):
            if s.shndx == 0 and s.name:
                self.find("undefined", s.name)
            elif ALLOCATORS.match(s.name):
                self.find("undefined", "%s: the kernel allocates through make_ref, make_own and Vec" % s.name)
        exports = sorted(s.name for s in self.file.symbols(elf.SHT_DYNSYM) if s.shndx != 0)
        golden = sorted(read_list(self.opt.exports))
        for name in sorted(set(exports) - set(golden)):
            self.find("export", "%s is visible outside and not in %s" % (name, self.opt.exports or "a golden file"))
        for name in sorted(set(golden) - set(exports)):
            self.find("export", "%s is missing" % name)

    def frames(self):
        names = {s.value: s.name for s in self.file.symbols(elf.SHT_SYMTAB) if s.shndx != 0}
        for address, size in self.file.stack_sizes():
            if size > FRAME_LIMIT:
                self.find("frame", "%d bytes in %s, more than %d" % (size, names.get(address, "0x%x" % address), FRAME_LIMIT))


def read_list(path):
    if not path or not os.path.exists(path):
        return []
    with open(path) as f:
        return [line.split("#")[0].strip() for line in f if line.split("#")[0].strip()]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("kernel")
    ap.add_argument("--vector-symbols", default=os.path.join(here, "kernel-vector-symbols.txt"))
    ap.add_argument("--exports", default=os.path.join(here, "kernel-exports.txt"))
    ap.add_argument("--objdump", default="llvm-objdump-22")
    opt = ap.parse_args()
    check = Check(opt.kernel, opt)
    check.instructions()
    check.segments()
    check.relocations()
    check.names()
    check.frames()
    limit = 40
    for f in check.findings[:limit]:
        print(f)
    if len(check.findings) > limit:
        print("... %d more" % (len(check.findings) - limit))
    return 1 if check.findings else 0


if __name__ == "__main__":
    sys.exit(main())
