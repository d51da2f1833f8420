#!/bin/sh
# Builds Occlum, makes an instance in a temporary folder, and runs ordinary Debian programs inside the enclave.
set -eu
cd "$(dirname -- "$0")"
top=$(pwd)
tools/install-packages.sh build demo
make product

work=$(mktemp -d "${TMPDIR:-/tmp}/occlum-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
occlum() { "$top/${BUILD:-build}/cli/occlum" "$@"; }
run() { # shows the command as a user would type it, then its output
  printf '\n$ occlum run'; printf ' %s' "$@"; printf '\n'
  occlum run "$@"
}

printf '$ occlum new hello\n'
occlum new "$work/hello"
cd "$work/hello"
printf '\n$ occlum copy_bom -f debian-programs.yaml --root image\n'
occlum copy_bom -f "$top/demos/debian-programs.yaml" --root image
mkdir -p image/data
printf 'Every byte of this file was checked against the hash that the enclave was measured with.\n' >image/data/note.txt
# The host may start what lies under these folders; a new instance allows /bin alone.
sed -i 's#"/bin"#"/bin", "/usr/bin"#' Occlum.json
printf '\n$ occlum build\n'
occlum build

run /bin/ls -l /data
run /bin/cat /data/note.txt
run /usr/bin/sha256sum /data/note.txt
run /bin/busybox uname -a
run /usr/bin/perl -e 'print join(" ", map { $_ * $_ } 1..10), "\n"'
run /usr/bin/sqlite3 :memory: 'select "sqlite " || sqlite_version(), sum(value) from generate_series(1, 100)'
run /usr/bin/python3 -c 'import hashlib, json, platform, threading
seen = []
threads = [threading.Thread(target=seen.append, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps({"python": platform.python_version(), "threads": sorted(seen), "sha256": hashlib.sha256(b"enclave").hexdigest()[:16]}))'
run /bin/bash -c 'seq 1 1000 | grep 7 | wc -l
for i in 1 2 3; do (echo "process $i has read $(cat /data/note.txt | wc -c) bytes") & done; wait'
printf '\nThe enclave that ran these: '
occlum print mrenclave
