#!/usr/bin/env python3
"""Checks an enclave file without any code of the project: check_enclave.py FILE

Written from docs/enclave-file.md and the Intel SDM (volume 3D: "MRENCLAVE", "SIGSTRUCT", "EINIT", "TCS"). Computes MRENCLAVE by
replaying the load plan, checks the SIGSTRUCT's fields and helper numbers, and has the `openssl` command verify the signature.
Prints `mrenclave HEX` and `mrsigner HEX`; on a mismatch prints what it is and exits with 1. Standard library only.
"""
import hashlib
import os
import struct
import subprocess
import sys
import tempfile

PAGE = 4096
TYPE_TCS, TYPE_REG = 1, 2


class Mismatch(Exception):
    """Something in the file is not as documented."""


def expect(condition, what):
    if not condition:
        raise Mismatch(what)


class Region:
    """One entry of the load plan."""

    def __init__(self, raw, data, index):
        self.address, self.size, self.secinfo, flags, reserved, self.file_offset = struct.unpack('<QQQIIQ', raw)
        where = f'region {index} at {self.address:#x}'
        expect(self.size > 0 and self.size % PAGE == 0 and self.address % PAGE == 0, f'{where}: not whole pages')
        expect(flags in (0, 1, 3) and reserved == 0, f'{where}: bad flags {flags}')
        self.measured = bool(flags & 1)
        self.has_content = bool(flags & 2)
        self.type = self.secinfo >> 8
        self.permissions = self.secinfo & 0xff
        expect(self.type in (TYPE_TCS, TYPE_REG), f'{where}: page type {self.type}')
        expect(self.permissions in ((0,) if self.type == TYPE_TCS else (1, 3, 5, 7)), f'{where}: permissions {self.permissions}')
        if self.has_content:
            expect(self.file_offset + self.size <= len(data), f'{where}: content outside the file')
            self.content = data[self.file_offset:self.file_offset + self.size]
        else:
            expect(self.file_offset == 0, f'{where}: file offset without content')
            self.content = None

    def page(self, at):
        return self.content[at:at + PAGE] if self.has_content else bytes(PAGE)


class EnclaveFile:
    """The parsed file: fields of the header, regions, raw SIGSTRUCT."""

    def __init__(self, data):
        expect(len(data) >= 128 and data[:8] == b'OCCLENC1', 'not an enclave file')
        (version, header_size, file_size, self.elrange, self.ssa_pages, count, plan, sigstruct,
         self.layout_address) = struct.unpack('<IIQQIIQQQ', data[8:64])
        expect(version == 1 and header_size == 128 and plan == 128, 'header: version or size')
        expect(file_size == len(data) and file_size % PAGE == 0, 'header: file size')
        expect(not any(data[64:128]), 'header: reserved bytes')
        expect(self.elrange & (self.elrange - 1) == 0 and 1 << 36 <= self.elrange <= 1 << 46, 'header: size of ELRANGE')
        expect(1 <= self.ssa_pages <= 4, 'header: SSA frame pages')
        plan_end = plan + 40 * count
        expect(1 <= count <= 4096 and sigstruct == (plan_end + PAGE - 1) // PAGE * PAGE, 'header: place of the SIGSTRUCT')
        expect(sigstruct + PAGE <= len(data), 'header: SIGSTRUCT outside the file')
        expect(not any(data[plan_end:sigstruct]), 'padding behind the load plan')
        expect(not any(data[sigstruct + 1808:sigstruct + PAGE]), 'padding behind the SIGSTRUCT')
        self.sigstruct = data[sigstruct:sigstruct + 1808]
        self.regions = [Region(data[plan + 40 * i:plan + 40 * (i + 1)], data, i) for i in range(count)]
        self.check_places(sigstruct + PAGE, len(data))

    def check_places(self, content_at, file_end):
        for region in self.regions:
            expect(region.address >= 0x10000 and region.address + region.size <= self.elrange,
                   f'region at {region.address:#x}: outside ELRANGE')
            if region.has_content:
                expect(region.file_offset == content_at, f'region at {region.address:#x}: place of its content')
                content_at += region.size
        expect(content_at == file_end, 'bytes behind the last content')
        ranges = sorted((r.address, r.address + r.size) for r in self.regions)
        for (_, end), (start, _) in zip(ranges, ranges[1:]):
            expect(end <= start, f'regions overlap at {start:#x}')

    def mrenclave(self):
        digest = hashlib.sha256(struct.pack('<8sIQ44x', b'ECREATE\0', self.ssa_pages, self.elrange))
        for region in self.regions:
            for at in range(0, region.size, PAGE):
                address = region.address + at
                digest.update(struct.pack('<8sQQ40x', b'EADD', address, region.secinfo))
                if not region.measured:
                    continue
                page = region.page(at)
                for chunk in range(0, PAGE, 256):
                    digest.update(struct.pack('<8sQ48x', b'EEXTEND', address + chunk))
                    digest.update(page[chunk:chunk + 256])
        return digest.digest()

    def permissions_at(self, address):
        for region in self.regions:
            if region.address <= address < region.address + region.size:
                return region.permissions if region.type == TYPE_REG else None
        return None


def check_tcs(enclave):
    """Each TCS is one that EADD takes and EENTER can use."""
    found = [r for r in enclave.regions if r.type == TYPE_TCS]
    expect(found, 'no TCS')
    for region in found:
        for at in range(0, region.size, PAGE):
            where = f'TCS at {region.address + at:#x}'
            page = region.page(at)
            state, flags, ossa, cssa, nssa, entry, aep, fs_base, gs_base, fs_limit, gs_limit = struct.unpack('<QQQIIQQQQII', page[:72])
            expect(region.measured, f'{where}: not measured')
            expect((state, flags, cssa, aep) == (0, 0, 0, 0) and not any(page[72:]), f'{where}: reserved or state fields')
            expect(nssa >= 2, f'{where}: NSSA {nssa}')
            expect(fs_limit & 0xfff == 0xfff and gs_limit & 0xfff == 0xfff, f'{where}: segment limits')
            expect(enclave.permissions_at(entry) == 5, f'{where}: OENTRY is not in executable pages')
            for frame in range(ossa, ossa + nssa * enclave.ssa_pages * PAGE, PAGE):
                expect(ossa % PAGE == 0 and enclave.permissions_at(frame) == 3, f'{where}: SSA page {frame:#x}')
            for base in (fs_base, gs_base):
                expect(base % PAGE == 0 and enclave.permissions_at(base) == 3, f'{where}: FS or GS base {base:#x}')


def number(raw):
    return int.from_bytes(raw, 'little')


def check_sigstruct_fields(sig, mrenclave, ssa_pages):
    expect(sig[0:16] == bytes.fromhex('06000000e10000000000010000000000'), 'SIGSTRUCT: HEADER')
    expect(sig[24:40] == bytes.fromhex('01010000600000006000000001000000'), 'SIGSTRUCT: HEADER2')
    vendor, date = struct.unpack('<II', sig[16:24])
    expect(vendor in (0, 0x8086), f'SIGSTRUCT: VENDOR {vendor:#x}')
    text = f'{date:08x}'
    expect(text.isdigit() and 1 <= int(text[4:6]) <= 12 and 1 <= int(text[6:8]) <= 31, f'SIGSTRUCT: DATE {text}')
    for start, end in ((44, 128), (908, 912), (992, 1008), (1028, 1040)):
        expect(not any(sig[start:end]), f'SIGSTRUCT: reserved bytes {start}..{end}')
    expect(number(sig[512:516]) == 3, 'SIGSTRUCT: EXPONENT')
    miscselect, miscmask = struct.unpack('<II', sig[900:908])
    expect(miscselect == 1 and miscmask == 0xffffffff, 'SIGSTRUCT: MISCSELECT does not pin EXINFO')
    flags, xfrm, flags_mask, xfrm_mask = struct.unpack('<QQQQ', sig[928:960])
    debug, mode64, provision, kss = 2, 4, 0x10, 0x80
    expect(flags & mode64 and not flags & ~(debug | mode64 | provision | kss), f'SIGSTRUCT: ATTRIBUTES {flags:#x}')
    expect(flags_mask == (1 << 64) - 1, f'SIGSTRUCT: the mask of ATTRIBUTES leaves bits open: {flags_mask:#x}')
    optional = 0x4 | 0xe0 | 0x200 | (0x60000 if ssa_pages >= 4 else 0)
    expect(xfrm == 3 and xfrm_mask | optional == (1 << 64) - 1 and xfrm_mask & 3 == 3, f'SIGSTRUCT: XFRM {xfrm:#x}/{xfrm_mask:#x}')
    expect(flags & kss or not (any(sig[912:928]) or any(sig[1008:1024])), 'SIGSTRUCT: family ids without KSS')
    expect(sig[960:992] == mrenclave, f'SIGSTRUCT: ENCLAVEHASH is {sig[960:992].hex()}, the pages give {mrenclave.hex()}')


def der(tag, content):
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    raw = length.to_bytes((length.bit_length() + 7) // 8, 'big')
    return bytes([tag, 0x80 | len(raw)]) + raw + content


def der_integer(value):
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, 'big'))


def public_key_der(modulus, exponent):
    """SubjectPublicKeyInfo of an RSA key."""
    algorithm = der(0x30, bytes.fromhex('06092a864886f70d010101') + bytes.fromhex('0500'))
    return der(0x30, algorithm + der(3, b'\0' + der(0x30, der_integer(modulus) + der_integer(exponent))))


def check_signature(sig):
    modulus, signature = number(sig[128:512]), number(sig[516:900])
    q1, q2 = number(sig[1040:1424]), number(sig[1424:1808])
    expect(modulus.bit_length() == 3072, 'SIGSTRUCT: the modulus has not 3072 bits')
    expect(signature < modulus, 'SIGSTRUCT: the signature is not below the modulus')
    expect(q1 == signature ** 2 // modulus, 'SIGSTRUCT: Q1')
    expect(q2 == (signature ** 3 - q1 * signature * modulus) // modulus, 'SIGSTRUCT: Q2')
    with tempfile.TemporaryDirectory() as folder:
        key, value, message = (os.path.join(folder, name) for name in ('key.der', 'signature', 'message'))
        for path, content in ((key, public_key_der(modulus, 3)), (value, signature.to_bytes(384, 'big')),
                              (message, sig[0:128] + sig[900:1028])):
            with open(path, 'wb') as out:
                out.write(content)
        run = subprocess.run(['openssl', 'dgst', '-sha256', '-verify', key, '-keyform', 'DER', '-signature', value, message],
                             capture_output=True, text=True, check=False)
        expect(run.returncode == 0 and 'Verified OK' in run.stdout, 'SIGSTRUCT: openssl does not verify the signature')


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(sys.argv[1], 'rb') as file:
            enclave = EnclaveFile(file.read())
        mrenclave = enclave.mrenclave()
        check_tcs(enclave)
        check_sigstruct_fields(enclave.sigstruct, mrenclave, enclave.ssa_pages)
        check_signature(enclave.sigstruct)
    except (Mismatch, OSError, struct.error) as error:
        print(f'{sys.argv[1]}: {error}', file=sys.stderr)
        return 1
    print('mrenclave', mrenclave.hex())
    print('mrsigner', hashlib.sha256(enclave.sigstruct[128:512]).hexdigest())
    return 0


if __name__ == '__main__':
    sys.exit(main())
