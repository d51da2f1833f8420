"""Who may include whom (docs/architecture.md has the picture).

The kernel's folders form layers; a folder includes itself and lower layers. The measured kernel includes nothing of the untrusted
parts, these nothing of the kernel but base/. What the host shares (host_abi/) is read in kernel/host and kernel/frame alone; the
headers of measured, hence trusted, data are open to boot, memory and the image file system too.
"""
import re

RULE = "layers"
LAYERS = [{"abi", "sgx", "host_abi"}, {"base"}, {"frame"}, {"asan"}, {"sync"}, {"host"}, {"crypto"}, {"mm"}, {"task"}, {"vfs"},
          {"fs", "net", "attest"}, {"syscall"}, {"init"}]
RANK = {name: i for i, layer in enumerate(LAYERS) for name in layer}
DATA = {"abi", "sgx", "host_abi"}
OUTSIDE = ["host", "emulator", "image", "cli", "sdk"]
HOST_ABI_READERS = {"host", "frame", "asan"}
MEASURED = {"host_abi/enclave_config.h", "host_abi/kernel_layout.h", "host_abi/patch_table.h"}
MEASURED_READERS = ("kernel/init/", "kernel/mm/", "kernel/fs/image/")
GENERATED = {"kernel_vdso/vdso_image.inc"}  # in the build folder
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def includes(source):
    for i, line in enumerate(source.code_with_strings):
        m = INCLUDE.match(line)
        if m:
            yield i, m.group(1)


def kernel_problem(path, included):
    parts, target = path.split("/"), included.split("/")
    own = parts[1] if len(parts) > 2 else "init"
    top = target[0]
    if top in OUTSIDE:
        return "kernel code includes the untrusted %s/" % top
    if top == "host_abi":
        # init/ speaks the entry protocol: it answers the first EENTER.
        if own in HOST_ABI_READERS or path.startswith("kernel/init/") or (included in MEASURED and path.startswith(MEASURED_READERS)):
            return None
        return "host_abi/ is for kernel/host and kernel/frame (measured headers: also init, mm, fs/image)"
    if top in DATA or included in GENERATED:
        return None
    if top != "kernel":
        return "write the path from the root of the repository"
    name = target[1] if len(target) > 2 else "init"
    if name not in RANK:
        return "kernel/%s is not in the list of layers (tools/checkers/layers.py, docs/architecture.md)" % name
    if own not in RANK:
        return "kernel/%s is not in the list of layers (tools/checkers/layers.py, docs/architecture.md)" % own
    if name == own or RANK[name] < RANK[own]:
        return None
    return "kernel/%s may not include kernel/%s: it stands %s" % (own, name, "beside" if RANK[name] == RANK[own] else "higher")


def check(tree):
    for source in tree.sources("kernel"):
        for i, included in includes(source):
            problem = kernel_problem(source.path, included)
            if problem:
                yield source.finding(i, RULE, '"%s": %s' % (included, problem))
    for folder in sorted(DATA):
        for source in tree.sources(folder):
            for i, included in includes(source):
                if included.split("/")[0] not in DATA:
                    yield source.finding(i, RULE, '"%s": %s/ holds layouts and stands below everything' % (included, folder))
    for folder in OUTSIDE:
        for source in tree.sources(folder):
            for i, included in includes(source):
                if included.startswith("kernel/") and not included.startswith("kernel/base/"):
                    yield source.finding(i, RULE, '"%s": of the kernel, only base/ is for others' % included)
