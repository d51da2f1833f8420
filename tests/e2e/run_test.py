#!/usr/bin/env python3
"""`occlum run` from the outside: descriptors of every kind, signals, limits, odd environments, two at once, an installed tree.

usage: run_test.py BUILD SOURCE_DIR
"""
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD, SOURCE = (os.path.abspath(argument) for argument in sys.argv[1:3])
OCCLUM = os.path.join(BUILD, "cli", "occlum")
BUSYBOX = "/bin/busybox"
LIMIT = 60  # seconds that nothing here should need

# As many threads as the argument says (one if there is none) busy for a while beside the first; prints the processors that there are.
SPIN = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static long length = 200000000;  /* ns */
static void *spin(void *unused) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < length);
    return unused;
}
int main(int argc, char **argv) {
    pthread_t threads[64];
    const int count = argc > 1 ? atoi(argv[1]) : 1;
    if (argc > 1) length = 1500000000;
    for (int i = 0; i < count; ++i)
        if (pthread_create(&threads[i], NULL, spin, NULL) != 0) return 1;
    spin(NULL);
    for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
    printf("%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}
"""


class RunTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="occlum run ")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.home = os.path.join(cls.folder, "home")
        os.mkdir(cls.home)
        cls.env = {"PATH": os.environ["PATH"], "HOME": cls.home}
        cls.instance = os.path.join(cls.folder, "an instance")
        subprocess.run([OCCLUM, "new", cls.instance], env=cls.env, check=True, capture_output=True)
        shutil.copy(BUSYBOX, os.path.join(cls.instance, "image", "bin", "busybox"))
        subprocess.run([OCCLUM, "build"], cwd=cls.instance, env=cls.env, check=True, capture_output=True)

    def run_in(self, *arguments, occlum=OCCLUM, env=None, **options):
        return subprocess.run([occlum, "run", *arguments], cwd=self.instance, env=self.env if env is None else env, timeout=LIMIT, **options)

    def shell(self, script, **options):
        options.setdefault("capture_output", "stdout" not in options and "stderr" not in options)
        return self.run_in(BUSYBOX, "sh", "-c", script, **options)

    def start(self, script, **options):
        return subprocess.Popen([OCCLUM, "run", BUSYBOX, "sh", "-c", script], cwd=self.instance, env=self.env, **options)

    # ---- descriptors

    def closed(self, descriptors, script):
        """Runs with descriptors closed; what the shell of the program says of each kind of use goes to a file on the host's side."""
        redirect = " ".join("%d%s&-" % (fd, "<" if fd == 0 else ">") for fd in descriptors)
        return subprocess.run(["/bin/sh", "-c", 'exec "$@" ' + redirect, "sh", OCCLUM, "run", BUSYBOX, "sh", "-c", script],
                              cwd=self.instance, env=self.env, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def test_closed_streams_are_bad_descriptors(self):
        result = self.closed([0], "exec busybox cat")
        self.assertIn("Bad file descriptor", result.stderr)
        self.assertEqual(result.returncode, 1)
        result = self.closed([1], "echo lost; echo $? >&2")
        self.assertIn("Bad file descriptor", result.stderr)
        self.assertEqual(result.stderr.splitlines()[-1], "1")
        result = self.closed([2], "echo lost >&2; echo still $?")
        self.assertEqual((result.stdout, result.stderr), ("still 1\n", ""))
        # Their numbers are not free: no file of the program's ends up as its standard output.
        self.assertEqual(self.closed([0], "exec busybox readlink /proc/self/fd/0").stdout, "/dev/null\n")
        self.assertEqual(self.closed([2], "busybox readlink /proc/$$/fd/2; exit 0").stdout, "/dev/null\n")
        self.assertEqual(self.closed([0, 1, 2], "exit 7").returncode, 7)

    def test_full_device_and_broken_pipe(self):
        with open("/dev/full", "w") as full:
            result = self.shell("echo x; echo $? >&2", stdout=full, stderr=subprocess.PIPE)
        self.assertIn(b"No space left", result.stderr)
        reader, writer = os.pipe()
        os.close(reader)
        try:
            self.assertEqual(self.run_in(BUSYBOX, "yes", stdout=writer, stderr=subprocess.DEVNULL).returncode, 128 + signal.SIGPIPE)
        finally:
            os.close(writer)

    def test_files_and_pipes(self):
        path = os.path.join(self.folder, "data")
        data = os.urandom(3_000_000)
        with open(path, "wb") as file:
            file.write(data)
        with open(path, "rb") as source, open(path + ".copy", "wb") as sink:
            self.assertEqual(self.run_in(BUSYBOX, "cat", stdin=source, stdout=sink, stderr=subprocess.DEVNULL).returncode, 0)
        with open(path + ".copy", "rb") as file:
            self.assertEqual(file.read(), data)
        self.assertEqual(self.run_in(BUSYBOX, "cat", input=data, capture_output=True).stdout, data)
        with open(path, "r+b") as both:  # what is appended comes after what was there, as with any program
            both.seek(0, os.SEEK_END)
            self.shell("echo end", stdout=both, stderr=subprocess.DEVNULL)
        self.assertEqual(os.path.getsize(path), len(data) + 4)

    def terminal(self, script, typed=b"", want=b""):
        """Runs on a pseudo terminal, types once `want` was seen, returns (exit code, output)."""
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(self.instance)
            os.execve(OCCLUM, [OCCLUM, "run", BUSYBOX, "sh", "-c", script], self.env)
        output = b""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                part = os.read(master, 4096)
            except OSError:  # the other side is gone
                break
            output += part
            if typed and want in output:
                os.write(master, typed)
                typed = b""
        os.close(master)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output

    def test_terminal(self):
        code, output = self.terminal("test -t 0 && test -t 1 && test -t 2 && echo three terminals")
        self.assertIn(b"three terminals", output)
        self.assertEqual(code, 0)
        code, output = self.terminal("echo ready; read word; echo got $word", b"hello\n", b"ready")
        self.assertIn(b"got hello", output)
        code, output = self.terminal("echo ready; exec busybox sleep 50", b"\x03", b"ready")
        self.assertEqual(code, 128 + signal.SIGINT)
        code, output = self.terminal("trap 'echo caught; exit 5' INT; echo ready; while :; do :; done", b"\x03", b"ready")
        self.assertIn(b"caught", output)
        self.assertEqual(code, 5)

    def silent(self):
        """The reading end of a pipe in which nothing comes."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        return reader

    # ---- signals

    def test_signals_end_a_program_or_are_caught(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            with self.subTest(signal=number):
                process = self.start("echo ready; exec busybox sleep 50", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                with process:
                    self.assertEqual(process.stdout.readline(), b"ready\n")
                    process.send_signal(number)
                    self.assertEqual(process.wait(LIMIT), 128 + number)
        process = self.start("trap 'exit 9' TERM; echo ready; while :; do :; done", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.terminate()
            self.assertEqual(process.wait(LIMIT), 9)
        for delay in (0.02, 0.03, 0.04, 0.05, 0.06, 0.08):  # while it starts: by the default action or by the program, but never lost
            process = self.start("exec busybox sleep 20", stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.terminate()
            self.assertIn(process.wait(15), (128 + signal.SIGTERM, -signal.SIGTERM))
        self.assertEqual(self.shell("kill -9 $$").returncode, 128 + signal.SIGKILL)

    def test_two_at_once_do_not_know_of_each_other(self):
        processes = [self.start("echo %d > /tmp/name; read -t 0.3 x; read x < /tmp/name; echo $x" % i, stdin=self.silent(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                     for i in range(3)]
        for i, process in enumerate(processes):
            with process:
                self.assertEqual(process.communicate(timeout=LIMIT)[0], b"%d\n" % i)

    # ---- arguments, environment, limits

    def test_separator_and_arguments(self):
        self.assertEqual(self.run_in("--", BUSYBOX, "echo", "--", "-n", "a b", "", capture_output=True).stdout, b"-- -n a b \n")
        long = "x" * 100_000
        self.assertEqual(self.run_in(BUSYBOX, "echo", long, capture_output=True).stdout, long.encode() + b"\n")
        many = [str(i) for i in range(20_000)]
        self.assertEqual(self.run_in(BUSYBOX, "sh", "-c", "echo $#", "sh", *many, capture_output=True).stdout, b"20000\n")

    def test_environment(self):
        result = self.run_in(BUSYBOX, "env", capture_output=True, env=dict(self.env, EXAMPLE="from the host", SECRET="no"))
        self.assertIn(b"EXAMPLE=from the host\n", result.stdout)
        self.assertIn(b"OCCLUM=yes\n", result.stdout)
        self.assertNotIn(b"SECRET", result.stdout)
        self.assertNotIn(b"HOME", result.stdout)

    def test_homes(self):
        path = {"PATH": os.environ["PATH"]}
        elsewhere = os.path.join(self.folder, "config")
        self.assertEqual(self.run_in(BUSYBOX, "true", env=dict(path, XDG_CONFIG_HOME=elsewhere), capture_output=True).returncode, 0)
        self.assertEqual(os.stat(os.path.join(elsewhere, "occlum", "emulator-secret")).st_mode & 0o777, 0o600)
        result = self.run_in(BUSYBOX, "true", env=dict(path, HOME="/proc/none"), capture_output=True)
        self.assertEqual(result.returncode, 125)
        self.assertIn(b"/proc/none: cannot make the folder", result.stderr)
        self.assertIn(b"XDG_CONFIG_HOME", result.stderr)

    def test_limits(self):
        def limit(what, value):
            return lambda: resource.setrlimit(what, (value, value))

        result = self.run_in(BUSYBOX, "true", capture_output=True, preexec_fn=limit(resource.RLIMIT_AS, 4 << 30))
        self.assertEqual(result.returncode, 125)
        self.assertIn(b"ulimit -v", result.stderr)
        self.assertEqual(self.run_in(BUSYBOX, "true", capture_output=True, preexec_fn=limit(resource.RLIMIT_STACK, 256 << 10)).returncode, 0)
        result = self.run_in(BUSYBOX, "true", capture_output=True, env=dict(self.env, SGX_MODE="HW"))
        if not os.path.exists("/dev/sgx_enclave"):
            self.assertEqual(result.returncode, 125)
            self.assertEqual(len(result.stderr.splitlines()), 1)
            self.assertIn(b"/dev/sgx_enclave", result.stderr)

    # ---- virtual CPUs

    def spinning(self, name):
        """A copy of the instance that has the program /bin/spin."""
        instance = os.path.join(self.folder, name)
        shutil.copytree(self.instance, instance)
        source = os.path.join(self.folder, "spin.c")
        with open(source, "w") as file:
            file.write(SPIN)
        subprocess.run(["gcc", "-O1", "-static", "-pthread", source, "-o", os.path.join(instance, "image", "bin", "spin")], check=True)
        return instance

    def test_more_vcpus_than_bits_in_a_word(self):
        instance = self.spinning("many vcpus")
        path = os.path.join(instance, "Occlum.json")
        with open(path) as file:
            config = json.load(file)
        config["resource_limits"]["max_num_of_threads"] = 64
        with open(path, "w") as file:
            json.dump(config, file)
        subprocess.run([OCCLUM, "build"], cwd=instance, env=self.env, check=True, capture_output=True)
        result = subprocess.run([os.path.join(BUILD, "host", "occlum-boot"), "--enclave", "build/enclave.bin", "--image", "build/image.bin",
                                 "--vcpus", "48", "--stats", "/bin/spin", "60"], cwd=instance, env=self.env, timeout=LIMIT, capture_output=True, text=True)
        self.assertEqual(result.stdout, "48\n", result.stderr)
        # Each tick starts one while work waits; how many ticks there are depends on how busy the machine is.
        self.assertGreater(int(re.search(r"start_vcpu +(\d+)", result.stderr).group(1)), 8)

    def test_vcpus_are_added_when_there_is_work_for_them(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one processor")
        instance = self.spinning("vcpus")
        path = os.path.join(instance, "Occlum.json")
        with open(path) as file:
            config = json.load(file)
        # The file of the first has one TCS: a second virtual CPU is one that was added.
        for limits, edmm in (({}, True), ({"max_num_of_threads": 1}, True), ({"init_num_of_threads": 2}, True), ({"user_space_size": "64MB"}, False)):
            changed = dict(config, resource_limits=dict(config["resource_limits"], **limits), feature=dict(config["feature"], enable_edmm=edmm))
            with open(path, "w") as file:
                json.dump(changed, file)
            subprocess.run([OCCLUM, "build"], cwd=instance, env=self.env, check=True, capture_output=True)
            for mode in ("fast", "strict"):
                with self.subTest(limits=limits, mode=mode):
                    result = subprocess.run([OCCLUM, "run", "--stats", "/bin/spin"], cwd=instance,
                                            env=dict(self.env, OCCLUM_EMULATOR=mode), timeout=LIMIT, capture_output=True, text=True)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    one = limits == {"max_num_of_threads": 1}
                    self.assertEqual(re.search("start_vcpu +1", result.stderr) is None, one, result.stderr)
                    self.assertEqual(int(result.stdout) == 1, one)

    # ---- installed

    def test_installed_tree_works_without_the_source(self):
        prefix = os.path.join(self.folder, "a prefix")
        # As `make install PREFIX=...` does it; a dry run shows that make passes blanks on.
        dry = subprocess.run(["make", "-n", "-C", SOURCE, "install", "BUILD=" + BUILD, "PREFIX=" + prefix], check=True, capture_output=True, text=True)
        self.assertIn("cmake --install '%s' --prefix '%s'" % (BUILD, prefix), dry.stdout)
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, capture_output=True)
        script = '"$1" new made && cp /bin/busybox made/image/bin && cd made && "$1" build && "$1" run /bin/busybox echo from the prefix'
        command = ["/bin/sh", "-c", script, "sh", os.path.join(prefix, "bin", "occlum")]
        # In a mount namespace the trees can be hidden. (There is none in a chroot.)
        if os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0:
            hide = 'for tree in "$@"; do test ! -d "$tree" || mount -t tmpfs none "$tree" || exit; done'
            command = ["unshare", "-m", "/bin/sh", "-c", 'set -e; prefix=$1; shift; %s; set -- "$prefix"; cd .; %s' % (hide, script), "sh", command[4], SOURCE, BUILD]
        result = subprocess.run(command, cwd=self.folder, env=self.env, timeout=LIMIT, capture_output=True, text=True)
        self.assertEqual(result.stdout.splitlines()[-1], "from the prefix", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
