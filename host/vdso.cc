#include "host/vdso.h"

#include <elf.h>
#include <sys/auxv.h>

#include <cstring>
#include <optional>

namespace host {
namespace {

// Bounds-checked reads of a loaded ELF image.
class Image {
 public:
  explicit Image(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  std::optional<T> read(std::uint64_t offset) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  bool string_equals(std::uint64_t offset, std::string_view text) const {
    if (offset > bytes_.size() || bytes_.size() - offset <= text.size()) return false;
    const auto* at = bytes_.data() + offset;
    return std::memcmp(at, text.data(), text.size()) == 0 && at[text.size()] == std::byte{0};
  }

  std::uintptr_t base() const { return reinterpret_cast<std::uintptr_t>(bytes_.data()); }

 private:
  std::span<const std::byte> bytes_;
};

struct Tables {
  std::uint64_t bias = 0;  // of the first PT_LOAD: image offset = address - bias
  std::uint64_t symbols = 0;
  std::uint64_t strings = 0;
  std::uint64_t symbol_count = 0;
};

// The highest symbol index that a GNU hash table reaches, plus one.
std::uint64_t gnu_hash_count(const Image& image, std::uint64_t table) {
  const auto buckets = image.read<std::uint32_t>(table);
  const auto first = image.read<std::uint32_t>(table + 4);
  const auto bloom = image.read<std::uint32_t>(table + 8);
  if (!buckets || !first || !bloom) return 0;
  const std::uint64_t bucket_at = table + 16 + std::uint64_t{*bloom} * 8;
  const std::uint64_t chain_at = bucket_at + std::uint64_t{*buckets} * 4;
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < *buckets; ++i) {
    const auto start = image.read<std::uint32_t>(bucket_at + i * 4);
    if (!start) return 0;
    if (*start > last) last = *start;
  }
  if (last < *first) return *first;
  for (;; ++last) {
    const auto chain = image.read<std::uint32_t>(chain_at + (last - *first) * 4);
    if (!chain) return 0;
    if ((*chain & 1) != 0) return last + 1;
  }
}

std::optional<Tables> read_dynamic(const Image& image, std::uint64_t bias, const Elf64_Phdr& dynamic) {
  Tables tables{.bias = bias};
  std::uint64_t hash = 0;
  std::uint64_t gnu_hash = 0;
  for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic.p_memsz; at += sizeof(Elf64_Dyn)) {
    const auto entry = image.read<Elf64_Dyn>(dynamic.p_offset + at);
    if (!entry || entry->d_tag == DT_NULL) break;
    // The vDSO is not relocated by anybody: the values are link-time addresses.
    const std::uint64_t value = entry->d_un.d_val - bias;
    if (entry->d_tag == DT_SYMTAB) tables.symbols = value;
    if (entry->d_tag == DT_STRTAB) tables.strings = value;
    if (entry->d_tag == DT_HASH) hash = value;
    if (entry->d_tag == DT_GNU_HASH) gnu_hash = value;
  }
  if (hash != 0) tables.symbol_count = image.read<std::uint32_t>(hash + 4).value_or(0);
  if (tables.symbol_count == 0 && gnu_hash != 0) tables.symbol_count = gnu_hash_count(image, gnu_hash);
  if (tables.symbols == 0 || tables.strings == 0 || tables.symbol_count == 0) return std::nullopt;
  return tables;
}

std::optional<Tables> find_tables(const Image& image) {
  const auto header = image.read<Elf64_Ehdr>(0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return std::nullopt;
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_phentsize != sizeof(Elf64_Phdr)) return std::nullopt;
  std::optional<Elf64_Phdr> load;
  std::optional<Elf64_Phdr> dynamic;
  for (std::uint64_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = image.read<Elf64_Phdr>(header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return std::nullopt;
    if (segment->p_type == PT_LOAD && !load) load = segment;
    if (segment->p_type == PT_DYNAMIC) dynamic = segment;
  }
  if (!load || !dynamic) return std::nullopt;
  return read_dynamic(image, load->p_vaddr - load->p_offset, *dynamic);
}

}  // namespace

std::uintptr_t find_elf_function(std::span<const std::byte> bytes, std::string_view name) {
  const Image image(bytes);
  const auto tables = find_tables(image);
  if (!tables) return 0;
  for (std::uint64_t i = 0; i < tables->symbol_count; ++i) {
    const auto symbol = image.read<Elf64_Sym>(tables->symbols + i * sizeof(Elf64_Sym));
    if (!symbol) return 0;
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF) continue;
    const std::uint64_t offset = symbol->st_value - tables->bias;
    if (offset < bytes.size() && image.string_equals(tables->strings + symbol->st_name, name)) return image.base() + offset;
  }
  return 0;
}

std::uintptr_t find_vdso_function(std::string_view name) {
  const std::uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) return 0;
  const auto* start = reinterpret_cast<const std::byte*>(base);
  // The kernel maps whole pages from the start of the ELF header; the section headers stand at the image's end.
  Elf64_Ehdr header;
  std::memcpy(&header, start, sizeof(header));
  const std::size_t size = header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize;
  return find_elf_function({start, size}, name);
}

}  // namespace host
