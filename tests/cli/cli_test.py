#!/usr/bin/env python3
"""Tests of the `occlum` command as a user types it: messages, exit codes, files, install.

usage: cli_test.py OCCLUM KERNEL SOURCE_DIR
"""
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

OCCLUM, KERNEL, SOURCE = (os.path.abspath(argument) for argument in sys.argv[1:4])
LATER = ["start", "exec", "stop", "package", "mount", "gdb", "quote", "verify"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class CliTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="occlum-cli-")
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": os.path.join(self.folder, "home"), "OCCLUM_KERNEL": KERNEL}
        os.mkdir(self.env["HOME"])

    def occlum(self, *arguments, cwd=None, program=OCCLUM, **changes):
        env = {key: value for key, value in dict(self.env, **changes).items() if value is not None}
        return subprocess.run([program, *arguments], cwd=cwd or self.folder, env=env, capture_output=True, text=True, timeout=120)

    def good(self, *arguments, **options):
        result = self.occlum(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def bad(self, code, part, *arguments, **options):
        result = self.occlum(*arguments, **options)
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        self.assertIn(part, result.stderr)
        for line in result.stderr.splitlines():
            self.assertRegex(line, "^occlum: ")
        return result

    def instance(self, name="instance"):
        self.good("new", name)
        return os.path.join(self.folder, name)

    def test_help_and_version(self):
        self.assertIn("Subcommands:", self.good().stdout)
        self.assertIn("Subcommands:", self.good("help").stdout)
        self.assertRegex(self.good("--version").stdout, r"^occlum \d+\.\d+\.\d+\n$")
        verbs = re.findall(r"^  ([a-z_-]+)", self.good("--help").stdout.split("Subcommands:")[1], re.MULTILINE)
        self.assertIn("build", verbs)
        for verb in verbs:
            with self.subTest(verb=verb):
                self.assertIn("--help", self.good(verb, "--help").stdout)
                self.assertEqual(self.good("help", verb).stdout, self.good(verb, "--help").stdout)

    def test_wrong_usage_is_exit_code_2(self):
        self.bad(2, "frobnicate: no such verb", "frobnicate")
        self.bad(2, "frobnicate: no such verb", "help", "frobnicate")
        self.bad(2, "see `occlum build --help`", "build", "--nonsense")
        self.assertIn("Usage: occlum run [OPTIONS] PROGRAM [ARGUMENTS...]", self.good("run", "--help").stdout)
        self.bad(2, "PATH", "new")
        self.bad(2, "--nonsense", "build", "--nonsense")
        self.bad(2, "", "print", "both")
        self.bad(2, "PROGRAM", "run")
        self.bad(2, "--nonsense", "run", "--nonsense", "/bin/ls")
        for verb in LATER:
            self.bad(2, f"{verb}: not supported yet", verb, "some", "--arguments")

    def test_new_makes_an_instance_and_says_what_is_next(self):
        result = self.good("new", "fresh")
        self.assertIn("occlum build", result.stderr)
        folder = os.path.join(self.folder, "fresh")
        for name in ("bin", "lib", "lib64", "root", "host", "tmp", "dev", "proc", "etc", "sbin"):
            self.assertTrue(os.path.isdir(os.path.join(folder, "image", name)), name)
        with open(os.path.join(folder, "Occlum.json")) as file:
            config = json.load(file)
        self.assertTrue(config["feature"]["enable_edmm"])
        self.assertEqual(config["entry_points"], ["/bin"])
        self.bad(1, "holds an instance already", "new", "fresh")
        self.bad(1, "holds an instance already", "init", cwd=folder)
        os.mkdir(os.path.join(self.folder, "other"))
        self.good("init", cwd=os.path.join(self.folder, "other"))
        self.bad(2, "--init-ra", "new", "ra", "--init-ra", "aecs")

    def test_two_new_at_once(self):
        folder = os.path.join(self.folder, "both")
        for _ in range(20):
            late = subprocess.Popen([OCCLUM, "new", folder], env=self.env, stderr=subprocess.PIPE, text=True)
            # Held when it has looked for what is there and its image has no name yet.
            while late.poll() is None and not (os.path.isdir(folder) and os.listdir(folder)):
                pass
            late.send_signal(signal.SIGSTOP)
            held = not os.path.exists(os.path.join(folder, "image")) and late.poll() is None
            if held:
                self.good("new", folder)
            late.send_signal(signal.SIGCONT)
            _, said = late.communicate(timeout=60)
            if held:
                break
            shutil.rmtree(folder, ignore_errors=True)
        else:
            self.skipTest("it was always too fast")
        self.assertEqual(late.returncode, 1, said)
        self.assertEqual(sorted(os.listdir(folder)), ["Occlum.json", "image", "run"])
        self.good("build", cwd=folder)

    def test_build_print_status(self):
        folder = self.instance()
        self.bad(1, "not built", "print", "mrenclave", cwd=folder)
        self.assertIn("not built", self.good("status", cwd=folder).stdout)
        first = self.good("build", cwd=folder)
        self.assertIn("made a signing key of your own", first.stderr)
        self.assertIn("debuggable", first.stderr)
        key = os.path.join(self.env["HOME"], ".config/occlum/signing-key.pem")
        self.assertEqual(stat.S_IMODE(os.stat(key).st_mode), 0o600)
        mrenclave = self.good("print", "mrenclave", cwd=folder).stdout.strip()
        self.assertRegex(mrenclave, "^[0-9a-f]{64}$")
        self.assertRegex(self.good("print", "mrsigner", cwd=folder).stdout, "^[0-9a-f]{64}\n$")
        self.assertIn(f"MRENCLAVE {mrenclave}", first.stdout)
        second = self.good("build", cwd=folder)
        self.assertIn("nothing has changed", second.stderr)
        self.assertNotIn("made a signing key", second.stderr)
        self.assertIn("built\n", self.good("status", cwd=folder).stdout)
        with open(os.path.join(folder, "image/etc/added"), "w") as file:
            file.write("x")
        self.assertIn("changed since", self.good("status", cwd=folder).stdout)
        self.good("build", cwd=folder)
        self.assertNotEqual(self.good("print", "mrenclave", cwd=folder).stdout.strip(), mrenclave)
        with open(os.path.join(folder, "build/image.json")) as file:
            bill = json.load(file)
        for name in ("image.bin", "enclave.bin"):
            self.assertEqual(bill[name]["sha256"], sha256(os.path.join(folder, "build", name)))
        before = self.good("print", "mrenclave", cwd=folder).stdout
        self.good("build", "--enable-edmm", "N", cwd=folder)
        self.assertNotEqual(self.good("print", "mrenclave", cwd=folder).stdout, before)
        self.good("build", cwd=folder, ENABLE_EDMM="Y")
        self.assertEqual(self.good("print", "mrenclave", cwd=folder).stdout, before)

    def test_damaged_products_are_told(self):
        folder = self.instance()
        shutil.copy("/bin/true", os.path.join(folder, "image/bin/true"))
        self.good("build", cwd=folder)
        before = self.products(folder)
        for name in ("image.bin", "enclave.bin"):
            path = os.path.join(folder, "build", name)
            with open(path, "rb") as file:
                whole = file.read()
            for content in (b"", whole[:5000], bytes(len(whole))):
                with open(path, "wb") as file:
                    file.write(content)
                self.assertEqual(len(self.bad(125, name, "run", "/bin/true", cwd=folder).stderr.splitlines()), 1)
                if name == "image.bin":
                    self.assertIn("build/ has changed since: run `occlum build`", self.good("status", cwd=folder).stdout)
                else:
                    for verb in (["status"], ["print", "mrenclave"], ["print", "mrsigner"]):
                        self.assertEqual(self.bad(1, "run `occlum build`", *verb, cwd=folder).stdout, "")
            self.good("build", cwd=folder)
            self.assertEqual(self.products(folder), before)
            self.assertIn("built\n", self.good("status", cwd=folder).stdout)

    def test_build_options_that_are_not_supported(self):
        folder = self.instance()
        self.bad(2, "encrypted images", "build", "--image-key", "x", cwd=folder)
        self.bad(2, "encrypted images", "build", "--buildin-image-key", cwd=folder)
        self.bad(2, "signing is built in", "build", "--sign-tool", "x", cwd=folder)
        self.bad(2, "HyperEnclave", "build", "--sgx-mode", "HYPER", cwd=folder)
        self.bad(2, "", "build", "--sgx-mode", "FOO", cwd=folder)
        self.bad(2, "expected Y or N", "build", "--enable-edmm", "maybe", cwd=folder)
        self.bad(2, "SOURCE_DATE_EPOCH", "build", cwd=folder, SOURCE_DATE_EPOCH="soon")
        self.assertFalse(os.path.exists(os.path.join(folder, "build", "enclave.bin")))

    def test_build_mistakes(self):
        self.bad(1, "not an Occlum instance", "build")
        folder = self.instance()
        self.bad(1, "no such file", "build", "--sign-key", "none.pem", cwd=folder)
        with open(os.path.join(folder, "junk.pem"), "w") as file:
            file.write("junk")
        self.bad(1, "junk.pem", "build", "--sign-key", "junk.pem", cwd=folder)
        self.bad(1, "OCCLUM_KERNEL", "build", cwd=folder, OCCLUM_KERNEL="/none.elf")
        path = os.path.join(folder, "Occlum.json")
        with open(path) as file:
            config = json.load(file)
        config["resource_limits"]["user_space_size"] = 7
        config["entry_point"] = []
        with open(path, "w") as file:
            json.dump(config, file)
        result = self.bad(1, "Occlum.json: resource_limits.user_space_size: expected a size", "build", cwd=folder)
        self.assertEqual(len(result.stderr.splitlines()), 2)
        self.assertIn("Occlum.json: entry_point: expected one of the keys", result.stderr)

    def test_user_key_decides_mrsigner(self):
        folder = self.instance()
        for name in ("a.pem", "b.pem"):
            subprocess.run(["openssl", "genrsa", "-3", "-out", os.path.join(self.folder, name), "3072"], check=True, capture_output=True)
        signers = set()
        for name in ("a.pem", "b.pem"):
            self.good("build", "--sign-key", f"../{name}", cwd=folder)
            signers.add(self.good("print", "mrsigner", cwd=folder).stdout)
        self.assertEqual(len(signers), 2)
        subprocess.run(["openssl", "genrsa", "-out", os.path.join(self.folder, "wrong.pem"), "2048"], check=True, capture_output=True)
        self.bad(1, "", "build", "-f", "--sign-key", "../wrong.pem", cwd=folder)

    def test_image_keys(self):
        self.good("gen-image-key", "key")
        with open(os.path.join(self.folder, "key")) as file:
            self.assertRegex(file.read(), "^([0-9a-f]{2}-){15}[0-9a-f]{2}\n$")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.folder, "key")).st_mode), 0o600)
        self.bad(1, "never overwritten", "gen-image-key", "key")
        self.bad(1, "PATH is empty", "gen-image-key", "")

    def test_run_explains_what_is_missing(self):
        self.bad(125, "not an Occlum instance", "run", "/bin/ls")
        folder = self.instance()
        self.bad(125, "not built", "run", "/bin/ls", cwd=folder)
        self.good("build", cwd=folder)
        self.bad(127, "copy it to image/bin/none", "run", "/bin/none", cwd=folder)
        self.bad(126, "entry_points", "run", "/etc/passwd", cwd=folder)
        self.bad(126, "absolute path", "run", "ls", cwd=folder)
        self.bad(126, "name is empty", "run", "", cwd=folder)
        self.bad(127, "/bin/none", "run", "--", "/bin/none", "--", "-x", cwd=folder)
        self.bad(127, "/bin/none", "run", "--stats", "--", "/bin/none", cwd=folder)
        shutil.copy("/bin/ls", os.path.join(folder, "image/bin/ls"))
        self.bad(127, "run `occlum build`", "run", "/bin/ls", cwd=folder)
        self.bad(2, "SGX_MODE", "run", "/bin/none", cwd=folder, SGX_MODE="BOTH")
        self.bad(2, "OCCLUM_LOG_LEVEL", "run", "/bin/none", cwd=folder, OCCLUM_LOG_LEVEL="loud")
        self.bad(2, "enable_kss", "run", "--config-svn", "1", "/bin/none", cwd=folder)
        with open(os.path.join(folder, "Occlum.json"), "a") as file:
            file.write("\n")
        self.bad(127, "has changed since the last build", "run", "/bin/none", cwd=folder)

    def test_a_program_newer_than_the_build_is_told(self):
        folder = self.instance()
        program = os.path.join(folder, "image/bin/sh")
        with open(program, "w") as file:
            file.write("#!/bin/none\n")
        os.chmod(program, 0o755)
        self.good("build", cwd=folder)
        self.assertNotIn("warning", self.bad(127, "/bin/none", "run", "/bin/sh", cwd=folder).stderr)
        with open(program, "w") as file:
            file.write("#!/bin/nothing\n")
        self.bad(127, "image/bin/sh has changed since the last build", "run", "/bin/sh", cwd=folder)

    def test_required_features_that_are_not_there(self):
        folder = self.instance()
        path = os.path.join(folder, "Occlum.json")
        with open(path) as file:
            config = json.load(file)
        for key, value, code, part in (("pkru", 1, 0, "feature.pkru has no effect yet"), ("pkru", 2, 1, "feature.pkru: expected 0 or 1"),
                                       ("amx", 2, 0, "")):
            changed = dict(config, feature=dict(config["feature"], **{key: value}))
            with open(path, "w") as file:
                json.dump(changed, file)
            self.bad(code, part, "build", cwd=folder)

    def test_folders_that_cannot_be_written(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        folder = self.instance()
        self.good("build", cwd=folder)
        os.chmod(os.path.join(folder, "build"), 0o555)
        self.assertEqual(len(self.bad(1, "build: cannot be written", "build", "-f", cwd=folder).stderr.splitlines()), 1)

    def test_a_signing_key_that_others_can_read_is_refused(self):
        folder = self.instance()
        self.good("build", cwd=folder)
        os.chmod(os.path.join(self.env["HOME"], ".config/occlum/signing-key.pem"), 0o644)
        self.bad(1, "chmod 600", "build", "-f", cwd=folder)

    def test_the_next_step_can_be_pasted(self):
        self.assertIn("next: cd 'my inst' && ", self.good("new", "my inst").stderr)

    def test_missing_libraries_are_named_and_autodep_copies_them(self):
        folder = self.instance()
        shutil.copy("/bin/ls", os.path.join(folder, "image/bin/ls"))
        warned = self.good("build", cwd=folder)
        needs = re.findall(r"image/bin/ls needs (\S+),", warned.stderr)
        if needs:
            self.assertIn("--autodep", warned.stderr)
        self.good("build", "--autodep", cwd=folder)
        self.assertNotIn("needs", self.good("build", "-f", cwd=folder).stderr)

    def test_bom_under_all_its_names(self):
        with open(os.path.join(self.folder, "bom.yaml"), "w") as file:
            file.write("includes: [base.yaml]\ntargets: [{target: /bin, copy: [{files: [/bin/cat]}]}]\n")
        dry = self.good("copy_bom", "-f", "bom.yaml", "--root", "dry", "--dry-run")
        self.assertIn("copy /bin/cat -> /bin/cat", dry.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "dry")))
        os.symlink(OCCLUM, os.path.join(self.folder, "copy_bom"))
        for root, program, verb in (("a", OCCLUM, ["copy_bom"]), ("b", OCCLUM, ["bom"]), ("c", os.path.join(self.folder, "copy_bom"), [])):
            self.good(*verb, "--file", "bom.yaml", "--root", root, program=program)
            self.assertTrue(os.path.exists(os.path.join(self.folder, root, "bin/cat")))
            self.assertTrue(os.path.exists(os.path.join(self.folder, root, "lib64/ld-linux-x86-64.so.2")))
        self.bad(1, "no-such.yaml", "bom", "-f", "no-such.yaml", "--root", "d")
        self.bad(2, "--root", "bom", "-f", "bom.yaml")

    def products(self, folder):
        return {name: sha256(os.path.join(folder, "build", name)) for name in ("image.bin", "enclave.bin", "image.json")}

    def add(self, folder, name, text="x"):
        with open(os.path.join(folder, "image", name), "w") as file:
            file.write(text)

    def test_a_build_that_fails_leaves_what_ran_before(self):
        folder = self.instance()
        self.good("build", cwd=folder)
        before = self.products(folder)
        subprocess.run(["openssl", "genrsa", "-out", os.path.join(self.folder, "wrong.pem"), "2048"], check=True, capture_output=True)
        self.add(folder, "etc/added")
        self.bad(1, "wrong.pem", "build", "--sign-key", "../wrong.pem", cwd=folder)
        with open(KERNEL, "rb") as kernel, open(os.path.join(self.folder, "cut.elf"), "wb") as cut:
            cut.write(kernel.read(os.path.getsize(KERNEL) // 4))
        self.bad(1, "", "build", cwd=folder, OCCLUM_KERNEL=os.path.join(self.folder, "cut.elf"))
        long_name = "n" * 255
        self.add(folder, "etc/" + long_name)
        self.bad(1, "longer than 254 bytes", "build", cwd=folder)
        os.remove(os.path.join(folder, "image/etc", long_name))
        self.assertEqual(self.products(folder), before)
        self.assertEqual(sorted(os.listdir(os.path.join(folder, "build"))), sorted(before))
        self.assertIn("changed since", self.good("status", cwd=folder).stdout)
        self.good("build", cwd=folder)
        self.assertNotEqual(self.products(folder), before)

    def test_a_build_that_is_killed_leaves_what_ran_before(self):
        folder = self.instance()
        self.good("build", cwd=folder)
        before = self.products(folder)
        for step in range(12):
            with subprocess.Popen([OCCLUM, "build", "-f"], cwd=folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
                try:
                    build.wait(timeout=0.02 * step)
                except subprocess.TimeoutExpired:
                    build.send_signal(signal.SIGKILL if step % 2 else signal.SIGINT)
            self.assertEqual(self.products(folder), before)  # the same input gives the same bytes, whole
        self.good("build", "-f", cwd=folder)
        self.assertEqual(self.products(folder), before)
        self.assertEqual(sorted(os.listdir(os.path.join(folder, "build"))), sorted(before))

    def test_leftovers_of_killed_commands_do_not_get_into_the_image(self):
        folder = self.instance()
        self.good("build", cwd=folder)
        before = self.products(folder)
        gone = subprocess.Popen(["true"])
        gone.wait()
        abandoned, in_use = f"etc/.occlum-{gone.pid}-3.tmp", f"etc/.occlum-{os.getpid()}-0.tmp"
        self.add(folder, abandoned)
        self.add(folder, in_use)
        self.good("build", "-f", cwd=folder)
        self.assertEqual(self.products(folder), before)
        self.assertFalse(os.path.exists(os.path.join(folder, "image", abandoned)))
        self.assertTrue(os.path.exists(os.path.join(folder, "image", in_use)))
        os.mkdir(os.path.join(self.folder, "half"))
        os.makedirs(os.path.join(self.folder, f"half/.occlum-{gone.pid}-0.tmp/bin"))
        self.good("new", "half")
        self.assertEqual(sorted(os.listdir(os.path.join(self.folder, "half"))), ["Occlum.json", "image", "run"])

    def limited(self, size, *arguments, **options):
        """Runs as on a disk with room for `size` bytes in a file."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return subprocess.run([OCCLUM, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, preexec_fn=limit,
                              restore_signals=False, **options)

    def test_nothing_is_left_of_what_does_not_fit(self):
        result = self.limited(100000, "new", "small")
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1), result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "small")))
        self.assertEqual(self.limited(0, "gen-image-key", "key").returncode, 1)
        self.assertEqual(os.listdir(self.folder), ["home"])
        self.good("gen-image-key", "key")

    def test_two_first_builds_at_once_have_one_signer(self):
        folders = [self.instance(name) for name in ("one", "two", "three")]
        builds = [subprocess.Popen([OCCLUM, "build"], cwd=folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                  for folder in folders]
        said = [build.communicate(timeout=120) for build in builds]
        self.assertEqual([build.returncode for build in builds], [0, 0, 0], said)
        self.assertEqual(len({re.search("MRSIGNER .*", out).group() for out, _ in said}), 1)
        self.assertEqual(sum("made a signing key" in err for _, err in said), 1)

    def test_output_that_nobody_takes(self):
        folder = self.instance()
        self.good("build", cwd=folder)
        script = f'cd {folder}; OCCLUM={OCCLUM}; '
        for command, code in (("$OCCLUM print mrenclave >/dev/full", 1), ("$OCCLUM help >/dev/full", 1), ("$OCCLUM print mrenclave >&-", 1),
                              ("$OCCLUM build -f 2>&- >/dev/null", 0), ("$OCCLUM build -f 2>/dev/full >/dev/null", 0),
                              ("$OCCLUM print mrenclave 2>/dev/full >/dev/full", 1)):
            with self.subTest(command=command):
                result = subprocess.run(["sh", "-c", script + command], env=self.env, capture_output=True, text=True, timeout=120)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertLessEqual(len(result.stderr.splitlines()), 1)

    def test_one_mistake_is_one_line_whatever_the_names(self):
        folder = self.instance()
        self.good("build", cwd=folder)
        self.assertEqual(len(self.bad(127, "/bin/a\\x0ab\\x1b[2J", "run", "/bin/a\nb\x1b[2J", cwd=folder).stderr.splitlines()), 1)
        path = os.path.join(folder, "Occlum.json")
        deep = 300000
        for text, part in (('{"a\\nb": 1, "a\\nb": 2}', "the key twice"), ("[" * deep, ""), ("[" * deep + "]" * deep, "nested at most 32 deep"),
                           ('{"a":' * deep + "1" + "}" * deep, "nested at most 32 deep")):
            with open(path, "w") as file:
                file.write(text)
            self.assertEqual(len(self.bad(1, part, "build", cwd=folder).stderr.splitlines()), 1)

    def test_bom_files_that_are_none(self):
        bom = os.path.join(self.folder, "b.yaml")
        for text, part in (("targets: []\ntargets: []\n", "each key once"), ('targets: [{target: "/a\\0b"}]\n', "expected a text"), ("[" * 100000, ""),
                           ("targets: &a [*a]\n", ""), ("targets:\n\t- x\n", "b.yaml: line 2")):
            with open(bom, "w") as file:
                file.write(text)
            self.assertEqual(len(self.bad(1, part, "bom", "-f", bom, "--root", "r").stderr.splitlines()), 1)
        os.mkfifo(os.path.join(self.folder, "fifo"))
        self.bad(1, "not a regular file", "bom", "-f", "fifo", "--root", "r")
        with open(bom, "w") as file:
            file.write("includes: [b.yaml]\ntargets: [{target: /bin, copy: [{files: [/bin/cat]}]}]\n")
        self.good("bom", "-f", bom, "--root", "r")
        # Links that lead back, and an image inside what is copied.
        os.makedirs(os.path.join(self.folder, "tree/sub"))
        os.symlink("..", os.path.join(self.folder, "tree/sub/up"))
        with open(bom, "w") as file:
            file.write("targets: [{target: /x, copy: [{dirs: [tree/sub]}]}]\n")
        self.assertEqual(len(self.bad(1, "leads back to", "bom", "-f", bom, "--root", "r").stderr.splitlines()), 1)
        os.remove(os.path.join(self.folder, "tree/sub/up"))
        self.bad(1, "is the image folder itself", "bom", "-f", bom, "--root", "tree/sub")
        with open(bom, "w") as file:
            file.write("excludes: [image]\ntargets: [{target: /x, copy: [{dirs: [tree/]}]}]\n")
        self.good("bom", "-f", bom, "--root", "tree/image")
        # A name as long as a name can be leaves no room for a longer temporary one.
        longest = "n" * 255
        with open(os.path.join(self.folder, longest), "w") as file:
            file.write("x")
        with open(bom, "w") as file:
            file.write("targets: [{target: /etc, copy: [{files: [" + os.path.join(self.folder, longest) + "]}]}]\n")
        self.good("bom", "-f", bom, "--root", "r")
        self.assertEqual(os.listdir(os.path.join(self.folder, "r/etc")), [longest])

    def build_as(self, name, umask, zone, reverse, user=None):
        """An instance filled and built under other circumstances; returns the hashes of its products."""
        folder = os.path.join(self.folder, name)
        script = f"""set -e; umask {umask}; export TZ={zone}
{OCCLUM} new {folder} 2>/dev/null; cd {folder}
for i in $(seq 1 60 {'| sort -rn' if reverse else ''}); do mkdir -p image/data/$((i % 5)); echo content $i > image/data/$((i % 5))/f$i; done
cp /bin/cat image/bin/cat; ln -s cat image/bin/kat
{OCCLUM} build --sign-key {self.folder}/key.pem 2>/dev/null >/dev/null"""
        os.makedirs(os.path.dirname(folder), mode=0o755, exist_ok=True)
        command = ["sh", "-c", script]
        if user is not None:
            os.chown(os.path.dirname(folder), user, user)
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        subprocess.run(command, env=self.env, check=True, timeout=120)
        return {file: sha256(os.path.join(folder, "build", file)) for file in ("image.bin", "enclave.bin", "image.json")}

    def test_builds_are_reproducible(self):
        subprocess.run(["openssl", "genrsa", "-3", "-out", os.path.join(self.folder, "key.pem"), "3072"], check=True, capture_output=True)
        os.chmod(os.path.join(self.folder, "key.pem"), 0o644)
        first = self.build_as("one/i", "022", "UTC", False)
        self.assertEqual(first, self.build_as("somewhere/else/i2", "077", "America/St_Johns", True))
        readable = os.access(OCCLUM, os.X_OK) and subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x", OCCLUM]).returncode == 0 if os.getuid() == 0 else False
        if readable:
            self.assertEqual(first, self.build_as("user/i3", "027", "Asia/Tokyo", True, user=65534))

    def test_completion_and_man_page_know_every_verb(self):
        verbs = re.findall(r"^  ([a-z_-]+)", self.good("--help").stdout.split("Subcommands:")[1], re.MULTILINE)
        with open(os.path.join(SOURCE, "cli/occlum-completion.bash")) as file:
            completion = file.read()
        words = set(re.search(r'verbs="([^"]*)"', completion).group(1).split())
        self.assertLessEqual(set(verbs), words)
        for verb in ("build", "run", "new"):
            script = f'source {SOURCE}/cli/occlum-completion.bash; COMP_WORDS=(occlum {verb[:2]}); COMP_CWORD=1; _occlum; echo "${{COMPREPLY[@]}}"'
            shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
            self.assertIn(verb, shown.split())
        with open(os.path.join(SOURCE, "docs/occlum.1")) as file:
            page = file.read().replace("\\-", "-")
        for verb in set(verbs) - set(LATER):
            self.assertIn(verb, page)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=1)
