"""Runs one module of CPython's own tests and reports every test in a line of its own; runs natively and inside the enclave alike.

  driver.py MODULE [--from N] [--match PATTERN|PATTERN...]

Each test gives two lines on standard output: `@@ start NUMBER NAME` and `@@ end NUMBER SECONDS RESULT REASON`. A test that takes the
process down or hangs has a first line only: the caller goes on behind it with --from. As with `python3 -m test` no extra resources
(-u) are enabled, the working folder is fresh, and the caches of the standard library are as regrtest leaves them.
"""
import argparse
import fnmatch
import importlib
import os
import sys
import time
import unittest

report = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
PID = os.getpid()


def say(*words):
    if os.getpid() == PID:  # a child that falls out of its test must not speak for the parent
        report.write("\n@@ " + " ".join(str(w).replace("\n", "\\n") for w in words) + "\n")


class Result(unittest.TestResult):
    """Reports each test as it begins and ends."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers, self.number, self.verdict, self.began = numbers, None, None, 0.0

    def startTest(self, test):
        super().startTest(test)
        self.number, self.verdict, self.began = self.numbers[id(test)], ("pass", ""), time.monotonic()
        say("start", self.number, test.id())

    def stopTest(self, test):
        super().stopTest(test)
        say("end", self.number, "%.2f" % (time.monotonic() - self.began), *self.verdict)
        self.verdict = None

    def note(self, test, verdict, reason):
        if self.verdict is None:  # setUpClass, setUpModule: outside of any test
            say("fixture", test.id(), verdict, reason)
        elif self.verdict[0] != "fail":
            self.verdict = (verdict, reason)

    def problem(self, test, err):
        self.note(test, "fail", "%s: %s" % (err[0].__name__, str(err[1])[:2000]))
        text = self._exc_info_to_string(err, test)
        sys.stderr.write("FAIL %s\n%s\n" % (test.id(), text))
        sys.stderr.flush()

    def addError(self, test, err):
        super().addError(test, err)
        self.problem(test, err)

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            skipped = issubclass(err[0], unittest.SkipTest)
            self.note(test, "skip", str(err[1])) if skipped else self.problem(subtest, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skip", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.note(test, "pass", "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "fail", "unexpected success")


def flat(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from flat(t)
        else:
            yield t


class Run:
    """Stands in for test.support._run_suite: numbers the tests in their order, and runs those that are asked for."""

    def __init__(self, first, pattern):
        self.first, self.pattern, self.seen = first, pattern, 0

    def __call__(self, suite):
        wanted, numbers = [], {}
        for t in flat(suite):
            if self.seen >= self.first and any(fnmatch.fnmatchcase(t.id(), "*" + p + "*") for p in self.pattern.split("|")):
                wanted.append(t)
                numbers[id(t)] = self.seen
            self.seen += 1
        unittest.TestSuite(wanted).run(Result(numbers))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("module")
    ap.add_argument("--from", type=int, default=0, dest="first")
    ap.add_argument("--match", default="")
    opt = ap.parse_args()
    from test import support
    from test.support import os_helper
    support.use_resources = []
    support.verbose = True
    sys.argv = [sys.argv[0]]
    with os_helper.temp_cwd("test_python_%d" % os.getpid(), quiet=True):
        support._run_suite = Run(opt.first, opt.match)
        module = importlib.import_module(opt.module)
        try:
            if hasattr(module, "test_main"):
                module.test_main()
            else:
                support.run_unittest(unittest.defaultTestLoader.loadTestsFromModule(module))
        finally:
            support.reap_children()
    say("done", support._run_suite.seen)


def guarded():
    try:
        main()
    except unittest.SkipTest as e:
        say("module-skip", e)
    except BaseException as e:
        say("module-fail", "%s: %s" % (type(e).__name__, e))
        raise


if __name__ == "__main__":
    guarded()
