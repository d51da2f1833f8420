#include "image/elf_file.h"

#include <algorithm>
#include <sstream>

#include "image/little_endian.h"

namespace image {
namespace {

constexpr std::uint64_t kMostEntries = 65536;  // segments or sections

std::vector<std::string> split_at_colons(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ':');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// Parts of `range` that are not covered by `holes` (sorted by address).
void subtract(ElfRange range, const std::vector<ElfRange>& holes, std::vector<ElfRange>& out) {
  for (const ElfRange& hole : holes) {
    if (hole.address + hole.size <= range.address) continue;
    if (hole.address >= range.address + range.size) break;
    if (hole.address > range.address) out.push_back({range.address, range.offset, hole.address - range.address});
    const std::uint64_t end = std::min(hole.address + hole.size, range.address + range.size);
    const std::uint64_t skip = end - range.address;
    range = {range.address + skip, range.offset + skip, range.size - skip};
  }
  if (range.size != 0) out.push_back(range);
}

}  // namespace

bool ElfFile::is_program(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < sizeof(Elf64_Ehdr)) return false;
  const auto header = load<Elf64_Ehdr>(bytes, 0);
  return std::equal(header.e_ident, header.e_ident + SELFMAG, ELFMAG) && header.e_ident[EI_CLASS] == ELFCLASS64 &&
         header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine == EM_X86_64 &&
         (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

std::string ElfFile::interpreter_of(std::span<const std::uint8_t> start) {
  if (!is_program(start)) return {};
  const auto header = load<Elf64_Ehdr>(start, 0);
  for (std::uint64_t i = 0; i < header.e_phnum && header.e_phentsize == sizeof(Elf64_Phdr); ++i) {
    if (!inside(start, header.e_phoff, (i + 1) * sizeof(Elf64_Phdr))) return {};
    const auto segment = load<Elf64_Phdr>(start, header.e_phoff + i * sizeof(Elf64_Phdr));
    if (segment.p_type != PT_INTERP) continue;
    if (!inside(start, segment.p_offset, segment.p_filesz)) return {};
    const auto text = start.subspan(segment.p_offset, segment.p_filesz);
    return {text.begin(), std::ranges::find(text, std::uint8_t{0})};
  }
  return {};
}

Result<ElfFile> ElfFile::parse(std::span<const std::uint8_t> bytes) {
  if (!is_program(bytes)) return fail("not an x86-64 ELF program");
  ElfFile file(bytes);
  file.header_ = load<Elf64_Ehdr>(bytes, 0);
  const std::uint64_t size = std::uint64_t{file.header_.e_phnum} * sizeof(Elf64_Phdr);
  if (file.header_.e_phnum != 0 && file.header_.e_phentsize != sizeof(Elf64_Phdr)) return fail("ELF program headers have a wrong size");
  if (!inside(bytes, file.header_.e_phoff, size)) return fail("ELF program headers lie outside the file");
  file.segments_ = file.table<Elf64_Phdr>(file.header_.e_phoff, size);
  for (const Elf64_Phdr& segment : file.segments_) {
    if (segment.p_type == PT_LOAD && !inside(bytes, segment.p_offset, segment.p_filesz)) {
      return fail("an ELF segment lies outside the file");
    }
    if (segment.p_type == PT_LOAD && segment.p_vaddr + segment.p_memsz < segment.p_vaddr) return fail("an ELF segment wraps");
  }
  if (!file.read_sections()) file.sections_.clear();
  return file;
}

bool ElfFile::read_sections() {
  std::uint64_t count = header_.e_shnum;
  if (header_.e_shoff == 0 || header_.e_shentsize != sizeof(Elf64_Shdr)) return false;
  if (count == 0 && inside(bytes_, header_.e_shoff, sizeof(Elf64_Shdr))) count = load<Elf64_Shdr>(bytes_, header_.e_shoff).sh_size;
  if (count > kMostEntries || !inside(bytes_, header_.e_shoff, count * sizeof(Elf64_Shdr))) return false;
  sections_ = table<Elf64_Shdr>(header_.e_shoff, count * sizeof(Elf64_Shdr));
  return std::ranges::all_of(sections_, [&](const Elf64_Shdr& section) {
    return section.sh_type == SHT_NOBITS || section.sh_type == SHT_NULL || inside(bytes_, section.sh_offset, section.sh_size);
  });
}

std::string_view ElfFile::section_name(const Elf64_Shdr& section) const {
  if (header_.e_shstrndx >= sections_.size()) return {};
  const Elf64_Shdr& names = sections_[header_.e_shstrndx];
  if (section.sh_name >= names.sh_size || names.sh_type == SHT_NOBITS) return {};
  const auto text = bytes_.subspan(names.sh_offset + section.sh_name, names.sh_size - section.sh_name);
  const auto end = std::ranges::find(text, std::uint8_t{0});
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(end - text.begin())};
}

const Elf64_Shdr* ElfFile::section(std::string_view name) const {
  const auto found = std::ranges::find_if(sections_, [&](const Elf64_Shdr& section) { return section_name(section) == name; });
  return found == sections_.end() ? nullptr : &*found;
}

std::vector<ElfRange> ElfFile::code() const {
  std::vector<ElfRange> ranges;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || segment.p_filesz == 0) continue;
    const ElfRange whole = {segment.p_vaddr, segment.p_offset, segment.p_filesz};
    bool found = false;
    for (const Elf64_Shdr& section : sections_) {
      if ((section.sh_flags & SHF_EXECINSTR) == 0 || section.sh_type == SHT_NOBITS || section.sh_size == 0) continue;
      if (!whole.contains(section.sh_addr) || section.sh_size > whole.size - (section.sh_addr - whole.address)) continue;
      if (section.sh_offset - whole.offset != section.sh_addr - whole.address) continue;
      ranges.push_back({section.sh_addr, section.sh_offset, section.sh_size});
      found = true;
    }
    if (!found) ranges.push_back(whole);
  }
  std::ranges::sort(ranges, {}, &ElfRange::address);
  return ranges;
}

std::vector<ElfRange> ElfFile::data() const {
  const std::vector<ElfRange> holes = code();
  std::vector<ElfRange> ranges;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type == PT_LOAD) subtract({segment.p_vaddr, segment.p_offset, segment.p_filesz}, holes, ranges);
  }
  return ranges;
}

std::span<const std::uint8_t> ElfFile::at(std::uint64_t address) const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr || address - segment.p_vaddr >= segment.p_filesz) continue;
    const std::uint64_t skip = address - segment.p_vaddr;
    return bytes_.subspan(segment.p_offset + skip, segment.p_filesz - skip);
  }
  return {};
}

void ElfFile::add_relr(std::span<const std::uint64_t> words, std::vector<std::uint64_t>& values) const {
  const auto add = [&](std::uint64_t where) {
    const auto word = at(where);
    if (word.size() >= sizeof(std::uint64_t)) values.push_back(load<std::uint64_t>(word, 0));
  };
  std::uint64_t next = 0;
  for (const std::uint64_t word : words) {
    if ((word & 1) == 0) {
      add(word);
      next = word + sizeof(std::uint64_t);
      continue;
    }
    for (unsigned bit = 1; bit < 64; ++bit) {
      if ((word >> bit & 1) != 0) add(next + (bit - 1) * sizeof(std::uint64_t));
    }
    next += 63 * sizeof(std::uint64_t);
  }
}

std::vector<Elf64_Dyn> ElfFile::dynamic_entries() const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_DYNAMIC) continue;
    std::vector<Elf64_Dyn> entries = table<Elf64_Dyn>(segment.p_offset, segment.p_filesz);
    const auto end = std::ranges::find(entries, DT_NULL, &Elf64_Dyn::d_tag);
    entries.erase(end, entries.end());
    return entries;
  }
  return {};
}

std::vector<std::uint64_t> ElfFile::relocation_values() const {
  std::vector<std::uint64_t> values;
  const auto add_rela = [&](std::span<const Elf64_Rela> entries) {
    for (const Elf64_Rela& entry : entries) values.push_back(static_cast<std::uint64_t>(entry.r_addend));
  };
  std::uint64_t rela = 0;
  std::uint64_t rela_size = 0;
  std::uint64_t relr = 0;
  std::uint64_t relr_size = 0;
  constexpr std::int64_t kRelrSize = 35;  // DT_RELRSZ, DT_RELR: newer than some C libraries' headers
  constexpr std::int64_t kRelr = 36;
  for (const Elf64_Dyn& entry : dynamic_entries()) {
    if (entry.d_tag == DT_RELA) rela = entry.d_un.d_ptr;
    if (entry.d_tag == DT_RELASZ) rela_size = entry.d_un.d_val;
    if (entry.d_tag == kRelr) relr = entry.d_un.d_ptr;
    if (entry.d_tag == kRelrSize) relr_size = entry.d_un.d_val;
  }
  const auto copy = [&]<class T>(std::uint64_t address, std::uint64_t size, std::vector<T> out) {
    const auto bytes = at(address);
    out.resize(std::min<std::uint64_t>(bytes.size(), size) / sizeof(T));
    std::copy_n(bytes.begin(), out.size() * sizeof(T), reinterpret_cast<std::uint8_t*>(out.data()));
    return out;
  };
  if (rela != 0) add_rela(copy(rela, rela_size, std::vector<Elf64_Rela>{}));
  if (relr != 0) add_relr(copy(relr, relr_size, std::vector<std::uint64_t>{}), values);
  for (const Elf64_Shdr& section : sections_) {  // static programs: IRELATIVE, and relocations kept by the linker
    if (section.sh_type == SHT_RELA) add_rela(table<Elf64_Rela>(section.sh_offset, section.sh_size));
  }
  return values;
}

std::string ElfFile::text_at(std::uint64_t address) const {
  const auto bytes = at(address);
  const auto end = std::ranges::find(bytes, std::uint8_t{0});
  return {bytes.begin(), end};
}

Result<ElfDynamic> ElfFile::dynamic() const {
  ElfDynamic result;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_INTERP) continue;
    if (!inside(bytes_, segment.p_offset, segment.p_filesz)) return fail("the ELF interpreter name lies outside the file");
    const auto text = bytes_.subspan(segment.p_offset, segment.p_filesz);
    result.interpreter.assign(text.begin(), std::ranges::find(text, std::uint8_t{0}));
  }
  const std::vector<Elf64_Dyn> entries = dynamic_entries();
  const auto strings = std::ranges::find(entries, DT_STRTAB, &Elf64_Dyn::d_tag);
  if (strings == entries.end()) return result;
  const std::uint64_t base = strings->d_un.d_ptr;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_NEEDED) result.needed.push_back(text_at(base + entry.d_un.d_val));
    if (entry.d_tag == DT_SONAME) result.soname = text_at(base + entry.d_un.d_val);
    if (entry.d_tag == DT_RPATH) result.rpath = split_at_colons(text_at(base + entry.d_un.d_val));
    if (entry.d_tag == DT_RUNPATH) result.runpath = split_at_colons(text_at(base + entry.d_un.d_val));
    if (entry.d_tag == DT_FLAGS_1) result.is_pie_flag = (entry.d_un.d_val & DF_1_PIE) != 0;
  }
  return result;
}

}  // namespace image
