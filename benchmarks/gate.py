#!/usr/bin/env python3
"""The timing gate of CI: every figure that the issues ask for, each with slack, because CI's machines are small and shared.

  benchmarks/gate.py [--build build] [--slack 1.5] [NAME...]

Each figure is the best of many short batches over the rounds, natively and inside alike: other work on the machine makes batches slower,
never quicker, so the best ones say what the code can do. Rows that miss are measured again up to twice, with more rounds, and all their
batches count. That forgives noise, not slow code. Exit code 1 if any still misses.
"""
import argparse
import os
import sys
import time

import bench as kit

NAMES = ["getpid", "getppid", "gettid", "umask", "clock_gettime", "read_zero", "stat", "open_close", "epoll_ready", "mmap_touch_1m",
         "cpu_1m_steps", "signal_self", "futex_pingpong", "thread_create_join", "pipe_pingpong", "unix_pingpong", "tcp_pingpong", "pipe_bw_64", "pipe_bw_4k",
         "pipe_bw_64k", "unix_bw_64k", "tcp_bw_64k", "spawn", "spawn_pad14", "fork", "fork_2m", "boot"]
OWN_SLACK = {"cpu_1m_steps": 1.08}  # a loop without system calls has little reason to differ
RETRIES = [(3, 20), (5, 40)]        # rounds and boots of each further try
BUDGET = 80                         # seconds: no further try after that


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(kit.TOP, "build"))
    ap.add_argument("--slack", type=float, default=1.5)
    ap.add_argument("names", nargs="*")
    opt = ap.parse_args()
    names = opt.names or NAMES
    start = time.monotonic()
    bench = kit.Bench(opt.build, "fast", best=True)
    bench.prepare()
    figures = kit.measure(bench, names, 2, 60, 10)

    def missed_rows():
        rows = {n for n in names if not kit.row(n, *figures[n], OWN_SLACK.get(n, opt.slack), best=True)[1]}
        for cells, met in kit.pair_rows(figures, opt.slack, best=True):
            if not met:
                rows.update(cells[0].split(" / "))
        return [n for n in names if n in rows]

    for rounds, boots in RETRIES:
        again = missed_rows()
        if not again or time.monotonic() - start > BUDGET:
            break
        for n, (native, inside) in kit.measure(bench, again, rounds, 60, boots).items():
            figures[n] = (figures[n][0] + native, figures[n][1] + inside)
    rows = [kit.row(n, *figures[n], OWN_SLACK.get(n, opt.slack), best=True) for n in names] + kit.pair_rows(figures, opt.slack, best=True)
    kit.print_table([cells for cells, _ in rows])
    missed = [cells[0] for cells, met in rows if not met]
    print("gate (slack %g, load average %.1f, %.0f s): %d rows, %d missed%s" %
          (opt.slack, os.getloadavg()[0], time.monotonic() - start, len(rows), len(missed), ": " + ", ".join(missed) if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
