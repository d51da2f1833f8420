#!/usr/bin/env python3
"""Runs real programs on Linux with C libraries that are patched as the kernel patches them inside the enclave.

usage: native_patch_test.py LIST_SITES [GO_PROGRAM [STATIC_PROGRAM]]

Each site of the C library, the loader or a static program becomes a jump to a stub in a new segment of the file; the stub runs the
displaced instructions, then the system call (or cpuid), then jumps back. If a displaced instruction were the target of a jump, or did
something else in another place, programs would crash or print something else.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

LIST_SITES = os.path.abspath(sys.argv[1])
GO = sys.argv[2] if len(sys.argv) > 2 else ""
STATIC = sys.argv[3] if len(sys.argv) > 3 else ""
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"
PT_LOAD, PT_NOTE, PT_GNU_STACK = 1, 4, 0x6474E551
STUB = 48
PAGE = 4096


def sites_of(path):
    lines = subprocess.run([LIST_SITES, path], capture_output=True, text=True, check=True).stdout.splitlines()
    return [tuple(map(int, line.split())) for line in lines]


class Elf:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
        self.phoff, = struct.unpack_from("<Q", self.data, 32)
        self.phnum, = struct.unpack_from("<H", self.data, 56)

    def segments(self):
        for i in range(self.phnum):
            at = self.phoff + 56 * i
            kind, flags, offset, vaddr, _, filesz, memsz, align = struct.unpack_from("<IIQQQQQQ", self.data, at)
            yield at, kind, flags, offset, vaddr, filesz, memsz

    def address(self, offset):
        for _, kind, _, start, vaddr, filesz, _ in self.segments():
            if kind == PT_LOAD and start <= offset < start + filesz:
                return vaddr + offset - start
        raise ValueError(offset)

    def add_segment(self, content_of):
        """Turns the last note segment into an executable one at the end; content_of(address) gives its bytes."""
        loads = [s for s in self.segments() if s[1] == PT_LOAD]
        spare = [s for s in self.segments() if s[1] in (PT_NOTE, PT_GNU_STACK) and s[0] > loads[-1][0]][-1]
        vaddr = max(s[4] + s[6] for s in loads)
        vaddr = (vaddr + 0xFFFF) // 0x10000 * 0x10000
        self.data += bytes(-len(self.data) % PAGE)
        offset = len(self.data)
        content = content_of(vaddr)
        self.data += content
        struct.pack_into("<IIQQQQQQ", self.data, spare[0], PT_LOAD, 5, offset, vaddr, vaddr, len(content), len(content), PAGE)

    def patch(self, sites):
        """Applies the table; returns how many sites there are."""
        original = bytes(self.data)

        def stubs(base):
            out = bytearray()
            for i, (offset, kind, displaced, disp_at, next_at, pad) in enumerate(sites):
                stub, at = base + i * STUB, self.address(offset)
                code = bytearray(original[offset:offset + displaced])
                if disp_at != 0xFF:
                    target = at + next_at + struct.unpack_from("<i", code, disp_at)[0]
                    struct.pack_into("<i", code, disp_at, target - (stub + next_at))
                trap = original[offset + displaced:offset + displaced + 2]
                assert trap == (b"\x0f\x05" if kind == 1 else b"\x0f\xa2"), trap
                code += trap
                code += b"\xe9" + struct.pack("<i", at + displaced + 2 - (stub + len(code) + 5))
                out += code.ljust(STUB, b"\xcc")
                jump = offset + pad
                self.data[jump:jump + 5] = b"\xe9" + struct.pack("<i", stub - (self.address(jump) + 5))
                if pad != 0:
                    self.data[offset:offset + 2] = b"\xeb" + struct.pack("<b", pad - 2)
            return bytes(out)

        self.add_segment(stubs)
        return len(sites)

    def write(self, path):
        with open(path, "wb") as file:
            file.write(self.data)
        os.chmod(path, 0o755)


def patched(source, target):
    elf = Elf(source)
    count = elf.patch(sites_of(source))
    elf.write(target)
    return count


class NativePatchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="occlum-native-")
        cls.loader = os.path.join(cls.folder, "ld.so")
        cls.libc_sites = patched(LIBC, os.path.join(cls.folder, "libc.so.6"))
        cls.loader_sites = patched(LOADER, cls.loader)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def both(self, *command, stdin=b""):
        """The same output and exit code with the stock and the patched library."""
        if not os.path.exists(command[0]):
            self.skipTest(f"{command[0]} is not on this machine")
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        stock = subprocess.run(command, input=stdin, capture_output=True, env=env, timeout=120)
        changed = subprocess.run([self.loader, "--library-path", self.folder, *command], input=stdin, capture_output=True, env=env, timeout=120)
        self.assertEqual((stock.returncode, stock.stdout), (changed.returncode, changed.stdout), changed.stderr)
        return stock

    def test_most_sites_are_in_the_tables(self):
        self.assertGreaterEqual(self.libc_sites, 510)
        self.assertGreaterEqual(self.loader_sites, 75)

    def test_the_patched_library_is_the_one_in_use(self):
        maps = subprocess.run([self.loader, "--library-path", self.folder, "/bin/cat", "/proc/self/maps"], capture_output=True, text=True, check=True)
        self.assertIn(os.path.join(self.folder, "libc.so.6"), maps.stdout)

    def test_plain_programs(self):
        self.both("/bin/ls", "-lR", "/etc/alternatives")
        self.both("/bin/cat", "/etc/passwd")
        self.both("/usr/bin/sort", "-r", stdin=b"".join(b"%d\n" % (i * 7919 % 5000) for i in range(5000)))
        self.both("/bin/grep", "-c", "root", "/etc/passwd")
        self.both("/usr/bin/sha256sum", LIBC)
        self.both("/bin/tar", "cf", "-", "--mtime=@0", "--sort=name", "-C", "/usr/share", "zoneinfo/Europe")
        self.both("/usr/bin/find", "/usr/lib/python3", "-name", "*.py")

    def test_shell_with_processes_pipes_and_signals(self):
        self.both("/bin/bash", "-c", """for i in 1 2 3; do echo $i | { read x; echo got $x; }; done
            trap 'echo trapped' USR1; kill -USR1 $$; (exit 3); echo $?; sleep 0.05 & wait $!; echo done
            x=$(seq 1 1000 | tail -1); echo $x; ulimit -n; umask""")

    def test_perl_and_sqlite(self):
        self.both("/usr/bin/perl", "-e", "$SIG{ALRM} = sub { print qq(alarm\\n) }; alarm 1; sleep 3; print join(',', sort map { $_ * 2 } 1..50), qq(\\n);"
                  "my $pid = fork; if (!$pid) { exit 7 } waitpid $pid, 0; print $? >> 8, qq(\\n);")
        self.both("/usr/bin/sqlite3", ":memory:", "create table t(a); insert into t values(1),(2); select sum(a) from t;")

    def test_python_threads_sockets_subprocesses(self):
        self.both("/usr/bin/python3", "-c", """
import hashlib, json, os, select, signal, socket, subprocess, tempfile, threading, time
results = []
def work(i):
    time.sleep(0.001 * (i % 5)); results.append(hashlib.sha256(str(i).encode()).hexdigest())
threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(results)[:3], len(results))
a, b = socket.socketpair(); a.send(b'x' * 1000); print(len(b.recv(2000)))
server = socket.create_server(('127.0.0.1', 0)); client = socket.create_connection(server.getsockname()); peer, _ = server.accept()
client.sendall(b'hello'); print(peer.recv(10))
poll = select.epoll(); poll.register(peer, select.EPOLLIN); print(poll.poll(0.01))
print(subprocess.run(['/bin/echo', 'child'], capture_output=True).stdout)
with tempfile.TemporaryDirectory() as d:
    path = os.path.join(d, 'f'); open(path, 'w').write('abc'); os.rename(path, path + '2'); print(os.listdir(d), os.stat(path + '2').st_size)
signal.signal(signal.SIGALRM, lambda *_: print('alarm')); signal.setitimer(signal.ITIMER_REAL, 0.02); time.sleep(0.1)
pid = os.fork()
if pid == 0: os._exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), json.dumps({'a': 1}))
condition = threading.Condition(); box = []
def wait():
    with condition:
        while not box: condition.wait()
        print('woken', box)
t = threading.Thread(target=wait); t.start(); time.sleep(0.02)
with condition: box.append(1); condition.notify_all()
t.join()
""")

    def run_changed(self, path):
        """A static program: patched, it prints and returns the same."""
        if not path or not os.path.exists(path):
            self.skipTest("no such program was built")
        changed = os.path.join(self.folder, os.path.basename(path))
        self.assertGreater(patched(path, changed), 30)
        stock = subprocess.run([path], capture_output=True, timeout=60)
        other = subprocess.run([changed], capture_output=True, timeout=60)
        self.assertEqual((stock.returncode, stock.stdout), (other.returncode, other.stdout), other.stderr)

    def test_go_program(self):
        self.run_changed(GO)

    def test_static_program(self):
        self.run_changed(STATIC)

    def test_musl(self):
        if not os.path.exists(MUSL) or shutil.which("musl-gcc") is None:
            self.skipTest("no musl here")
        source = os.path.join(self.folder, "m.c")
        with open(source, "w") as file:
            file.write("""#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *p) { char b[64]; int *fd = p; long n = read(fd[0], b, sizeof b); write(fd[1], b, n); return 0; }
int main(void) {
  int a[2], b[2]; pipe(a); pipe(b); int fds[2] = {a[0], b[1]};
  pthread_t t; pthread_create(&t, 0, work, fds); usleep(1000); write(a[1], "hello", 5);
  char buf[64] = {0}; read(b[0], buf, 63); pthread_join(t, 0);
  pid_t pid = fork(); if (!pid) _exit(9); int status; waitpid(pid, &status, 0);
  printf("%s %d\\n", buf, WEXITSTATUS(status)); return 0; }
""")
        program, library = os.path.join(self.folder, "m"), os.path.join(self.folder, "musl.so")
        subprocess.run(["musl-gcc", "-O1", "-w", "-o", program, source], check=True)
        self.assertGreater(patched(MUSL, library), 470)
        # Without pthread_cancel(): it looks at RIP, which the kernel shows as the original address but this test cannot.
        for command in ([program], [library, program]):
            result = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.assertEqual((result.returncode, result.stdout), (0, "hello 9\n"), result.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=1)
