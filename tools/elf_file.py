"""An ELF64 file, as much of it as the post-link check needs. Standard library only."""
import collections
import struct

Segment = collections.namedtuple("Segment", "kind flags offset vaddr filesz memsz")
Section = collections.namedtuple("Section", "name kind flags addr offset size link entsize")
Symbol = collections.namedtuple("Symbol", "name info other shndx value size")

PT_LOAD, PT_DYNAMIC, PT_GNU_STACK = 1, 2, 0x6474e551
PF_X, PF_W = 1, 2
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHT_SYMTAB, SHT_RELA, SHT_DYNSYM = 2, 4, 11
DT_NEEDED, DT_TEXTREL, DT_FLAGS, DF_TEXTREL = 1, 22, 30, 4
R_X86_64_RELATIVE = 8


class ElfFile:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("%s is not a little-endian ELF64 file" % path)
        self.kind, = struct.unpack_from("<H", self.data, 16)
        phoff, shoff = struct.unpack_from("<QQ", self.data, 32)
        phentsize, phnum, shentsize, shnum, shstrndx = struct.unpack_from("<HHHHH", self.data, 54)
        self.segments = []
        for i in range(phnum):
            kind, flags, offset, vaddr, _, filesz, memsz = struct.unpack_from("<IIQQQQQ", self.data, phoff + i * phentsize)
            self.segments.append(Segment(kind, flags, offset, vaddr, filesz, memsz))
        raw = [struct.unpack_from("<IIQQQQIIQQ", self.data, shoff + i * shentsize) for i in range(shnum)]
        names = raw[shstrndx][4] if shnum else 0
        self.sections = [Section(self.text(names + r[0]), r[1], r[2], r[3], r[4], r[5], r[6], r[9]) for r in raw]

    def text(self, at):
        return self.data[at:self.data.index(b"\0", at)].decode(errors="replace")

    def symbols(self, kind):
        for table in self.sections:
            if table.kind != kind:
                continue
            strings = self.sections[table.link].offset
            for off in range(table.offset + 24, table.offset + table.size, 24):  # the first entry is the null symbol
                name, info, other, shndx, value, size = struct.unpack_from("<IBBHQQ", self.data, off)
                yield Symbol(self.text(strings + name), info, other, shndx, value, size)

    def relocations(self):
        """(section, offset, type) of every dynamic relocation."""
        for section in self.sections:
            if section.kind == SHT_RELA and section.flags & SHF_ALLOC:
                for off in range(section.offset, section.offset + section.size, 24):
                    where, info, _ = struct.unpack_from("<QQq", self.data, off)
                    yield section.name, where, info & 0xffffffff

    def dynamic(self):
        for segment in self.segments:
            if segment.kind == PT_DYNAMIC:
                for off in range(segment.offset, segment.offset + segment.filesz, 16):
                    tag, value = struct.unpack_from("<QQ", self.data, off)
                    if tag == 0:
                        return
                    yield tag, value

    def stack_sizes(self):
        """(address of a function, bytes of its frame) from .stack_sizes: an address and a ULEB128 for each."""
        for section in self.sections:
            if section.name != ".stack_sizes":
                continue
            at, end = section.offset, section.offset + section.size
            while at < end:
                address, = struct.unpack_from("<Q", self.data, at)
                at, size, shift = at + 8, 0, 0
                while True:
                    byte = self.data[at]
                    at, size, shift = at + 1, size | (byte & 0x7f) << shift, shift + 7
                    if not byte & 0x80:
                        break
                yield address, size
