#include "kernel/frame/cpuid.h"

#include <algorithm>
#include <array>

#include "kernel/frame/asm.h"
#include "kernel/frame/cpu.h"
#include "sgx/arch.h"

namespace kernel::frame {
namespace {

constinit std::array<host_abi::CpuidEntry, kMaxCpuidEntries> table{};
constinit std::size_t table_size = 0;

constexpr std::uint32_t bit(unsigned number) { return std::uint32_t{1} << number; }

// Feature bits by leaf that depend on extended state the enclave may not have (SDM vol. 2, CPUID).
void filter(host_abi::CpuidEntry& entry) {
  const bool avx = (xfrm() & sgx::kXfrmAvx) != 0;
  const bool avx512 = (xfrm() & sgx::kXfrmAvx512) == sgx::kXfrmAvx512;
  const bool pkru = (xfrm() & sgx::kXfrmPkru) != 0;
  const bool amx = (xfrm() & sgx::kXfrmAmx) == sgx::kXfrmAmx;
  if (entry.leaf == 1) {
    entry.ecx &= ~(bit(3) | bit(5) | bit(6) | bit(24));  // MONITOR, VMX, SMX, TSC deadline: not for programs inside
    entry.ecx |= bit(26) | bit(27);                      // XSAVE, OSXSAVE: the enclave needs them to run at all
    if (!avx) entry.ecx &= ~(bit(28) | bit(12) | bit(29));  // AVX, FMA, F16C
  } else if (entry.leaf == 7 && entry.subleaf == 0) {
    constexpr std::uint32_t kAvx512Ebx = bit(16) | bit(17) | bit(21) | bit(26) | bit(27) | bit(28) | bit(30) | bit(31);
    constexpr std::uint32_t kAvx512Ecx = bit(1) | bit(6) | bit(11) | bit(12) | bit(14);
    constexpr std::uint32_t kAvx512Edx = bit(2) | bit(3) | bit(8) | bit(23);
    entry.ebx &= ~(bit(2) | bit(4) | bit(11));  // SGX, HLE, RTM: transactions abort in enclaves
    entry.ecx &= ~(bit(5) | bit(7) | bit(30));  // WAITPKG, CET shadow stacks, SGX launch configuration
    entry.edx &= ~(bit(20) | bit(11));          // CET IBT, RTM_ALWAYS_ABORT
    if (!avx) entry.ebx &= ~bit(5);             // AVX2
    if (!avx) entry.ecx &= ~(bit(9) | bit(10));  // VAES, VPCLMULQDQ
    if (!avx512) entry.ebx &= ~kAvx512Ebx;
    if (!avx512) entry.ecx &= ~kAvx512Ecx;
    if (!avx512) entry.edx &= ~kAvx512Edx;
    if (!pkru) entry.ecx &= ~(bit(3) | bit(4));
    if (!amx) entry.edx &= ~(bit(22) | bit(24) | bit(25));
  } else if (entry.leaf == 0xd && entry.subleaf == 0) {
    entry.eax &= static_cast<std::uint32_t>(xfrm());
    entry.edx &= static_cast<std::uint32_t>(xfrm() >> 32);
    entry.ebx = static_cast<std::uint32_t>(xsave_size());
    entry.ecx = static_cast<std::uint32_t>(xsave_size());
  } else if (entry.leaf == 0xd && entry.subleaf == 1) {
    entry.eax &= ~bit(3);  // XSAVES is for operating systems
    entry.ecx = entry.edx = 0;
  } else if (entry.leaf == 0x12) {
    entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
  }
}

// Every processor with SGX has XGETBV with ECX = 1; the emulator also runs on others, and on ones that place AVX-512 differently. If the
// host lies here, it stops the enclave with #UD, or programs see the components at other places than the processor's.
void allow_quick_switches() {
  if ((cpuid(0xd, 1).eax & bit(2)) == 0) return;
  constexpr std::uint32_t kOpmaskAt = 1088, kHi16At = 1664;  // SDM vol. 1, 13.5.6; vector_state.S
  const bool has_avx512bw = (cpuid(7, 0).ebx & bit(30)) != 0;
  cpu_allow_quick_switches(has_avx512bw && cpuid(0xd, 5).ebx == kOpmaskAt && cpuid(0xd, 7).ebx == kHi16At);
}

}  // namespace

void cpuid_init(std::span<const host_abi::CpuidEntry> entries) {
  table_size = std::min(entries.size(), table.size());
  std::copy_n(entries.begin(), table_size, table.begin());
  for (host_abi::CpuidEntry& entry : std::span(table).first(table_size)) filter(entry);
  allow_quick_switches();
}

CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  const host_abi::CpuidEntry* same_leaf = nullptr;
  for (const host_abi::CpuidEntry& entry : std::span(table).first(table_size)) {
    if (entry.leaf != leaf) continue;
    if (entry.subleaf == subleaf) return {entry.eax, entry.ebx, entry.ecx, entry.edx};
    if (same_leaf == nullptr) same_leaf = &entry;
  }
  // A leaf without subleaves answers the same for every ECX; the host lists such leaves with subleaf 0 only.
  constexpr std::array<std::uint32_t, 6> kWithSubleaves{4, 7, 0xb, 0xd, 0x14, 0x1f};
  const bool has_subleaves = std::find(kWithSubleaves.begin(), kWithSubleaves.end(), leaf) != kWithSubleaves.end();
  if (same_leaf != nullptr && !has_subleaves) return {same_leaf->eax, same_leaf->ebx, same_leaf->ecx, same_leaf->edx};
  return {0, 0, 0, 0};
}

}  // namespace kernel::frame

extern "C" void kernel_cpuid(kernel::frame::TrapFrame* frame) {
  const kernel::frame::CpuidResult result =
      kernel::frame::cpuid(static_cast<std::uint32_t>(frame->rax), static_cast<std::uint32_t>(frame->rcx));
  frame->rax = result.eax;
  frame->rbx = result.ebx;
  frame->rcx = result.ecx;
  frame->rdx = result.edx;
}
