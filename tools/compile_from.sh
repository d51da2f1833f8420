#!/bin/sh
# compile_from.sh SOURCE_DIR LINK COMMAND...: runs a compiler whose last argument is the file, with the file named through LINK, a link
# to the source folder in the build folder that is the working folder.
# Bitcode holds the file's name as it was given, and the linker's optimiser orders functions by a hash of it: with an absolute
# name the kernel would depend on where the tree lies (-ffile-prefix-map does not reach that name).
set -eu
source_dir=$1 link=$2
shift 2
last=
for argument; do last=$argument; done
count=$#
while [ "$count" -gt 1 ]; do
  set -- "$@" "$1"
  shift
  count=$((count - 1))
done
shift
exec "$@" "$link/${last#"$source_dir"/}"
