#!/usr/bin/env python3
"""The independent script and the C++ code agree, and the script refuses damage: check_enclave_test.py SGX_MAKE_ENCLAVE"""
import os
import random
import struct
import subprocess
import sys
import tempfile

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'check_enclave.py')


def check(path):
    return subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True, check=False)


def agree(maker, variant, path):
    made = subprocess.run([maker, variant, path], capture_output=True, text=True, check=True).stdout.split()
    result = check(path)
    assert result.returncode == 0, f'{variant}: {result.stderr}'
    assert result.stdout.split() == ['mrenclave', made[0], 'mrsigner', made[1]], f'{variant}: {made} against {result.stdout}'
    return made


def refuses(path, good, at, part):
    with open(path, 'wb') as file:
        file.write(good[:at] + bytes([good[at] ^ 0x21]) + good[at + 1:])
    result = check(path)
    assert result.returncode == 1 and result.stderr, f'byte {at}: not refused'
    assert part in result.stderr, f'byte {at}: {result.stderr}'
    assert 'Traceback' not in result.stderr, result.stderr


def main():
    maker = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'enclave.bin')
        hashes = [agree(maker, variant, path)[0] for variant in ('kss', 'sgx1', 'debug', 'plain')]
        assert len(set(hashes)) == 4, 'the configuration is not in MRENCLAVE'
        with open(path, 'rb') as file:
            good = file.read()
        sigstruct = struct.unpack('<Q', good[48:56])[0]
        content = sigstruct + 4096
        for at, part in ((0, 'not an enclave file'), (sigstruct, 'HEADER'), (sigstruct + 30, 'HEADER2'), (sigstruct + 130, ''),
                         (sigstruct + 520, 'Q1'), (sigstruct + 944, 'mask'), (sigstruct + 965, 'ENCLAVEHASH'),
                         (sigstruct + 1024, 'openssl does not verify'), (sigstruct + 1100, 'Q1'), (sigstruct + 1500, 'Q2'),
                         (sigstruct + 2000, 'padding'), (content + 5, 'ENCLAVEHASH'), (len(good) - 1, '')):
            refuses(path, good, at, part)
        rng = random.Random(7)
        for _ in range(24):
            refuses(path, good, rng.randrange(len(good)), '')
        with open(path, 'wb') as file:
            file.write(good[:-4096])
        assert check(path).returncode == 1
    print('ok')
    return 0


if __name__ == '__main__':
    sys.exit(main())
