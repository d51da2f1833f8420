#!/bin/sh
# All style checks on a built tree: tools/check.sh [BUILD]. Each check prints its findings and one line; the last line counts them.
set -u
cd "$(dirname -- "$0")/.." || exit 1
build=${1:-build}
passed=0
failed=0
check() { # name, command...
  name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok    $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $name"
  fi
}
syscalls_doc_is_fresh() { tools/gen_syscalls_doc.py --check; }

for rule in $(tools/check.py --list); do
  check "$rule" tools/check.py --rule "$rule"
done
check kernel-elf tools/check_kernel_elf.py "$build/kernel/occlum-kernel.elf"
check self-contained-headers tools/check_headers.py --build "$build"
check syscalls-doc syscalls_doc_is_fresh
check shell-syntax sh -c 'for f in *.sh tools/*.sh benchmarks/*.sh .ci/run; do sh -n "$f" || exit 1; done'
check python-syntax python3 -c 'import ast, glob
for f in glob.glob("**/*.py", recursive=True):
    if not f.startswith("build"): ast.parse(open(f).read(), f)'
check clang-tidy tools/run-tidy.py --build "$build" --jobs "$(nproc)"
echo "checks: $passed passed, $failed failed"
[ "$failed" = 0 ]
