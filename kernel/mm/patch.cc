#include "kernel/mm/patch.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel {
namespace {

using host_abi::PatchSite;
using host_abi::SiteKind;

constexpr std::uint64_t kJumpSize = 5;   // e9 rel32
constexpr std::uint64_t kShortJumpSize = 2;  // eb rel8, of padded sites
constexpr std::uint64_t kTrapSize = 2;   // syscall, cpuid, rdtsc are all two bytes long
constexpr std::uint64_t kNoDisplacement = 0xff;

// The difference of two addresses as a 32-bit displacement.
std::optional<std::int32_t> displacement(std::uint64_t target, std::uint64_t next) {
  const auto difference = static_cast<std::int64_t>(target - next);
  if (difference < std::numeric_limits<std::int32_t>::min() || difference > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(difference);
}

// File offset of the `jmp rel32`: the site itself, or the padding near it.
std::uint64_t jump_offset(const PatchSite& site) { return site.file_offset + static_cast<std::uint64_t>(std::int64_t{site.pad}); }

bool is_sound(const PatchSite& site) {
  if (site.displaced < (site.pad == 0 ? kJumpSize : kShortJumpSize) || site.displaced > host_abi::kMaxDisplaced) return false;
  const std::uint64_t page = site.file_offset / kPageSize;
  const bool padding_near = jump_offset(site) / kPageSize == page && (jump_offset(site) + kJumpSize - 1) / kPageSize == page &&
                            (site.file_offset + kShortJumpSize - 1) / kPageSize == page && site.pad >= -126;
  if (site.pad != 0 && !padding_near) return false;
  if (site.kind != static_cast<std::uint8_t>(SiteKind::syscall) && site.kind != static_cast<std::uint8_t>(SiteKind::cpuid)) return false;
  return site.rip_disp_at == kNoDisplacement || (site.rip_disp_at + 4U <= site.rip_next_at && site.rip_next_at <= site.displaced);
}

// The displaced rip-relative operand's target, as the original code means it.
std::uint64_t operand_target(const PatchSite& site, std::uint64_t address) {
  const auto disp = load_bytes<std::int32_t>(std::as_bytes(std::span(site.bytes)), site.rip_disp_at);
  return address + site.rip_next_at + static_cast<std::uint64_t>(std::int64_t{disp});
}

}  // namespace

PatchSet::PatchSet(Ref<FileBacking> file, std::uint64_t address, std::uint64_t offset, std::uint64_t size)
    : file_(file), bias_(address - offset) {
  const std::span<const PatchSite> all = file_->patch_sites();
  const auto first = std::lower_bound(all.begin(), all.end(), offset, [](const PatchSite& site, std::uint64_t at) { return site.file_offset < at; });
  auto last = first;
  while (last != all.end() && std::uint64_t{last->file_offset} + last->displaced + kTrapSize <= offset + size) ++last;
  first_ = static_cast<std::size_t>(first - all.begin());
  count_ = static_cast<std::size_t>(last - first);
}

PatchSet::PatchSet(Ref<FileBacking> file, const PatchSet& other)
    : file_(file), first_(other.first_), count_(other.count_), bias_(other.bias_), stubs_(other.stubs_) {}

Result<Ref<PatchSet>> PatchSet::clone() const { return make_ref<PatchSet>(file_, *this); }

std::uint64_t PatchSet::stub_bytes() const { return (count_ + kStubsPerPage - 1) / kStubsPerPage * kPageSize; }

std::uint64_t PatchSet::site_address(const PatchSite& site) const { return bias_ + site.file_offset; }

std::uint64_t PatchSet::stub_address(std::uint64_t index) const {
  return stubs_ + index / kStubsPerPage * kPageSize + index % kStubsPerPage * host_abi::kStubSize;
}

// A site is left to trap if the table entry is of a kind without a stub or a displacement does not reach.
bool PatchSet::is_patched(std::uint64_t index) const {
  const std::span<const PatchSite> all = sites();
  const PatchSite& site = all[index];
  if (!is_sound(site)) return false;
  const std::uint64_t address = site_address(site);
  const std::uint64_t stub = stub_address(index);
  if (!displacement(stub, bias_ + jump_offset(site) + kJumpSize)) return false;
  if (site.rip_disp_at != kNoDisplacement && !displacement(operand_target(site, address), stub + site.rip_next_at)) return false;
  return displacement(address + site.displaced + kTrapSize, stub + site.displaced + 7).has_value();
}

Result<> PatchSet::apply(std::uint64_t address, PageView page) const {
  const std::span<const PatchSite> all = sites();
  const std::uint64_t begin = address - bias_;  // file offset of the page
  const std::uint64_t end = begin + kPageSize;
  // The first site whose displaced bytes reach into the page.
  const std::uint64_t reach = begin > host_abi::kMaxDisplaced ? begin - host_abi::kMaxDisplaced : 0;
  const auto first =
      std::lower_bound(all.begin(), all.end(), reach, [](const PatchSite& site, std::uint64_t at) { return site.file_offset < at; });
  const auto start = static_cast<std::uint64_t>(first - all.begin());
  // All are compared before the first is written: a jump may stand in what another site displaces.
  for (std::uint64_t index = start; index < count_ && all[index].file_offset < end; ++index) {
    if (!is_patched(index)) continue;
    const PatchSite& site = all[index];
    for (std::uint64_t i = 0; i < site.displaced; ++i) {
      const std::uint64_t at = site.file_offset + i;
      if (at >= begin && at < end && page[at - begin] != std::byte{site.bytes[i]}) return Errno::io;
    }
  }
  for (std::uint64_t index = start; index < count_ && all[index].file_offset < end; ++index) {
    if (!is_patched(index)) continue;
    const PatchSite& site = all[index];
    std::array<std::byte, kJumpSize> jump{std::byte{0xe9}};
    store_bytes(jump, 1, *displacement(stub_address(index), bias_ + jump_offset(site) + kJumpSize));
    const auto write = [&](std::uint64_t offset, std::span<const std::byte> code) {
      for (std::size_t i = 0; i < code.size(); ++i)  // what is on the neighbour page is written when that is populated
        if (offset + i >= begin && offset + i < end) page[offset + i - begin] = code[i];
    };
    write(jump_offset(site), jump);
    if (site.pad == 0) continue;
    const std::array<std::byte, kShortJumpSize> hop{std::byte{0xeb}, static_cast<std::byte>(site.pad - 2)};
    write(site.file_offset, hop);
  }
  return {};
}

void PatchSet::build_stub_page(std::uint64_t address, PageView page) const {
  const std::span<const PatchSite> all = sites();
  fill_bytes(page, std::byte{0xcc});  // int3: nobody gets to the gaps
  const std::uint64_t first = (address - stubs_) / kPageSize * kStubsPerPage;
  for (std::uint64_t index = first; index < std::min<std::uint64_t>(first + kStubsPerPage, count_); ++index) {
    if (!is_patched(index)) continue;
    const PatchSite& site = all[index];
    const std::uint64_t stub = stub_address(index);
    const auto into = page.subspan((index - first) * host_abi::kStubSize, host_abi::kStubSize);
    copy_bytes(into, std::as_bytes(std::span(site.bytes)).first(site.displaced));
    if (site.rip_disp_at != kNoDisplacement)
      store_bytes(into, site.rip_disp_at, *displacement(operand_target(site, site_address(site)), stub + site.rip_next_at));
    // lea ret(%rip),%rcx (%rbx for cpuid, which sets it anyway); jmp *%gs:gate
    const bool is_cpuid = site.kind == static_cast<std::uint8_t>(SiteKind::cpuid);
    const std::uint64_t ret = site_address(site) + site.displaced + kTrapSize;
    std::array<std::byte, 15> tail{std::byte{0x48}, std::byte{0x8d}, is_cpuid ? std::byte{0x1d} : std::byte{0x0d}};
    store_bytes(tail, 3, *displacement(ret, stub + site.displaced + 7));
    const std::array<std::byte, 4> jump{std::byte{0x65}, std::byte{0xff}, std::byte{0x24}, std::byte{0x25}};
    copy_bytes(std::span(tail).subspan(7), jump);
    store_bytes(tail, 11, std::int32_t{is_cpuid ? VCPU_CPUID_GATE : VCPU_GATE});
    copy_bytes(into.subspan(site.displaced), tail);
  }
}

std::optional<std::uint64_t> PatchSet::original_rip(std::uint64_t rip) const {
  const std::uint64_t in_page = (rip - stubs_) % kPageSize;
  const std::uint64_t slot = in_page / host_abi::kStubSize;
  const std::uint64_t index = (rip - stubs_) / kPageSize * kStubsPerPage + slot;
  if (rip < stubs_ || slot >= kStubsPerPage || index >= count_ || !is_patched(index)) return std::nullopt;
  const PatchSite& site = sites()[index];
  // Inside the displaced instructions: their start, since the bytes behind it are the jump's now and running a part of them again does
  // no harm. Behind them: the instruction that would trap, which then does.
  const bool behind = rip - stub_address(index) >= site.displaced;
  return site_address(site) + (behind ? site.displaced : 0U);
}

}  // namespace kernel
