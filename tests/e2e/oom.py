#!/usr/bin/env python3
"""An instance with little memory, in which oom.c uses all of it: who is killed, what the log says, that the rest goes on.

usage: oom.py BUILD [fast|strict]
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv[1])
MODE = sys.argv[2] if len(sys.argv) > 2 else "fast"
OCCLUM = os.path.join(BUILD, "cli", "occlum")
HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 120  # seconds that nothing here should need


class OomTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="occlum-oom-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.env = {"PATH": os.environ["PATH"], "HOME": cls.folder, "OCCLUM_EMULATOR": MODE}
        cls.instance = os.path.join(cls.folder, "instance")
        subprocess.run([OCCLUM, "new", cls.instance], env=cls.env, check=True, capture_output=True)
        path = os.path.join(cls.instance, "Occlum.json")
        with open(path) as f:
            settings = json.load(f)
        settings["resource_limits"].update(user_space_size="64MB", user_space_max_size="224MB", kernel_space_heap_size="16MB",
                                           kernel_space_heap_max_size="96MB")
        with open(path, "w") as f:
            json.dump(settings, f)
        subprocess.run(["/usr/bin/gcc", "-O1", "-Wall", "-static-pie", "-o", os.path.join(cls.instance, "image", "bin", "oom"),
                        os.path.join(HERE, "oom.c")], check=True)
        subprocess.run([OCCLUM, "build"], cwd=cls.instance, env=cls.env, check=True, capture_output=True)

    def run_oom(self, what):
        done = subprocess.run([OCCLUM, "run", "/bin/oom", what], cwd=self.instance, env=self.env, timeout=LIMIT, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        kills = re.findall(r"Out of memory: Killed process \d+ \((\w+)\) total-vm:\d+kB, anon-rss:\d+kB, file-rss:\d+kB, shmem-rss:\d+kB, "
                           r"UID:\d+ pgtables:\d+kB oom_score_adj:(-?\d+)", done.stderr)
        self.assertTrue(all(name == "oom" for name, _ in kills), done.stderr)
        return done.stdout, [int(adjust) for _, adjust in kills], done.stderr

    def test_the_worst_process_goes_first(self):
        out, kills, log = self.run_oom("pages")
        self.assertEqual(out, "scores: 1 1\nnever: 0\nadjusted by 1000: killed\nadjusted by 500: killed\nthe one that grows: killed\nothers: 1 1\n"
                              "large: killed\nnever: killed\nstill here\n", log)
        self.assertEqual(kills, [1000, 500, 100], log)
        self.assertIn("invoked oom-killer", log)
        self.assertIn("user_space_max_size", log)

    def test_pages_that_are_set_aside(self):
        out, kills, log = self.run_oom("aside")
        self.assertEqual(out, "children: some right, wrong 0, all accounted for 1\nstill here\n", log)
        self.assertTrue(kills and all(adjust == 900 for adjust in kills), log)

    def test_a_copy_into_memory_that_cannot_be_had(self):
        out, kills, log = self.run_oom("copy")
        self.assertEqual(out, "reads until there is no memory: killed\nstill here\n", log)
        self.assertEqual(kills, [1000], log)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
