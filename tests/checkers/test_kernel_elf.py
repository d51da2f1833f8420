#!/usr/bin/env python3
"""The post-link check must accept a clean small kernel and catch each seeded mistake in it."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = os.path.join(HERE, "..", "..", "tools", "check_kernel_elf.py")
CLEAN = """
extern "C" void enclave_entry();
extern "C" void vector_ok();
static int word = 3;
extern "C" { int* pointer = &word; int table(int n) { return n * *pointer; } }
asm(".text\\n.globl enclave_entry\\nenclave_entry:\\n ldmxcsr -8(%rsp)\\n fldcw -8(%rsp)\\n lfence\\n int3\\n enclu\\n ret\\n"
    ".globl vector_ok\\nvector_ok:\\n vpxor %xmm0, %xmm0, %xmm0\\n ret\\n"
    ".globl after\\nafter:\\n rdfsbase %rax\\n mov %gs:8, %rax\\n ret\\n");
"""
ASM = 'asm(".text\\n.globl seeded\\nseeded:\\n %s\\n ret\\n");'
FLAGS = ["-static-pie", "-Wl,-z,text", "-Wl,-z,separate-code", "-Wl,-e,enclave_entry"]
# name, the rule that must find it, what is added to the clean program, linker flags
SEEDS = [
    ("syscall", "instruction", ASM % "syscall", FLAGS),
    ("sysenter", "instruction", ASM % "sysenter", FLAGS),
    ("cpuid", "instruction", ASM % "cpuid", FLAGS),
    ("int", "instruction", ASM % "int $0x80", FLAGS),
    ("rep outs", "instruction", ASM % "rep outsb", FLAGS),
    ("hlt", "instruction", ASM % "hlt", FLAGS),
    ("sse", "vector", ASM % "movups %xmm1, (%rdi)", FLAGS),
    ("avx512", "vector", ASM % "vmovdqu64 %zmm20, (%rdi)", FLAGS),
    ("mask register", "vector", ASM % "kmovw %k1, %eax", FLAGS),
    ("mmx", "vector", ASM % "movq %mm0, %rax", FLAGS),
    ("x87", "vector", ASM % "fldt (%rdi)", FLAGS),
    ("double in C++", "vector", 'extern "C" double seeded(double a) { return a * 2; }', FLAGS),
    ("fs", "fs", ASM % "mov %fs:0x28, %rax", FLAGS),
    ("thread_local", "fs", 'thread_local int seeded = 5; extern "C" int* get() { return &seeded; }', FLAGS),
    ("W+X section", "segment", 'asm(".section .seeded,\\"awx\\",@progbits\\n ret\\n");', FLAGS),
    ("W+X segment", "segment", "", ["-static-pie", "-Wl,-N", "-Wl,-z,notext", "-Wl,-e,enclave_entry"]),
    ("executable stack", "segment", "", FLAGS + ["-Wl,-z,execstack"]),
    ("text relocation", "relocation", 'asm(".text\\n .quad table\\n");', ["-static-pie", "-Wl,-z,notext", "-Wl,-e,enclave_entry"]),
    ("shared library", "relocation", 'extern "C" int puts(const char*); extern "C" int seeded() { return puts("x"); }',
     ["-pie", "-Wl,-e,enclave_entry", "-lc"]),
    ("global constructor", "constructor", 'extern "C" int ask(); int seeded = ask(); extern "C" int ask() { return static_cast<int>(__builtin_ia32_rdtsc()); }', FLAGS),
    ("undefined weak", "undefined", 'extern "C" __attribute__((weak)) int nobody(); extern "C" int seeded() { return nobody ? nobody() : 0; }', FLAGS),
    ("operator new", "undefined", "void* operator new(unsigned long n) { return &pointer[n]; } extern \"C\" int* seeded() { return new int; }", FLAGS),
    ("frame", "frame", 'extern "C" void seeded() { char room[3000]; asm volatile("" : : "r"(room) : "memory"); }', FLAGS + ["-fstack-size-section"]),
    ("export", "export", 'extern "C" __attribute__((visibility("default"))) int seeded() { return 1; }', ["-shared", "-Wl,-e,enclave_entry"]),
]


def build(folder, text, link):
    src, out = os.path.join(folder, "k.cc"), os.path.join(folder, "k.elf")
    with open(src, "w") as f:
        f.write(text)
    subprocess.run(["clang++-22", "-O1", "-ffreestanding", "-nostdlib", "-fPIE", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti",
                    "-fno-asynchronous-unwind-tables", "-fuse-ld=lld", "-Wno-override-module", *link, src, "-o", out], check=True)
    return out


def check(path, folder):
    allow = os.path.join(folder, "allow.txt")
    with open(allow, "w") as f:
        f.write("^vector_ok$ # the crypto of this small kernel\n")
    p = subprocess.run([sys.executable, CHECK, path, "--vector-symbols", allow, "--exports", "/dev/null"], capture_output=True, text=True)
    if p.stderr or p.returncode not in (0, 1):
        sys.exit("the checker failed: %s%s" % (p.stdout, p.stderr))
    return p.stdout.splitlines()


def main():
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        found = check(build(folder, CLEAN, FLAGS), folder)
        if found:
            sys.exit("the clean kernel is refused:\n" + "\n".join(found))
        for name, rule, text, link in SEEDS:
            found = check(build(folder, CLEAN + text + "\n", link), folder)
            if any(line.startswith(rule + ":") for line in found):
                print("caught: %-18s %s" % (name, next(x for x in found if x.startswith(rule + ":"))))
            else:
                bad += 1
                print("MISSED: %s (expected a finding of rule %s, got %s)" % (name, rule, found))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
