#!/usr/bin/env python3
"""tools/check_headers.py finds its seeded mistakes and accepts what is right.   test_headers.py BUILD"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = os.path.join(HERE, "..", "..", "tools", "check_headers.py")
FILES = {
    "kernel/good.h": "#ifndef A\n#define A\n#include <cstdint>\nstd::uint32_t good();\n#endif\n",
    "kernel/good.cc": '#include "kernel/good.h"\nstd::uint32_t good() { return 1; }\n',
    "host/alone.h": "#ifndef C\n#define C\n#include <string>\nstd::string alone();\n#endif\n",
    "kernel/needs.h": "#ifndef B\n#define B\nstd::uint32_t needs();\n#endif\n",  # relies on what its user includes
    "host/late.h": "#ifndef D\n#define D\nint late();\n#endif\n",
    "host/late.cc": '#include <string>\n\n#include "host/late.h"\nint late() { return 1; }\n',
}
with tempfile.TemporaryDirectory() as root:
    for path, text in FILES.items():
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(root, path), "w") as file:
            file.write(text)
    p = subprocess.run([CHECK, "--build", sys.argv[1], "--root", root], capture_output=True, text=True)
    found = sorted(line.split(":")[0] for line in p.stdout.splitlines())
    if p.returncode != 1 or found != ["host/late.cc", "kernel/needs.h"]:
        sys.exit("found %s, exit code %d\n%s%s" % (found, p.returncode, p.stdout, p.stderr))
print("2 seeded mistakes caught, the clean headers accepted")
