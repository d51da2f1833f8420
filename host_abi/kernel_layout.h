// Where everything of the kernel lies inside ELRANGE. Written and measured by the enclave-file builder (sgx/enclave_file.cc), read
// by the kernel at boot and by the loader. All addresses are linear addresses; ELRANGE starts at 0, so they are offsets as well.
//
//   kernel_base   kernel image (its segments: R, RX, RW; relocated; RELRO pages are R)
//   layout        one page R: this table. It is the first page boundary at or after the end of the kernel image (`_end`)
//   config        pages R: the configuration blob (ConfigHeader), from the page after the table
//   guard
//   tcs_base      kMaxVcpus slots of tcs_stride bytes; the first tcs_count of them are in the file
//                   slot: [TCS][nssa SSA frames][guard][vCPU block][guard][entry stack][guard][exception stack][guard]
//   guard
//   heap_base     heap_size bytes RW added at build (NOT measured: content must not be trusted, zero it before use);
//                 grows up to heap_max with EDMM
//   ...           end of ELRANGE
//
// Guards are pages that are never added. Measured: image, table, configuration, TCS, SSA frames, vCPU blocks. Not measured
// (the host could have put anything there): stacks, heap, user pages.
#ifndef HOST_ABI_KERNEL_LAYOUT_H
#define HOST_ABI_KERNEL_LAYOUT_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace host_abi {

inline constexpr std::uint64_t kLayoutMagic = 0x3159414c'4c43434f;  // "OCCLLAY1"
inline constexpr std::uint32_t kLayoutVersion = 1;

inline constexpr std::uint64_t kLayoutPage = 4096;
inline constexpr std::uint64_t kGuardSize = kLayoutPage;
inline constexpr std::uint64_t kEntryStackSize = 32 * 1024;      // also the idle stack of the vCPU
inline constexpr std::uint64_t kExceptionStackSize = 32 * 1024;  // CSSA 1
inline constexpr std::uint32_t kSsaFrames = 3;                   // TCS.NSSA
inline constexpr std::uint64_t kHeapAlign = 64 * 1024;

// What the builder writes at the start of each vCPU block page (GS and FS base at EENTER point to it). The kernel's own
// per-vCPU structure starts with these fields; the rest of the page is zero and measured.
struct VcpuSeed {
  std::uint64_t self;                 // address of this page: `mov %gs:0, %reg`
  std::uint64_t entry_stack_top;      // first byte above the stack
  std::uint64_t exception_stack_top;  // first byte above the stack
  std::uint64_t layout;               // address of the KernelLayout
  std::uint32_t index;                // of the vCPU, 0 boots
  std::uint32_t reserved;
  // The stack-protector canary follows at offset 40; the kernel sets it at boot.
};
static_assert(sizeof(VcpuSeed) == 40 && std::has_unique_object_representations_v<VcpuSeed>);

struct LayoutRange {
  std::uint64_t start;
  std::uint64_t size;  // bytes
  constexpr std::uint64_t end() const { return start + size; }
};
static_assert(sizeof(LayoutRange) == 16);

struct KernelLayout {
  std::uint64_t magic;    // kLayoutMagic
  std::uint32_t version;  // kLayoutVersion
  std::uint32_t size;     // sizeof(KernelLayout)
  std::uint64_t elrange_size;

  std::uint64_t kernel_base;
  std::uint64_t entry;  // TCS.OENTRY of every TCS
  LayoutRange image;    // the whole kernel image, page aligned
  LayoutRange text;     // R X
  LayoutRange rodata;   // R, from the lowest to the end of the highest read-only page that precedes the first writable one
  LayoutRange relro;    // R: written by relocation at build only; size 0 if there is none
  LayoutRange data;     // R W: .data and .bss

  LayoutRange config;  // the blob: start is page aligned, size is ConfigHeader::total_size
  std::uint64_t guard_size;

  // vCPU slots. Slot i starts at tcs_base + i * tcs_stride with its TCS page; the offsets below are from the slot's start.
  std::uint64_t tcs_base;
  std::uint64_t tcs_stride;
  std::uint32_t tcs_count;  // in the file
  std::uint32_t tcs_slots;  // addresses reserved: kMaxVcpus
  std::uint32_t ssa_frames;
  std::uint32_t ssa_frame_pages;
  std::uint64_t ssa_offset;
  std::uint64_t vcpu_block_offset;
  std::uint64_t entry_stack_offset;  // lowest byte
  std::uint64_t entry_stack_size;
  std::uint64_t exception_stack_offset;  // lowest byte
  std::uint64_t exception_stack_size;

  LayoutRange heap;        // added at build
  std::uint64_t heap_max;  // the range may grow to this many bytes from heap.start (EDMM); equals heap.size without EDMM
  LayoutRange user;        // the user window
  std::uint64_t user_committed;  // bytes from user.start that are added at build, RWX (no EDMM); 0 with EDMM
  std::uint64_t reserved[4];

  constexpr std::uint64_t slot(std::uint32_t index) const { return tcs_base + index * tcs_stride; }
  constexpr std::uint64_t vcpu_block(std::uint32_t index) const { return slot(index) + vcpu_block_offset; }
  constexpr std::uint64_t ssa_frame(std::uint32_t index, std::uint32_t cssa) const {
    return slot(index) + ssa_offset + std::uint64_t{cssa} * ssa_frame_pages * kLayoutPage;
  }
};
static_assert(std::has_unique_object_representations_v<KernelLayout>);
static_assert(offsetof(KernelLayout, elrange_size) == 16 && offsetof(KernelLayout, image) == 40);
static_assert(offsetof(KernelLayout, config) == 120 && offsetof(KernelLayout, tcs_base) == 144);
static_assert(offsetof(KernelLayout, tcs_count) == 160 && offsetof(KernelLayout, ssa_offset) == 176);
static_assert(offsetof(KernelLayout, heap) == 224 && offsetof(KernelLayout, user) == 248);
static_assert(sizeof(KernelLayout) == 304 && sizeof(KernelLayout) <= kLayoutPage);

}  // namespace host_abi
#endif  // HOST_ABI_KERNEL_LAYOUT_H
