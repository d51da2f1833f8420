// Patch tables: where the image's ELF files hold `syscall` and `cpuid` instructions and how each is turned into a jump (design
// section 5). The image builder writes them into the verity-covered data area behind the EROFS image; the kernel applies them when it
// populates executable pages of image files. Everything is little endian and 8-byte aligned.
//
//   PatchIndex, PatchFile[file_count] sorted by nid, then for each file PatchSite[site_count] sorted by file_offset.
//
// A patched site: the bytes [file_offset, file_offset + 5) become `jmp rel32` to the site's stub (e9 + displacement); the
// remaining displaced bytes up to the syscall/cpuid stay as they are (nobody jumps there: the builder has checked).
// A padded site (pad != 0; glibc's read(), whose `xor %eax,%eax; syscall` has no room): the `jmp rel32` to the stub goes to the 5 bytes
// of dead padding at file_offset + pad, which nothing reaches, and the two bytes at file_offset become `jmp rel8` to it (eb, then
// pad - 2). The padding and these two bytes lie in one 4096-byte page. Displaced bytes of another site, behind its own jump, are padding too.
// A stub is kStubSize bytes, built by the kernel:
//     displaced bytes, then
//     syscall: lea ret(%rip),%rcx ; jmp *%gs:gate          (ret = address after the `syscall`)
//     cpuid:   lea ret(%rip),%rbx ; jmp *%gs:cpuid_gate    (ret = address after the `cpuid`)
// Displaced instructions hold no branches, do not change rsp, and if one is rip-relative its disp32 position is given.
//
// What a program sees of a stub (signal frames, /proc, restart): an interruption at stub offset p < displaced is shown as file_offset
// (the displaced instructions before the last one can run twice without harm); at p >= displaced as the address of the syscall/cpuid
// itself (rcx, or rbx, is overwritten by it anyway), which traps and is emulated. A restarted system call continues
// at the address of the `syscall`, never at file_offset: the last displaced instruction runs once only.
#ifndef HOST_ABI_PATCH_TABLE_H
#define HOST_ABI_PATCH_TABLE_H

#include <array>
#include <cstdint>
#include <type_traits>

namespace host_abi {

inline constexpr std::uint64_t kPatchMagic = 0x31434150'4c43434f;  // "OCCLPAC1"
inline constexpr std::uint32_t kStubSize = 48;
inline constexpr std::uint32_t kMaxDisplaced = 20;

enum class SiteKind : std::uint8_t { syscall = 1, cpuid = 2, rdtsc = 3 };

struct PatchSite {
  std::uint32_t file_offset;      // of the first displaced byte
  std::uint8_t kind;              // SiteKind
  std::uint8_t displaced;         // bytes before the trapping instruction, 5..kMaxDisplaced (2..kMaxDisplaced if padded)
  std::uint8_t rip_disp_at;       // offset of a rip-relative disp32 within the displaced bytes, 0xff = none
  std::uint8_t rip_next_at;       // end of that instruction within the displaced bytes (the disp32 counts from there)
  std::array<std::uint8_t, kMaxDisplaced> bytes;  // the displaced bytes as in the file (checked against the page before patching)
  std::int8_t pad;                // 0, or the distance from file_offset to the padding, -126..127
  std::array<std::uint8_t, 3> reserved;
};
static_assert(sizeof(PatchSite) == 32 && std::has_unique_object_representations_v<PatchSite>);

struct PatchFile {
  std::uint64_t nid;         // EROFS inode number
  std::uint64_t sites;       // offset of the first PatchSite from the start of the PatchIndex
  std::uint32_t site_count;
  std::uint32_t trapping_sites;  // sites left alone (they trap and are emulated), for the statistics
};
static_assert(sizeof(PatchFile) == 24);

struct PatchIndex {
  std::uint64_t magic;
  std::uint32_t version;  // 1
  std::uint32_t file_count;
  std::uint64_t total_size;
  std::uint64_t reserved;
};
static_assert(sizeof(PatchIndex) == 32);

}  // namespace host_abi
#endif  // HOST_ABI_PATCH_TABLE_H
