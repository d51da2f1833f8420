#!/bin/sh
# Installs what is missing, builds, and runs every test in its short form. The last lines are ctest's summary; the exit code is
# not 0 if anything failed. Arguments go to ctest: ./test.sh -R name
set -eu
cd "$(dirname -- "$0")"
tools/install-packages.sh build test
make configure all
exec ctest --test-dir "${BUILD:-build}" -j 2 --output-on-failure --no-tests=error -LE long "$@" </dev/null
