"""Cases of the program matrix that live on processes: shells, builds, version control, servers. See matrix_cases.py for the form."""
import glob
import os
import subprocess

LONG = bool(os.environ.get("OCCLUM_TEST_LONG"))

BASH = r"""
set -u; cd "$1"; export LC_ALL=C
echo "pipeline: $(seq 1 1000 | grep 7 | sort -rn | head -3 | tr '\n' ' ')"
( cd /; x=inner; echo "subshell: $x $PWD" ); echo "outside: ${x-unset}"
echo "nested: $(echo a$(echo b$(echo c)))" `echo backquotes`
diff <(seq 1 5) <(seq 1 6); echo "process substitution: $?"
seq 1 50000 | tee >(wc -l > tee.count) | tail -1; for i in 1 2 3 4 5 6 7 8 9; do [ -s tee.count ] && break; sleep 0.1; done; cat tee.count
for i in 1 2 3 4; do (sleep 0.0$i; echo "job $i" > job.$i; exit $i) & pids[$i]=$!; done
for i in 1 2 3 4; do wait ${pids[$i]}; echo "job $i ended with $?"; done; cat job.*
sleep 30 & kill -TERM $!; wait $!; echo "killed: $?"
trap 'echo "trap: USR1"' USR1; kill -USR1 $$; trap - USR1
trap 'echo "trap: CHLD"' CHLD; /bin/true; trap - CHLD
(trap 'echo "trap: EXIT $?"' EXIT; exit 7); echo "after: $?"
cat <<END
here-document $((6 * 7)) $(echo of "$0")
END
cat <<'END' | while read -r a b; do echo "[$b|$a]"; done
one two
$three four five
END
set -o pipefail; false | true; echo "pipefail: $? ${PIPESTATUS[*]}"; set +o pipefail
mapfile -t lines < <(printf '%s\n' x y z); echo "${#lines[@]} ${lines[-1]}"
coproc { while read -r l; do echo "co $l"; done; }; echo ping >&${COPROC[1]}; read -r back <&${COPROC[0]}; echo "$back"; kill $COPROC_PID; wait $COPROC_PID 2>/dev/null
exec 5> fd5; echo to five >&5; exec 5>&-; cat fd5; exec 6< fd5; read -r l <&6; echo "read: $l"
timeout 0.2 sleep 10; echo "timeout: $?"
echo 'echo "script: $# $1"; exec sh -c "echo exec in script; exit 9"' > s.sh; chmod +x s.sh; bash ./s.sh p q; echo $?
printf '#!/bin/sh\necho "interpreted: $1"\n' > i.sh; chmod +x i.sh; ./i.sh word
f() { local v=$1; [ $v -le 0 ] && return; echo -n "$v "; (f $((v - 1))); }; f 8; echo
for i in $(seq 1 60); do /bin/true & done; wait; echo "sixty children"
mkfifo fifo; (echo through the fifo > fifo &); cat fifo
kill -0 $$ && echo alive; ulimit -n >/dev/null && echo limits; umask 027; touch masked; stat -c %a masked
sleep 0.05 & wait -n; echo "wait -n: $?"; wait; jobs | wc -l
"""

MAKE = r"""
set -e; cd "$1"; mkdir p; cd p
for i in 1 2 3 4 5 6 7 8; do
  printf '#include <stdio.h>\n#include <string.h>\n#include "all.h"\nint part%d(const char *s) { char b[64]; snprintf(b, sizeof b, "%%s-%d", s); return (int)strlen(b) + %d; }\n' $i $i $i > part$i.c
done
printf '%s\n' '#include <stdio.h>' '#include <math.h>' '#include "all.h"' 'int main(int c, char **v) { int s = 0; for (int i = 0; i < 8; i++) s += parts[i](v[c - 1]); printf("%d %.3f\n", s, sqrt(s)); return 3; }' > main.c
{ for i in 1 2 3 4 5 6 7 8; do echo "int part$i(const char *);"; done; echo 'extern int (*parts[8])(const char *);'; } > all.h
echo '#include "all.h"
int (*parts[8])(const char *) = {part1, part2, part3, part4, part5, part6, part7, part8};' > table.c
printf 'OBJS = main.o table.o $(patsubst %%,part%%.o,1 2 3 4 5 6 7 8)\nCFLAGS = -O2 -Wall\nprog: libparts.a main.o\n\tgcc -o $@ main.o -L. -lparts -lm\nlibparts.a: $(filter-out main.o,$(OBJS))\n\tar rcs $@ $^\n%%.o: %%.c all.h\n\tgcc $(CFLAGS) -c -o $@ $<\nclean:\n\trm -f *.o *.a prog\n' > Makefile
make -j4 > log; sort log
./prog argument || echo "ended with $?"
touch part3.c; make -j4; make -q && echo up to date
"""

XARGS = r"""
cd "$1"; find tree -type f -name '*.txt' -print0 | xargs -0 -P4 -n3 md5sum | sort | md5sum
cd "$2"; seq 1 40 | xargs -P4 -I{} sh -c 'echo {} > out.{}; exit 0'; cat out.* | sort -n | tail -1
printf '1\n2\n' | xargs -P2 -n1 sh -c 'exit $0'; echo "status $?"
"""

GIT = r"""
set -e; cd "$1"; export HOME=$1 GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
git config --global user.name 'A Name'; git config --global user.email a@example.org; git config --global init.defaultBranch main
git init -q repo; cd repo; for i in $(seq 1 60); do echo "content $i" > f$i; done; mkdir d; seq 1 5000 > d/numbers
git add .; git commit -q -m 'First'; git checkout -q -b side; echo more >> f1; git commit -qam 'On the side'
git checkout -q main; echo other >> f2; git commit -qam 'On main'; git merge -q -m 'Merge' side; git log --format='%H %s' --graph
git gc -q; git fsck --strict; git status --short; cd ..
git clone -q repo copy; cd copy; git log --oneline | wc -l; diff -r --exclude=.git ../repo . && echo same
echo changed > f3; git diff --stat; git commit -qam 'In the clone'; git push -q origin HEAD:refs/heads/pushed; git -C ../repo log -1 --format=%s pushed
git -C ../repo archive HEAD | tar -t | wc -l
"""

PROCPS = r"""
cd "$1"; sleep 100 & s=$!
state() { ps -o stat= -p $1 | tr -d ' '; }
until_state() { for i in $(seq 100); do [ "$(state $1)" = "$2" ] && break; sleep 0.05; done; state $1; }
until_state $s S; ps -o comm=,nlwp=,ni=,cls=,rtprio= -p $s; [ $(ps -o ppid= -p $s) = $$ ] && echo parent
ps aux | awk -v s=$s 'NR == 1 { print } $2 == s { print $8, $11, $12 }'; ps -ef | awk -v s=$s '$2 == s { print $8, $9 }'
ps -o pid,ppid,pgid,sid,tty,stat,etime,time,rss,vsz,psr,args | head -1
[ "$(pgrep -P $$ sleep)" = $s ] && echo found; pgrep -l -P $$ sleep | cut -d' ' -f2
kill -STOP $s; until_state $s T; kill -CONT $s; until_state $s S
pmap $s | awk '/r-x.*libc.so.6/ { print "libc" } /stack/ { print "stack" } END { print $1, ($2 + 0 > 0) }'
pmap -x $s | awk 'NR == 2 { print } END { print $1, ($3 > 0), ($4 > 0), ($4 <= $3) }'
top -b -n1 -p $s | awk -v s=$s 'NR == 7 { print } $1 == s { print $2, $3, $4, $8, $12 } NR <= 4 { print NF > 8 }'
free | awk 'NR == 1 { print } /^Mem/ { print ($2 > 0), ($3 > 0), ($2 >= $3 + 0) }'; uptime | grep -c 'load average:'
vmstat | awk 'NR == 2 { print } NR == 3 { print NF }'; pwdx $s | cut -d' ' -f2
nice -n 5 sleep 100 & n=$!; until_state $n SN; ps -o ni= -p $n
sh -c 'sleep 0 & exec sleep 100' & z=$!
for i in $(seq 100); do ps -o stat=,comm= --ppid $z | grep -q Z && break; sleep 0.05; done; ps -o stat=,args= --ppid $z
awk '{ print NF }' /proc/$s/stat /proc/$s/task/$s/stat; awk '{ print NF, ($1 >= $2), ($2 > 0) }' /proc/$s/statm
awk -F: '{ print $1 }' /proc/$s/status | grep -E '^(Name|Umask|State|Tgid|Pid|PPid|Uid|Gid|FDSize|Groups|Vm(Peak|Size|Lck|HWM|RSS|Data|Stk|Exe|Lib)|Threads|Sig|Shd|Cap|NoNew|Cpus|.*ctxt)'
head -4 /proc/$s/limits | cut -c1-25; tr '\0' ' ' < /proc/$s/cmdline; echo; cat /proc/$s/comm; cut -d: -f1 /proc/$s/io
awk '/^Size/ { s += $2 } /^Rss/ { r += $2 } END { print (s > 0), (r > 0), (r <= s) }' /proc/$s/smaps
awk '$5 == "/proc" { print "proc mounted" }' /proc/$s/mountinfo | head -1; wc -c < /proc/$s/auxv | awk '{ print ($1 % 16) }'
awk '/^(cpu|intr|ctxt|btime|processes|procs_running|procs_blocked|softirq) / { print $1 }' /proc/stat; awk '{ print NF }' /proc/loadavg /proc/uptime
pkill -P $$ sleep; wait $s; echo $?; wait $n; echo $?
"""

PERL = r"""
use strict; use warnings; $| = 1; my %sum;
for my $n (1 .. 6) {
  pipe(my $r, my $w) or die $!; my $pid = fork; die $! unless defined $pid;
  if (!$pid) { close $r; my $s = 0; $s += $_ * $n for 1 .. 10000; print $w "$n $s\n"; close $w; exit $n; }
  close $w; my $line = <$r>; chomp $line; waitpid $pid, 0; print "child $line, status ", $? >> 8, "\n";
}
open my $p, "-|", "seq 1 100 | sort -r" or die $!; my @l = <$p>; close $p; print scalar(@l), " $l[0]";
open my $o, "|-", "tr a-z A-Z" or die $!; print $o "to the child\n"; close $o;
my $out = `echo captured; exit 4`; print $out, $? >> 8, "\n"; system("sh", "-c", "kill -9 \$\$"); print "signal ", $? & 127, "\n";
local $SIG{CHLD} = sub { while ((my $k = waitpid(-1, 1)) > 0) { $sum{$k} = $? >> 8 } };
my @kids = map { my $n = $_; my $k = fork; exit $n unless $k; $k } 1 .. 10; select undef, undef, undef, 0.05 while keys %sum < 10;
print join(",", sort { $a <=> $b } values %sum), "\n"; if (!defined(my $c = open(my $h, "-|"))) { die } elsif (!$c) { print "implicit fork\n"; exit } else { print "got ", <$h> }
"""

PREFORK = r"""
import os, signal, socket, sys, struct, threading, collections
path = sys.argv[1] + "/server"
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path); listener.listen(64)
WORKERS, CLIENTS, REQUESTS = 4, 8, int(sys.argv[2])
cache = {i: str(i) * 50 for i in range(20000)}  # written memory that the children inherit
def worker(number):
    signal.signal(signal.SIGTERM, lambda *a: os._exit(40 + number))
    served = 0
    while True:
        c, _ = listener.accept()
        with c:
            while (head := c.recv(4)):
                n, = struct.unpack("<I", head)
                cache[n] = cache[n][::-1]  # its own copy
                served += 1
                c.sendall(struct.pack("<II", number, len(cache[n])) + cache[n].encode())
pids = []
for number in range(WORKERS):
    pid = os.fork()
    if pid == 0:
        try: worker(number)
        finally: os._exit(99)
    pids.append(pid)
seen, bad = collections.Counter(), 0
def client(k):
    global bad
    for burst in range(5):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            for i in range(REQUESTS // 5):
                n = (k * 7919 + i * 31 + burst) % 20000
                s.sendall(struct.pack("<I", n))
                f = s.makefile("rb")
                number, length = struct.unpack("<II", f.read(8))
                text = f.read(length).decode()
                bad += text not in (str(n) * 50, (str(n) * 50)[::-1])
                seen[number] += 1
threads = [threading.Thread(target=client, args=(k,)) for k in range(CLIENTS)]
for t in threads: t.start()
for t in threads: t.join()
print(sum(seen.values()), "requests,", bad, "bad; untouched here:", all(cache[i] == str(i) * 50 for i in cache))
for pid in pids: os.kill(pid, signal.SIGTERM)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids))
"""

REDIS = r"""
cd "$1"; n=$2; s=$1/redis.sock; start() { redis-server --port 0 --unixsocket $s --dir $1 --save '' --enable-debug-command yes --daemonize no --logfile log > /dev/null & for i in $(seq 1 100); do redis-cli -s $s ping > /dev/null 2>&1 && return; sleep 0.1; done; echo "did not start"; cat log; exit 1; }
start $1; redis-cli -s $s debug populate 5000 key 100; redis-cli -s $s set counter 0
redis-benchmark -s $s -q -c 8 -n $n -r 10000 -t set,incr,lpush > bench.log & load=$!
for i in 1 2 3; do
  redis-cli -s $s bgsave > bgsave.log
  for k in $(seq 1 600); do redis-cli -s $s info persistence | grep -q rdb_bgsave_in_progress:0 && break; sleep 0.05; done
  redis-cli -s $s info persistence | tr -d '\r' | grep -E 'rdb_last_bgsave_status|rdb_bgsave_in_progress'
done
wait $load; echo "load ended with $?"
redis-cli -s $s rpush list a b c; redis-cli -s $s bgsave; while redis-cli -s $s info persistence | grep -q rdb_bgsave_in_progress:1; do sleep 0.05; done
size=$(redis-cli -s $s dbsize); redis-cli -s $s shutdown nosave; wait; redis-check-rdb dump.rdb | grep -c 'RDB looks OK'
start $1; [ "$size" = "$(redis-cli -s $s dbsize)" ] && echo "all keys are back"; redis-cli -s $s lrange list 0 -1; redis-cli -s $s get key:4999; redis-cli -s $s shutdown nosave; wait; echo done
"""

POSTGRES = r"""
d=$1/pg; bin=/usr/lib/postgresql/15/bin; export PGHOST=$1/run PGUSER=postgres PGDATABASE=postgres LC_ALL=C TZ=UTC; seconds=$2
mkdir -p $d $PGHOST; cd $1; run=; [ $(id -u) = 0 ] && { chmod 777 $1; chown postgres:postgres $d $PGHOST; run="setpriv --reuid=postgres --regid=postgres --init-groups"; }
$run $bin/initdb -D $d -A trust -U postgres --no-sync > $d.initdb 2>&1 || { cat $d.initdb; exit 1; }
opts="-c listen_addresses= -c unix_socket_directories=$PGHOST -c shared_buffers=32MB -c max_connections=20 -c dynamic_shared_memory_type=posix"
start() { $run $bin/pg_ctl -D $d -l $d/log -s -w -t 60 -o "$opts" start || { cat $d/log; exit 1; }; }
stop() { $run $bin/pg_ctl -D $d -s -m $1 -w -t 60 stop || { tail -20 $d/log; exit 1; }; }
start; $bin/pgbench -q -i -s 1 2>&1 | grep -c '^done in'
$bin/pgbench -c 8 -j 2 -T $seconds > bench.log 2>&1 || cat bench.log; grep -E 'clients:|failed' bench.log
$bin/psql -Atc "create table t as select i, md5(i::text) as m from generate_series(1, 20000) i; create index on t(m); select count(*), min(m), sum(i) from t"
$bin/psql -Atc "select sum(abalance) = (select sum(delta) from pgbench_history) and sum(abalance) = (select sum(tbalance) from pgbench_tellers) as balanced from pgbench_accounts"
before=$($bin/psql -Atc "select count(*), sum(delta) from pgbench_history"); stop fast; start
[ "$before" = "$($bin/psql -Atc 'select count(*), sum(delta) from pgbench_history')" ] && echo "history is back"
$bin/psql -Atc "select count(*), min(m), sum(i) from t"; $bin/psql -Atc "select m from t where m = md5('77')"; stop fast; $bin/pg_controldata -D $d | grep 'cluster state'
"""

# Job control as a user has it: bash on a terminal whose other side types and reads.
JOBS = r"""
import os, pty, re, select, time
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1="@@ ", PS2="", TERM="dumb", HISTFILE="")
    os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
text = ""
def until(pattern, limit=60):
    global text
    end = time.monotonic() + limit
    while not (found := re.search(pattern, text)):
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise SystemExit("waited for %r, have %r" % (pattern, text))
        text += os.read(fd, 4096).decode()
    shown, text = text[:found.end()], text[found.end():]
    print(re.sub(r"\d{2,}", "N", re.sub(r"(\[\d\][-+]?) +\d+", r"\1 N", shown.replace("\r", ""))), end="")
def is_shell(process):
    with open("/proc/%d/comm" % process) as f: return f.read() == "bash\n"
def foreground(other):
    while (os.tcgetpgrp(fd) != pid) != other: time.sleep(0.01)
    while other and is_shell(os.tcgetpgrp(fd)): time.sleep(0.01)  # the child has the terminal before it stops to ignore its signals and execs
def say(line, pattern="@@ "):
    os.write(fd, line.encode() + b"\n")
    until(re.escape(line) + r"\r\n(?s:.*)" + pattern)
until("@@ ")
say("sleep 1000", ""); foreground(True); os.write(fd, b"\x1a"); until("Stopped(?s:.*)@@ ")
say("jobs"); say("bg"); say("jobs"); say("fg", "sleep 1000\r\n"); foreground(True); os.write(fd, b"\x03"); until("@@ "); say("echo $?")
say("cat | tr a-z A-Z", ""); foreground(True); os.write(fd, b"a line\n\x04"); until("A LINE(?s:.*)@@ ")
say("sleep 1000 & sleep 1001 &"); say("jobs -l"); say("kill %1 && wait %1"); say("kill -9 %2; wait %2; echo $?"); say("jobs; echo none")
say("(trap 'echo got INT; exit 5' INT; echo ready; while :; do sleep 0.01; done)", "ready\r\n"); os.write(fd, b"\x03"); until("got INT(?s:.*)@@ "); say("echo $?")
say("stty size; stty rows 30 cols 100; stty size; tty | tr -d 0-9; ps -o stat= -p $$ | tr -d ' '"); say("echo $-")
os.write(fd, b"exit 3\n"); until("exit\r\n"); print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

SCRIPT = r"""
cd "$1"; export TMUX_TMPDIR=$1; { sleep 2; echo 'from the input'; } | script -qefc 'tty | tr -d 0-9; stty -a | head -2 | tail -1 | cut -c1-40; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; read -r line; echo "read: $line"; exit 7' log
echo "status $?"; grep -c . log
script -qc 'for i in 1 2 3; do echo "line $i"; done; kill -TERM $$' -e /dev/null < /dev/null; echo "status $?"
t() { tmux -L occlum -f /dev/null "$@"; }
t new-session -d -x 60 -y 12 -s one 'PS1="@@ " exec sh'; shows() { for i in $(seq 1 200); do [ "$(t capture-pane -p | grep -c "$1")" = $2 ] && break; sleep 0.05; done; }
shows '^@@' 1; t send-keys -t one 'echo $((6 * 7)); stty size; echo $TERM' Enter
shows '^tmux-256color' 1; t capture-pane -p -t one | head -5
t split-window -t one 'cat'; t send-keys -t one 'into the second pane' Enter; shows 'into the' 2; t capture-pane -p | head -2
t list-panes -t one -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command}'; t new-window -t one; t list-windows -t one -F '#{window_index} #{window_panes}'
t kill-server; echo "status $?"
"""


def cases(case, data, python):
    yield case("proc.bash", "/bin/bash", "-c", BASH, "bash", "{tmp}", timeout=120)
    # A child that spins at once, where nothing has run before: the parent gets its turn by the tick alone.
    yield case("proc.spin", "/bin/bash", "-c", "(while :; do :; done) & sleep 0.2; kill -9 $!; wait $! 2>/dev/null; echo $?", timeout=60)
    yield case("proc.make", "/bin/sh", "-c", MAKE, "make", "{tmp}", timeout=300)
    yield case("proc.xargs", "/bin/sh", "-c", XARGS, "xargs", data, "{tmp}", timeout=120)
    yield case("proc.git", "/bin/sh", "-c", GIT, "git", "{tmp}", timeout=120)
    yield case("proc.jobs", python, "-c", JOBS, timeout=120)
    yield case("proc.script", "/bin/sh", "-c", SCRIPT, "script", "{tmp}", timeout=120)
    yield case("proc.procps", "/bin/sh", "-c", PROCPS, "procps", "{tmp}", timeout=120)
    yield case("proc.perl", "/usr/bin/perl", "-e", PERL, timeout=120)
    yield case("proc.prefork", python, "-c", PREFORK, "{tmp}", "2000" if LONG else "200", timeout=300)
    yield case("proc.redis", "/bin/sh", "-c", REDIS, "redis", "{tmp}", "100000" if LONG else "5000", timeout=600)
    yield case("proc.postgres", "/bin/sh", "-c", POSTGRES, "postgres", "{tmp}", "20" if LONG else "5", timeout=600)


# ---- what the cases need in the image besides the programs that they name ----

SHELL = """bash sh seq grep sort head tr diff tee wc tail sleep cat true false echo timeout chmod mkfifo stat touch rm mkdir printf ls find xargs md5sum make gcc-12
    gcc as ld ar git tar perl id env kill setpriv chown redis-server redis-cli redis-benchmark redis-check-rdb sed cp mv ln cut uniq expr basename dirname
    pwd date test cmp gzip mktemp awk nice ps top free uptime vmstat pgrep pkill pmap pwdx
    script stty tty tmux""".split()
GCC_PARTS = ["cc1", "collect2", "lto-wrapper", "liblto_plugin.so", "crt1.o", "Scrt1.o", "crti.o", "crtn.o", "crtbegin.o", "crtbeginS.o", "crtend.o",
             "crtendS.o", "libgcc.a", "libgcc_s.so", "libc.so", "libc_nonshared.a", "libm.so"]
POSTGRES_BIN = ["initdb", "postgres", "pg_ctl", "pgbench", "psql", "pg_controldata"]


def output_of(*command, text=""):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def compiler_files():
    for part in GCC_PARTS:
        path = output_of("/usr/bin/gcc", "-print-file-name=" + part).strip()
        if not os.path.isabs(path):
            path = output_of("/usr/bin/gcc", "-print-prog-name=" + part).strip()
        yield os.path.normpath(path)
    headers = output_of("/usr/bin/gcc", "-O2", "-M", "-x", "c", "-", text="#include <stdio.h>\n#include <string.h>\n#include <math.h>\n#include <stdlib.h>\n")
    yield from (os.path.normpath(h) for h in headers.replace("\\", " ").split() if os.path.isabs(h))
    yield from ("/lib/x86_64-linux-gnu/" + x for x in ("libc.so.6", "libm.so.6", "libmvec.so.1", "libgcc_s.so.1"))


def staged_files():
    yield from ("/usr/bin/" + name for name in SHELL)  # /bin is the same folder, but gcc finds its parts from where it is
    yield from ("/bin/" + name for name in ("sh", "bash"))
    yield from compiler_files()
    postgres = "/usr/lib/postgresql/15/"
    yield from (postgres + "bin/" + name for name in POSTGRES_BIN)
    yield from (postgres + "lib/" + name for name in ("plpgsql.so", "dict_snowball.so"))
    yield from ("/usr/share/zoneinfo/" + z for z in ("UTC", "GMT", "Etc/UTC"))
    yield from ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/lib/terminfo/d/dumb", "/lib/terminfo/t/tmux-256color", "/lib/terminfo/s/screen")
    yield from filter(os.path.isfile, glob.glob("/usr/lib/locale/C.utf8/**", recursive=True))


TREES = ["/usr/lib/git-core", "/usr/share/git-core", "/usr/share/postgresql/15"]
