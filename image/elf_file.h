// A checked reader of x86-64 ELF executables and shared objects: headers, sections, symbols, relocations, dynamic section.
#ifndef IMAGE_ELF_FILE_H
#define IMAGE_ELF_FILE_H

#include <elf.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "image/result.h"

namespace image {

// A run of bytes of the file and where it is loaded. Addresses are as in the file (not relocated).
struct ElfRange {
  std::uint64_t address;
  std::uint64_t offset;  // in the file
  std::uint64_t size;    // bytes in the file
  bool contains(std::uint64_t at) const { return at >= address && at - address < size; }
};

// What the loader needs to know from PT_INTERP and PT_DYNAMIC.
struct ElfDynamic {
  std::string interpreter;
  std::string soname;
  std::vector<std::string> needed;
  std::vector<std::string> rpath;    // DT_RPATH, split at colons
  std::vector<std::string> runpath;  // DT_RUNPATH
  bool is_pie_flag = false;          // DF_1_PIE
};

// The bytes must outlive the object.
class ElfFile {
 public:
  // True if the bytes start like an ELF file for x86-64 of type EXEC or DYN.
  static bool is_program(std::span<const std::uint8_t> bytes);
  // The interpreter that the program names, from the first bytes of the file; empty if there is none or it lies further behind.
  static std::string interpreter_of(std::span<const std::uint8_t> start);
  // Errors: headers or tables outside the file. Section headers that are damaged are treated as absent, as loaders do.
  static Result<ElfFile> parse(std::span<const std::uint8_t> bytes);

  std::span<const std::uint8_t> bytes() const { return bytes_; }
  bool is_position_independent() const { return header_.e_type == ET_DYN; }
  std::uint64_t entry() const { return header_.e_entry; }
  const std::vector<Elf64_Phdr>& segments() const { return segments_; }
  const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  const Elf64_Shdr* section(std::string_view name) const;
  std::string_view section_name(const Elf64_Shdr& section) const;

  // Executable bytes: the executable sections, or where there are no section headers the executable segments.
  std::vector<ElfRange> code() const;
  // Loaded bytes that are not executable sections.
  std::vector<ElfRange> data() const;

  // The bytes loaded at an address, as far as one segment reaches; empty if there are none.
  std::span<const std::uint8_t> at(std::uint64_t address) const;

  // Calls `visit(address, size, type)` for each defined symbol of .symtab and .dynsym that has an address.
  template <class Visit>
  void for_each_symbol(const Visit& visit) const;

  // Values of relocations that may be addresses of code: addends and, for RELR, the words in place.
  std::vector<std::uint64_t> relocation_values() const;

  Result<ElfDynamic> dynamic() const;

 private:
  explicit ElfFile(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  bool read_sections();
  std::vector<Elf64_Dyn> dynamic_entries() const;
  std::string text_at(std::uint64_t address) const;
  template <class T>
  std::vector<T> table(std::uint64_t offset, std::uint64_t size) const;
  void add_relr(std::span<const std::uint64_t> words, std::vector<std::uint64_t>& values) const;

  std::span<const std::uint8_t> bytes_;
  Elf64_Ehdr header_ = {};
  std::vector<Elf64_Phdr> segments_;
  std::vector<Elf64_Shdr> sections_;
};

// A copy of the entries of a table in the file; empty if it does not lie inside.
template <class T>
std::vector<T> ElfFile::table(std::uint64_t offset, std::uint64_t size) const {
  if (offset > bytes_.size() || size > bytes_.size() - offset) return {};
  std::vector<T> entries(size / sizeof(T));
  const auto raw = bytes_.subspan(offset, entries.size() * sizeof(T));
  std::copy(raw.begin(), raw.end(), reinterpret_cast<std::uint8_t*>(entries.data()));
  return entries;
}

template <class Visit>
void ElfFile::for_each_symbol(const Visit& visit) const {
  for (const Elf64_Shdr& section : sections_) {
    if (section.sh_type != SHT_SYMTAB && section.sh_type != SHT_DYNSYM) continue;
    for (const Elf64_Sym& symbol : table<Elf64_Sym>(section.sh_offset, section.sh_size)) {
      const unsigned type = ELF64_ST_TYPE(symbol.st_info);
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= SHN_LORESERVE || type == STT_TLS || type == STT_FILE) continue;
      visit(symbol.st_value, symbol.st_size, type);
    }
  }
}

}  // namespace image
#endif  // IMAGE_ELF_FILE_H
