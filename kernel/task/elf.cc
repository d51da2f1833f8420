#include "kernel/task/elf.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"

namespace kernel {

namespace {
constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 30;
constexpr std::uint32_t kRead = 1, kWrite = 2, kExecute = 4;  // PROT_*

std::uint32_t prot_of(std::uint32_t flags) {
  return ((flags & abi::kPfR) != 0 ? kRead : 0) | ((flags & abi::kPfW) != 0 ? kWrite : 0) | ((flags & abi::kPfX) != 0 ? kExecute : 0);
}

// A PT_LOAD entry, or ENOEXEC. An empty segment gives memory_size 0.
Result<ElfSegment> make_segment(const abi::ElfProgramHeader& entry, std::uint64_t file_size, std::uint64_t address_limit) {
  if (entry.filesz > entry.memsz) return Errno::noexec;
  if (entry.memsz > address_limit || entry.vaddr > address_limit - entry.memsz) return Errno::noexec;
  if (entry.vaddr + entry.memsz > address_limit - kPageSize) return Errno::noexec;
  if ((entry.vaddr ^ entry.offset) % kPageSize != 0) return Errno::noexec;
  if (entry.filesz != 0 && (entry.offset > file_size || entry.filesz > file_size - entry.offset)) return Errno::noexec;
  return ElfSegment{.vaddr = entry.vaddr, .memory_size = entry.memsz, .file_size = entry.filesz, .offset = entry.offset,
                    .prot = prot_of(entry.flags)};
}

Result<> add_segment(ElfImage& image, const abi::ElfProgramHeader& entry, std::uint64_t file_size, std::uint64_t address_limit) {
  const ElfSegment segment = TRY(make_segment(entry, file_size, address_limit));
  if (segment.memory_size == 0) return {};
  // The gABI wants rising order; segments that share a page cannot both be mapped.
  if (!image.segments.empty() && segment.begin() < image.segments.back().end()) return Errno::noexec;
  if (entry.align > image.alignment && std::has_single_bit(entry.align) && entry.align <= kMaxAlignment) image.alignment = entry.align;
  return image.segments.try_push(segment);
}

// The address at which the program headers are loaded, if a segment holds them.
std::uint64_t find_headers(const ElfImage& image, const abi::ElfHeader& header, std::size_t size) {
  for (const ElfSegment& segment : image.segments)
    if (header.phoff >= segment.offset && header.phoff - segment.offset <= segment.file_size &&
        size <= segment.file_size - (header.phoff - segment.offset))
      return segment.vaddr + (header.phoff - segment.offset);
  return 0;
}
}  // namespace

std::uint64_t ElfSegment::begin() const { return round_down(vaddr, kPageSize); }
std::uint64_t ElfSegment::end() const { return round_up(vaddr + memory_size, kPageSize); }
std::uint64_t ElfSegment::file_end() const { return file_size == 0 ? begin() : round_up(vaddr + file_size, kPageSize); }

Result<ProgramHeaderRange> check_elf_header(const abi::ElfHeader& header, std::uint64_t file_size) {
  constexpr std::array<std::uint8_t, 4> kMagic{0x7f, 'E', 'L', 'F'};
  if (!std::equal(kMagic.begin(), kMagic.end(), header.ident.begin())) return Errno::noexec;
  if (header.ident[4] != abi::kElfClass64 || header.ident[5] != abi::kElfData2Lsb) return Errno::noexec;
  if (header.type != abi::kEtExec && header.type != abi::kEtDyn) return Errno::noexec;
  if (header.machine != abi::kEmX8664) return Errno::noexec;
  if (header.phentsize != sizeof(abi::ElfProgramHeader)) return Errno::noexec;
  const std::size_t size = std::size_t{header.phnum} * sizeof(abi::ElfProgramHeader);
  if (size == 0 || size > kMaxProgramHeaderBytes) return Errno::noexec;
  if (header.phoff > file_size || size > file_size - header.phoff) return Errno::noexec;
  return ProgramHeaderRange{.offset = header.phoff, .size = size};
}

Result<ElfImage> parse_program_headers(const abi::ElfHeader& header, std::span<const std::byte> table, std::uint64_t file_size,
                                       std::uint64_t address_limit) {
  ElfImage image;
  image.position_independent = header.type == abi::kEtDyn;
  image.entry = header.entry;
  image.phdr_count = header.phnum;
  for (std::size_t at = 0; at + sizeof(abi::ElfProgramHeader) <= table.size(); at += sizeof(abi::ElfProgramHeader)) {
    const auto entry = load_bytes<abi::ElfProgramHeader>(table, at);
    switch (entry.type) {
      case abi::kPtLoad:
        TRY(add_segment(image, entry, file_size, address_limit));
        break;
      case abi::kPtInterp:
        if (image.interpreter_size != 0) break;  // the first one counts
        if (entry.filesz < 2 || entry.filesz > kMaxInterpreterPath) return Errno::noexec;
        if (entry.offset > file_size || entry.filesz > file_size - entry.offset) return Errno::noexec;
        image.interpreter_offset = entry.offset;
        image.interpreter_size = entry.filesz;
        break;
      case abi::kPtGnuStack:
        image.executable_stack = (entry.flags & abi::kPfX) != 0;
        break;
      default:
        break;
    }
  }
  if (image.segments.empty()) return Errno::noexec;
  image.begin = image.segments[0].begin();
  image.end = image.segments.back().end();
  image.phdr_address = find_headers(image, header, table.size());
  return image;
}

}  // namespace kernel
