#!/bin/sh
# `make bench`: benchmarks/bench.sh BUILD [arguments of bench.py]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
build=${1:-build}
[ $# -eq 0 ] || shift
exec "$here/bench.py" --build "$build" "$@"
