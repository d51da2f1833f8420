// ELF64 for x86-64 (elf(5), System V gABI).
#ifndef ABI_ELF_H
#define ABI_ELF_H

#include <array>
#include <cstdint>
#include <type_traits>

namespace abi {

struct ElfHeader {
  std::array<std::uint8_t, 16> ident;
  std::uint16_t type;
  std::uint16_t machine;
  std::uint32_t version;
  std::uint64_t entry;
  std::uint64_t phoff;
  std::uint64_t shoff;
  std::uint32_t flags;
  std::uint16_t ehsize;
  std::uint16_t phentsize;
  std::uint16_t phnum;
  std::uint16_t shentsize;
  std::uint16_t shnum;
  std::uint16_t shstrndx;
};
static_assert(sizeof(ElfHeader) == 64 && std::has_unique_object_representations_v<ElfHeader>);

struct ElfProgramHeader {
  std::uint32_t type;
  std::uint32_t flags;
  std::uint64_t offset;
  std::uint64_t vaddr;
  std::uint64_t paddr;
  std::uint64_t filesz;
  std::uint64_t memsz;
  std::uint64_t align;
};
static_assert(sizeof(ElfProgramHeader) == 56);

inline constexpr std::uint16_t kEtExec = 2, kEtDyn = 3;
inline constexpr std::uint16_t kEmX8664 = 62;
inline constexpr std::uint8_t kElfClass64 = 2, kElfData2Lsb = 1;
inline constexpr std::uint32_t kPtLoad = 1, kPtDynamic = 2, kPtInterp = 3, kPtPhdr = 6, kPtTls = 7, kPtGnuStack = 0x6474e551,
                               kPtGnuRelro = 0x6474e552, kPtGnuProperty = 0x6474e553;
inline constexpr std::uint32_t kPfX = 1, kPfW = 2, kPfR = 4;

}  // namespace abi
#endif  // ABI_ELF_H
