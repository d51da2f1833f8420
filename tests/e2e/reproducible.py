#!/usr/bin/env python3
"""The same source gives the same bytes in another folder, for another user, umask and time zone: a sample of the kernel's files is compiled
again from a copy and compared with what the build's own flags give here, and the kernel is linked again in the other folder, without
the cache of the linker's optimiser. (Images: tests/cli, test_builds_are_reproducible.)

usage: reproducible.py BUILD SOURCE_DIR
"""
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE = (os.path.abspath(argument) for argument in sys.argv[1:3])
SAMPLE = ["kernel/frame/gate.S", "kernel/frame/runtime.cc", "kernel/init/main.cc", "kernel/sync/lock.cc", "kernel/task/elf.cc"]
FOLDERS = ["abi", "sgx", "host_abi", "kernel"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def compile_from(command, source, build, output, umask, env):
    arguments = [a.replace(BUILD, "@BUILD@").replace(SOURCE, source).replace("@BUILD@", build) for a in shlex.split(command)]
    if "ccache" in os.path.basename(arguments[0]):
        arguments = arguments[1:]
    arguments[arguments.index("-o") + 1] = output
    if "-flto=thin" in arguments:  # compile_commands.json does not know of this launcher (kernel/lto.cmake)
        arguments = [os.path.join(SOURCE, "tools", "compile_from.sh"), source, "src"] + arguments
    subprocess.run(arguments, cwd=build, check=True, umask=umask, env=dict(os.environ, CCACHE_DISABLE="1", **env))
    return sha256(output)


def link_there(build):
    """The kernel linked in the folder `build` from a copy of this build's objects."""
    kernel = os.path.join("kernel", "occlum-kernel.elf")
    command = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", "-s", kernel], capture_output=True, text=True, check=True).stdout
    arguments = [a.replace(BUILD, build) for a in shlex.split(command.split("&&")[1]) if "--thinlto-cache" not in a]
    objects = [a for a in arguments if a.endswith(".o")]
    for name in objects:
        os.makedirs(os.path.dirname(os.path.join(build, name)), exist_ok=True)
        shutil.copyfile(os.path.join(BUILD, name), os.path.join(build, name))
    subprocess.run(arguments, cwd=build, check=True, umask=0o077, env=dict(os.environ, TZ="Asia/Tokyo", USER="somebody"))
    return os.path.join(build, kernel)


def main():
    with open(os.path.join(BUILD, "compile_commands.json")) as f:
        commands = {os.path.relpath(entry["file"], SOURCE): entry["command"] for entry in json.load(f)
                    if os.path.relpath(entry["file"], SOURCE) in SAMPLE and "OCCLUM_KERNEL=1" in entry["command"]}
    if sorted(commands) != sorted(SAMPLE):
        sys.exit("not in compile_commands.json: %s" % sorted(set(SAMPLE) - set(commands)))
    bad = 0
    with tempfile.TemporaryDirectory(prefix="occlum other place ") as folder:
        os.chmod(folder, 0o755)
        other = os.path.join(folder, "deeper", "copy")
        for name in FOLDERS:
            shutil.copytree(os.path.join(SOURCE, name), os.path.join(other, name))
        build = os.path.join(other, os.path.basename(BUILD))
        os.mkdir(build)
        os.symlink(other, os.path.join(build, "src"))
        for path, command in sorted(commands.items()):
            here = compile_from(command, SOURCE, BUILD, os.path.join(folder, "here.o"), 0o022, {"TZ": "UTC"})
            there = compile_from(command, other, build, os.path.join(folder, "there.o"), 0o077, {"TZ": "Asia/Tokyo", "USER": "somebody", "HOME": folder})
            print("%s %s" % ("same     " if here == there else "DIFFERENT", path))
            bad += here != there
        same = sha256(os.path.join(BUILD, "kernel", "occlum-kernel.elf")) == sha256(link_there(build))
        print("%s occlum-kernel.elf" % ("same     " if same else "DIFFERENT"))
        bad += not same
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
