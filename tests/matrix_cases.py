"""The cases of the program matrix: what runs natively and then inside the enclave, with the same arguments and input.

In arguments, {data} is the folder of test data (/data inside) and {tmp} an empty folder to write in (/tmp inside).
"""
import collections
import os
import re

import matrix_debuggers
import matrix_network
import matrix_processes

# argv: the program as it is named inside. built: it comes from the build, not from the machine. clean: lines that may differ by
# right are brought to one form by (pattern, replacement) pairs. root: only comparable when the native run is root's. expect: what it
# must print inside, for programs that must not run natively. unordered: lines come in the order of a folder's entries, which may differ.
Case = collections.namedtuple("Case", "name argv stdin timeout built clean root expect unordered")


def case(name, *argv, stdin=None, timeout=60, built=False, clean=(), root=False, expect=None, unordered=False):
    return Case(name, list(argv), stdin, timeout, built, [(re.compile(p, re.M), r) for p, r in clean], root, expect, unordered)


# Conformance programs: name -> (source, compiler, flags). Compilers: gcc, g++, musl-gcc, go, rustc.
PROGRAMS = {
    "files": ("files.c", "gcc", []),
    "paths": ("paths.c", "gcc", []),
    "attrs": ("attrs.c", "gcc", []),
    "mmap": ("mmap.c", "gcc", []),
    "threads": ("threads.c", "gcc", []),
    "futex": ("futex.c", "gcc", []),
    "signals": ("signals.c", "gcc", []),
    "fork": ("fork.c", "gcc", []),
    "clock": ("clock.c", "gcc", []),
    "cputime": ("cputime.c", "gcc", ["-pthread"]),
    "loadavg": ("loadavg.c", "gcc", ["-pthread"]),
    "events": ("events.c", "gcc", []),
    "sysv": ("sysv.c", "gcc", []),
    "mqueue": ("mqueue.c", "gcc", []),
    "aio": ("aio.c", "gcc", []),
    "pidfd": ("pidfd.c", "gcc", []),
    "sockets": ("sockets.c", "gcc", []),
    "inet": ("inet.c", "gcc", []),
    "inet6": ("inet6.c", "gcc", []),
    "inet_options": ("inet_options.c", "gcc", []),
    "net_files": ("net_files.c", "gcc", []),
    "scm_cycles": ("scm_cycles.c", "gcc", ["-pthread"]),
    "unix_buffers": ("unix_buffers.c", "gcc", ["-pthread"]),
    "unix_peek": ("unix_peek.c", "gcc", ["-pthread"]),
    "ipc_edges": ("ipc_edges.c", "gcc", ["-pthread"]),
    "netlink": ("netlink.c", "gcc", []),
    "udp": ("udp.c", "gcc", []),
    "tty": ("tty.c", "gcc", []),
    "tty_modes": ("tty_modes.c", "gcc", []),
    "jobs": ("jobs.c", "gcc", []),
    "inotify": ("inotify.c", "gcc", []),
    "dnotify": ("dnotify.c", "gcc", []),
    "async": ("async.c", "gcc", ["-pthread"]),
    "limits": ("limits.c", "gcc", []),
    "splice": ("splice.c", "gcc", ["-pthread"]),
    "locks": ("locks.c", "gcc", ["-pthread"]),
    "mounts": ("mounts.c", "gcc", ["-pthread"]),
    "ptrace": ("ptrace.c", "gcc", ["-pthread"]),
    "remote": ("remote.c", "gcc", []),
    "system": ("system.c", "gcc", []),
    "startup": ("startup.c", "gcc", []),
    "calls": ("calls.c", "gcc", []),
    "seldom": ("seldom.c", "gcc", []),
    "depths": ("depths.c", "gcc", []),
    "jit": ("jit.c", "gcc", []),
    "errno_table": ("errno_table.c", "gcc", []),
    "errno_sockets": ("errno_table.c", "gcc", ["-DSOCKETS"]),
    "startup_static_pie": ("startup.c", "gcc", ["-static-pie"]),
    "static_nonpie": ("static_nonpie.c", "gcc", ["-static", "-no-pie", "-DFIXED"]),
    "static_pie": ("static_nonpie.c", "gcc", ["-static-pie"]),
    "dynamic_nonpie": ("static_nonpie.c", "gcc", ["-no-pie", "-DFIXED"]),
    "many_tasks": ("many_tasks.c", "gcc", []),
    "vectors": ("vectors.c", "gcc", []),
    "threads_static": ("threads.c", "gcc", ["-static"]),
    "mmap_nonpie": ("mmap.c", "gcc", ["-no-pie"]),
    "musl_dynamic": ("static_nonpie.c", "musl-gcc", []),
    "musl_static": ("static_nonpie.c", "musl-gcc", ["-static"]),
    "musl_files": ("files.c", "musl-gcc", ["-static"]),
    "musl_mmap": ("mmap.c", "musl-gcc", []),
    "language": ("language.cc", "g++", ["-std=c++17"]),
    "goroutines": ("goroutines.go", "go", []),
    "rust": ("hello.rs", "rustc", ["-O"]),
}
# Built like these, run by cases of their own.
TOOLS = {name: (name + ".c", "gcc", []) for name in ("fuzz", "ptrace_smash", "crowd", "chaos", "mistake")}
ARGUMENTS = {"startup": ["first", "two words", ""], "startup_static_pie": ["one"], "static_nonpie": ["x", "y"]}
NEEDS_ROOT = {"attrs", "limits", "ptrace", "remote", "system", "calls", "seldom", "sysv", "pidfd"}  # they print what only root gets
NEEDS_ROOT = {"attrs", "limits", "mounts", "ptrace", "remote", "system", "calls", "sysv", "pidfd"}  # they print what only root gets


def conformance():
    for name in PROGRAMS:
        yield case("conf." + name, "/test/bin/" + name, *ARGUMENTS.get(name, []), "{tmp}", built=True, root=name in NEEDS_ROOT,
                   timeout=120)


PYTHON = "/usr/bin/python3"
PY_BASICS = """
import json, hashlib, zlib, struct, re, datetime, decimal, collections, itertools, random, os, sys, io, tempfile
print(json.dumps({"b": [1, 2.5, None], "a": "text"}, sort_keys=True), json.loads("[1, {}]"))
for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
    print(name, hashlib.new(name, b"enclave" * 1000).hexdigest())
print(zlib.crc32(b"x" * 100000), len(zlib.compress(bytes(100000))))
random.seed(7)
print([random.randrange(1000) for _ in range(5)], decimal.Decimal(1) / 7, datetime.date(2024, 2, 29) + datetime.timedelta(365))
print(re.findall(r"(\\w+)@(\\w+)", "ab@cd ef@gh"), collections.Counter("mississippi").most_common(2))
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as d:
    for i in range(50):
        with open(os.path.join(d, "f%02d" % i), "w") as f:
            f.write("line\\n" * i)
    print(sum(os.path.getsize(os.path.join(d, n)) for n in os.listdir(d)))
    os.mkdir(os.path.join(d, "sub"))
    os.rename(os.path.join(d, "f01"), os.path.join(d, "sub", "moved"))
    print(sorted(os.listdir(os.path.join(d, "sub"))))
try:
    open("/none")
except OSError as e:
    print(e)
"""
PY_THREADS = """
import threading, queue, concurrent.futures, hashlib
def work(n):
    return hashlib.sha256(b"%d" % n * 10000).hexdigest()[:8]
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print("".join(pool.map(work, range(500))))
q, lock, total = queue.Queue(10), threading.Lock(), 0
def consume():
    global total
    while (v := q.get()) is not None:
        with lock:
            total += v
threads = [threading.Thread(target=consume) for _ in range(8)]
for t in threads: t.start()
for i in range(2000): q.put(i)
for _ in threads: q.put(None)
for t in threads: t.join()
print(total, threading.active_count())
e = threading.Event()
threading.Timer(0.05, e.set).start()
print(e.wait(5))
"""
PY_SSL = """
import ssl, sys
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
client = ssl.create_default_context(cafile=sys.argv[1] + "/cert.pem")
c_in, c_out = ssl.MemoryBIO(), ssl.MemoryBIO()
c = client.wrap_bio(c_in, c_out, server_hostname="localhost")
s = server.wrap_bio(c_out, c_in, server_side=True)
for _ in range(10):
    for side in (c, s):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
print(c.version(), c.cipher()[0], c.getpeercert()["subject"])
c.write(b"secret" * 1000)
print(len(s.read(10000)))
"""
PY_CTYPES = """
import ctypes, ctypes.util, array, mmap
libc = ctypes.CDLL("libc.so.6")
libc.strlen.restype = ctypes.c_size_t
print(libc.strlen(b"twelve bytes"), libc.abs(-5))
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
values = (ctypes.c_int * 6)(5, 1, 4, 2, 6, 3)
libc.qsort(values, 6, 4, compare(lambda a, b: a[0] - b[0]))
print(list(values))
m = mmap.mmap(-1, 1 << 20)
m[1000:1005] = b"hello"
print(m.find(b"hello"), array.array("d", [1.5, 2]).tobytes())
"""
PERL = r"""
use strict; use warnings; use List::Util qw(sum first); use POSIX qw(floor strftime);
my %count; $count{$_}++ for split //, "mississippi";
print join(",", map { "$_=$count{$_}" } sort keys %count), "\n";
print sum(map { $_ ** 2 } 1 .. 100), " ", floor(3.7), " ", strftime("%Y-%m-%d", gmtime(86400 * 365)), "\n";
open my $f, ">", "$ARGV[0]/perl.txt" or die $!; print $f "line $_\n" for 1 .. 1000; close $f;
open $f, "<", "$ARGV[0]/perl.txt" or die $!; my @l = <$f>; print scalar(@l), " $l[-1]";
print "sorted: @{[sort { $a <=> $b } 10, 9, 2, 33, 1]}\n"; eval { die "caught\n" }; print $@;
exit 3;
"""
SQL = """create table t(id integer primary key, k integer, s text);
with recursive c(i) as (select 1 union all select i + 1 from c where i < 20000)
  insert into t select i, (i * 7919) % 20000, printf('row %d of the table', i) from c;
create index tk on t(k);
select count(*), sum(k), max(s) from t where k between 100 and 15000;
select count(*) from t a join t b on b.k = a.id where a.id % 5 = 0;
begin; delete from t where id % 2; rollback;
update t set s = upper(s) where id < 10; select s from t where id < 4;
vacuum; pragma integrity_check; select total_changes();
"""

LISTING = [(r"^total \d+$", "total N"), (r"^(d\S+\s+)\d+( \S+ \S+\s+)\d+ ", r"\1N\2 N "), (r"^([-dl]\S+\s+\S+ )\S+ \S+", r"\1user group"), (r" +", " ")]


def programs():
    text, numbers, tree = "{data}/text", "{data}/numbers", "{data}/tree"
    yield case("prog.true", "/bin/true")
    yield case("prog.false", "/bin/false")
    yield case("prog.echo", "/bin/echo", "hello", "two words", "")
    yield case("prog.ls", "/bin/ls", "-lR", tree, clean=LISTING)
    yield case("prog.ls_missing", "/bin/ls", "/none")
    yield case("prog.cat", "/bin/cat", text, numbers)
    yield case("prog.cat_stdin", "/bin/cat", stdin=b"through standard input\n" * 5000)
    yield case("prog.sha256sum_100m", "/usr/bin/sha256sum", "{data}/big")
    yield case("prog.md5sum", "/usr/bin/md5sum", text, numbers)
    yield case("prog.sort", "/usr/bin/sort", "-n", numbers)
    yield case("prog.sort_keys", "/usr/bin/sort", "-k2,2", "-u", text)
    yield case("prog.sort_stdin", "/usr/bin/sort", "-r", stdin=b"".join(b"%d line\n" % (i * 7919 % 10007) for i in range(20000)))
    yield case("prog.awk", "/usr/bin/mawk", "{ n[$1 % 7]++; s += $1 } END { for (i = 0; i < 7; i++) print i, n[i]; print s }", numbers)
    yield case("prog.sed", "/usr/bin/sed", "-n", "s/\\(the\\) \\([a-z]*\\)/[\\2 \\1]/gp", text)
    yield case("prog.sed_inplace", "/usr/bin/sed", "-e", "1,5d;y/abc/xyz/;$!N;P;D", text)
    yield case("prog.grep", "/bin/grep", "-rn", "quick", tree, unordered=True)
    yield case("prog.grep_count", "/bin/grep", "-c", "-E", "^[0-9]*7[0-9]$", numbers)
    yield case("prog.tar_create", "/bin/tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-C", "{data}",
               "-cf", "-", "tree")
    yield case("prog.tar_list", "/bin/tar", "-tvf", "{data}/archive.tar")
    yield case("prog.tar_extract", "/bin/tar", "-C", "{tmp}", "--no-same-owner", "-xvf", "{data}/archive.tar")
    yield case("prog.gzip", "/bin/gzip", "-dc", "{data}/text.gz")
    yield case("prog.gzip_compress", "/bin/gzip", "-nc", "-6", text)
    yield case("prog.xz", "/usr/bin/xz", "-dc", "{data}/text.xz")
    yield case("prog.xz_compress", "/usr/bin/xz", "-c", "-T1", "-3", text)
    yield case("prog.wc", "/usr/bin/wc", text, numbers)
    yield case("prog.head_tail", "/usr/bin/tail", "-n", "20", numbers)
    yield case("prog.cut", "/usr/bin/cut", "-d", " ", "-f", "2-3", text)
    yield case("prog.od", "/usr/bin/od", "-A", "x", "-t", "x1z", "-N", "4096", "{data}/big")
    yield case("prog.cmp", "/usr/bin/cmp", text, numbers)
    yield case("prog.diff", "/usr/bin/diff", text, "{data}/text2")
    yield case("prog.find", "/usr/bin/find", tree, "-name", "*.txt", "-size", "-40k", "-newermt", "2000-01-01", unordered=True)
    yield case("prog.cp", "/bin/cp", "-av", tree, "{tmp}/copy", unordered=True)
    yield case("prog.dd", "/bin/dd", "if={data}/big", "bs=64k", "count=64", "status=none")
    yield case("prog.date", "/bin/date", "-u", "-d", "@1000000000", "+%F %T")
    yield case("prog.sleep", "/bin/sleep", "0.2")
    yield case("prog.env", "/usr/bin/env")
    yield case("prog.sqlite_memory", "/usr/bin/sqlite3", "-batch", ":memory:", stdin=SQL.encode())
    yield case("prog.sqlite_file", "/usr/bin/sqlite3", "-batch", "{tmp}/db", stdin=SQL.encode())
    yield case("prog.sqlite_wal", "/usr/bin/sqlite3", "-batch", "{tmp}/db", stdin=b"pragma journal_mode=wal;\n" + SQL.encode())
    yield case("prog.python_version", PYTHON, "-c", "import sys, platform; print(sys.version, platform.machine(), sys.maxsize)")
    yield case("prog.python_basics", PYTHON, "-c", PY_BASICS, "{tmp}")
    yield case("prog.python_threads", PYTHON, "-c", PY_THREADS)
    yield case("prog.python_ssl", PYTHON, "-c", PY_SSL, "{data}")
    yield case("prog.python_ctypes", PYTHON, "-c", PY_CTYPES)
    yield case("prog.python_exit", PYTHON, "-c", "import sys; print('about to leave'); sys.exit(42)")
    yield case("prog.python_crash", PYTHON, "-c", "import os; print('bye', flush=True); os.kill(os.getpid(), 11)")
    yield case("prog.perl", "/usr/bin/perl", "-e", PERL, "{tmp}")
    yield case("prog.busybox_sum", "/bin/busybox", "sha256sum", text)
    yield case("prog.busybox_find", "/bin/busybox", "find", tree, "-type", "f", "-name", "f1*", unordered=True)
    yield case("prog.busybox_awk", "/bin/busybox", "awk", "{ s += $1 } END { print s }", numbers)
    yield case("prog.busybox_sh", "/bin/busybox", "sh", "-c", "i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo $i; cd /; pwd")
    yield case("prog.busybox_static", "/test/bin/busybox-static", "sha256sum", text, built=True)
    yield case("prog.busybox_static_sh", "/test/bin/busybox-static", "sh", "-c", "echo static $((6 * 7)); exit 5", built=True)


LONG = bool(os.environ.get("OCCLUM_TEST_LONG"))


def fuzzing():
    """Calls whose errno must be the natives', by seed; and calls of any kind, beside a neighbour, that only must not break anything."""
    for seed in range(1, 41 if LONG else 9):
        yield case("fuzz.errno.%02d" % seed, "/test/bin/fuzz", "errno", str(seed), "5000", "{tmp}", built=True, root=True)
    for seed, calls in ((1, 500000), (2, 500000)) if LONG else ((1, 50000), (2, 50000)):
        yield case("fuzz.smash.%02d" % seed, "/test/bin/fuzz", "smash", str(seed), str(calls), built=True, timeout=1800 if LONG else 240,
                   expect="%d calls\nall checks held\n" % calls)


    for seed in range(1, 21 if LONG else 3):
        yield case("fuzz.ptrace.%02d" % seed, "/test/bin/ptrace_smash", str(seed), "1000" if LONG else "200", built=True, timeout=240,
                   expect="%d rounds\nall checks held\n" % (1000 if LONG else 200))


def crowds():
    """Many at once: threads on the two virtual CPUs, processes of either kind."""
    yield case("crowd.threads", "/test/bin/crowd", "threads", "10000", built=True, timeout=120)
    yield case("crowd.spawn", "/test/bin/crowd", "spawn", "1000", built=True, timeout=120)
    yield case("crowd.fork", "/test/bin/crowd", "fork", "1000", built=True, timeout=300)
    yield case("crowd.chaos", "/test/bin/chaos", "60" if LONG else "15", built=True, timeout=300)


def all_cases():
    return list(conformance()) + list(programs()) + list(fuzzing()) + list(crowds()) + list(matrix_processes.cases(case, "{data}", PYTHON)) + \
        list(matrix_network.cases(case, PYTHON, LONG)) + list(matrix_debuggers.cases(case))


# What also runs without EDMM. Not in it: what needs page protection (mmap, signals), what reserves address space by the hundred megabytes (Go,
# 64 threads), and fuzz.smash (all memory is writable and lies at low addresses, so that wild pointers may hit the neighbour rightly).
SGX1 = {"conf." + name for name in ("files", "paths", "attrs", "threads", "futex", "clock", "events", "sockets", "system", "startup", "calls", "jit",
                                    "errno_table", "errno_sockets", "static_nonpie", "static_pie", "dynamic_nonpie", "many_tasks", "threads_static",
                                    "musl_dynamic", "musl_static", "musl_files", "language", "rust")}
SGX1 |= {"prog." + name for name in ("true", "false", "ls", "cat", "sort", "awk", "grep", "tar_create", "gzip", "xz", "sqlite_memory", "sqlite_file", "python_basics",
                                     "perl", "busybox_sh", "busybox_static_sh")}
SGX1 |= {"fuzz.errno.01", "fuzz.errno.02"}
