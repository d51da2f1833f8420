"""Cases of the program matrix that trace programs: stock strace and gdb, as they are in Debian. See matrix_cases.py for the form."""

# Numbers and addresses that may differ by right: ids in siginfo, pointers, what programs are called by their number.
CLEAN = [(r"/usr/lib/", "/lib/"), (r"0x[0-9a-f]+", "ADDRESS"), (r"si_pid=\d+", "si_pid=N"), (r"si_([us])time=\d+( /\* [\d.]+ s \*/)?", r"si_\1time=N"), (r"process \d+", "process N"),
         (r"LWP \d+", "LWP N"), (r"/\* \d+ vars \*/", "/* vars */")]

STRACE = r"""
strace -a1 -qq -o log -e trace=chdir,kill,exit_group,rt_sigaction sh -c 'cd /; trap "cd /tmp" USR1; kill -USR1 $$; exit 3'; echo "ended with $?"
sed 's/kill([0-9]*/kill(N/; s/, 8) = /) = /' log
strace -a1 -qq -o log -e trace=chdir -e inject=chdir:error=EPERM sh -c 'cd /tmp' 2>&1; cat log
strace -a1 -qq -o log -e trace=%signal -e signal=SIGTERM sh -c 'kill -TERM $$'; echo "ended with $?"; grep -c SIGTERM log
"""

# A file for each process: their order is no matter then.
STRACE_FORKS = r"""
strace -a1 -ff -qq -o log -e trace=execve,exit_group,chdir sh -c '/bin/true; (cd /tmp; exit 4); /bin/false; echo x | cat; sh -c "exit 5"; exit 6'
echo "ended with $?"; for f in $(ls log.* | sort -t. -k2n); do echo "--"; cat $f; done
"""

STRACE_ATTACH = r"""
mkfifo f; sh -c 'read x < f; exit 5' & target=$!
strace -a1 -qq -o log -e trace=exit_group -p $target & tracer=$!
until grep -q 'TracerPid:.[1-9]' /proc/$target/status; do sleep 0.05; done
echo go > f; wait $target; echo "ended with $?"; wait $tracer; cat log
"""

PROGRAM = r"""
#include <stdio.h>
typedef unsigned long pthread_t; // the image has few headers
int pthread_create(pthread_t *, const void *, void *(*)(void *), void *);
int pthread_join(pthread_t, void **);

struct point { int x, y; const char *name; };
static struct point origin = {3, 4, "origin"};
static double ratio = 1.25;

static int area(int w, int h)
{
    int result = w * h;
    return result + origin.x;
}

static void *worker(void *argument)
{
    struct point *p = argument;
    p->y = area(p->x, 2);
    return NULL;
}

int main(int argc, char **argv)
{
    int total = argc;
    for (int i = 1; i < 4; i++)
        total += area(i, i + 1);
    pthread_t thread;
    pthread_create(&thread, NULL, worker, &origin);
    pthread_join(thread, NULL);
    printf("total %d, %d %s %g\n", total, origin.y, argv[1], ratio);
    if (argc > 2)
        *(volatile int *)8 = 1;
    return total & 0x7f;
}
"""

GDB = r"""
cat > prog.c <<'END'
""" + PROGRAM + r"""
END
gcc -g -O0 -o prog prog.c
run() { gdb --batch -nx -iex 'set auto-load no' -iex 'set debug-file-directory /none' "$@" 2>&1; }
run -ex 'break area' -ex 'run one' -ex bt -ex 'print origin' -ex 'print w * h' -ex 'set var w = 10' -ex next -ex step -ex 'print result' -ex finish \
    -ex 'set can-use-hw-watchpoints 0' -ex 'watch total' -ex continue -ex delete -ex 'break worker' -ex continue -ex 'set var ratio = 2.5' -ex 'print $xmm0.v2_double[0] * 0' \
    -ex 'call area(6, 7)' -ex 'info threads' -ex continue --args ./prog one | grep -v -e '^\[New Thread' -e exited\] -e '^\*\|^  [12I]' -e '^ *Id'
echo "--"
run -ex 'run' -ex bt -ex 'print $_siginfo._sifields._sigfault.si_addr' -ex 'info signals SIGSEGV' --args ./prog one two | grep -v -e '^\[New Thread' -e exited\]
echo "--"
run -ex 'catch syscall exit_group' -ex run -ex 'print $rdi' -ex continue --args ./prog three | grep -v -e '^\[New Thread' -e exited\]
echo "--"
run -ex 'break main' -ex run -ex 'stepi 300' -ex 'tbreak area' -ex continue -ex bt -ex kill --args ./prog four | grep -e area -e main
"""


def in_folder(script):
    return 'cd "$1"; export LC_ALL=C\n' + script


def cases(case):
    yield case("debug.strace", "/bin/sh", "-c", in_folder(STRACE), "sh", "{tmp}", clean=CLEAN, timeout=120)
    yield case("debug.strace_forks", "/bin/sh", "-c", in_folder(STRACE_FORKS), "sh", "{tmp}", clean=CLEAN, timeout=120)
    yield case("debug.strace_attach", "/bin/sh", "-c", in_folder(STRACE_ATTACH), "sh", "{tmp}", clean=CLEAN, timeout=120)
    yield case("debug.gdb", "/bin/sh", "-c", in_folder(GDB), "sh", "{tmp}", clean=CLEAN, timeout=180)


# ---- what the cases need in the image ----

TREES = ["/usr/share/gdb"]


def staged_files():
    yield from ("/usr/bin/" + name for name in ("strace", "gdb"))
    lib = "/usr/lib/x86_64-linux-gnu/"
    yield from (lib + name for name in ("libthread_db.so.1", "gconv/UTF-32.so", "gconv/gconv-modules", "gconv/gconv-modules.cache"))
