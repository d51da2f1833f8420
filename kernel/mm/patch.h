// Patched system-call and CPUID sites (design section 5): how code pages of image files are changed when they are populated, and the stubs
// that the changed code jumps to. host_abi/patch_table.h describes the table.
#ifndef KERNEL_MM_PATCH_H
#define KERNEL_MM_PATCH_H

#include <cstdint>
#include <optional>
#include <span>

#include "host_abi/patch_table.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/mm/backing.h"

namespace kernel {

// Stubs and the code that jumps to them are at most this far apart (jmp rel32, and displaced rip-relative operands, need +-2 GiB).
inline constexpr std::uint64_t kStubDistance = std::uint64_t{3} << 29;
// Stubs do not straddle pages.
inline constexpr std::uint64_t kStubsPerPage = kPageSize / host_abi::kStubSize;

// The patched sites of one executable mapping of a file. Immutable after construction but for the count of areas.
class PatchSet final : public RefCounted<PatchSet> {
 public:
  // The sites among `file.patch_sites()` that lie wholly (with their trapping instruction) in [offset, offset + size) of the file, mapped
  // at `address`. `stubs` is where stub_bytes() of addresses will be set aside; 0 = not known yet.
  PatchSet(Ref<FileBacking> file, std::uint64_t address, std::uint64_t offset, std::uint64_t size);
  PatchSet(Ref<FileBacking> file, const PatchSet& other);  // clone() only

  // The same sites and stubs, for another address space.
  Result<Ref<PatchSet>> clone() const;

  std::uint64_t site_count() const { return count_; }
  std::uint64_t stub_bytes() const;  // whole pages
  std::uint64_t stubs() const { return stubs_; }
  void set_stubs(std::uint64_t address) { stubs_ = address; }
  // Where file offset 0 would be mapped (may wrap below 0): an area belongs to this set only if its bytes are mapped accordingly.
  std::uint64_t bias() const { return bias_; }

  // Changes the page of code that is mapped at `address`. EIO if the table does not fit the bytes.
  Result<> apply(std::uint64_t address, PageView page) const;
  // Fills a page of the stub area.
  void build_stub_page(std::uint64_t address, PageView page) const;
  // See AddressSpace::original_rip(). `rip` lies in the stub area.
  std::optional<std::uint64_t> original_rip(std::uint64_t rip) const;

  // Areas that hold pages patched by this set; guarded by the address space's lock.
  std::uint32_t areas = 0;

 private:
  std::uint64_t site_address(const host_abi::PatchSite& site) const;
  std::uint64_t stub_address(std::uint64_t index) const;
  bool is_patched(std::uint64_t index) const;

  std::span<const host_abi::PatchSite> sites() const LIFETIMEBOUND { return file_->patch_sites().subspan(first_, count_); }

  const Ref<FileBacking> file_;
  std::size_t first_ = 0, count_ = 0;  // of the file's sites
  std::uint64_t bias_ = 0;
  std::uint64_t stubs_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_MM_PATCH_H
