#include "kernel/frame/pages.h"

#include "kernel/frame/asm.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/vcpu_slots.h"
#include "sgx/arch.h"

namespace kernel::frame {
namespace {

// SECINFO operands must be 64-byte aligned and inside the enclave.
struct alignas(64) SecinfoOperand {
  sgx::Secinfo secinfo{};
};

std::uint64_t leaf(sgx::EncluLeaf number, const SecinfoOperand& operand, std::uint64_t rcx, std::uint64_t rdx) {
  // SAFETY: the operand lives on the kernel stack across the call; the leaf only reads it.
  return enclu_leaf(static_cast<std::uint64_t>(number), reinterpret_cast<std::uint64_t>(&operand.secinfo), rcx, rdx);
}

Result<> accept(std::uint64_t page, std::uint64_t flags) {
  SecinfoOperand operand;
  operand.secinfo.flags = flags;
  if (leaf(sgx::EncluLeaf::eaccept, operand, page, 0) != 0) return Errno::io;
  return {};
}

}  // namespace

Result<> accept_pending(std::uint64_t page, std::uint32_t permissions) {
  return accept(page, sgx::secinfo_flags(sgx::PageType::reg, permissions) | sgx::kSecinfoPending);
}

Result<> accept_restricted(std::uint64_t page, std::uint32_t permissions) {
  return accept(page, sgx::secinfo_flags(sgx::PageType::reg, permissions) | sgx::kSecinfoPr);
}

Result<> accept_trimmed(std::uint64_t page) {
  return accept(page, sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified);
}

Result<> accept_tcs(std::uint64_t page) {
  return accept(page, sgx::secinfo_flags(sgx::PageType::tcs, 0) | sgx::kSecinfoModified);
}

Result<> accept_copy(std::uint64_t page, std::span<const std::byte, kPageSize> source, std::uint32_t permissions) {
  SecinfoOperand operand;
  operand.secinfo.flags = sgx::secinfo_flags(sgx::PageType::reg, permissions);
  // SAFETY: the leaf reads the source page, which the caller owns.
  if (leaf(sgx::EncluLeaf::eacceptcopy, operand, page, reinterpret_cast<std::uint64_t>(source.data())) != 0) return Errno::io;
  return {};
}

Result<> extend_permissions(std::uint64_t page, std::uint32_t permissions) {
  SecinfoOperand operand;
  operand.secinfo.flags = sgx::secinfo_flags(sgx::PageType::reg, permissions);
  if (leaf(sgx::EncluLeaf::emodpe, operand, page, 0) != 0) return Errno::io;
  return {};
}

std::span<std::byte> page_bytes(std::uint64_t address, std::size_t size) {
  const host_abi::KernelLayout& where = layout();
  std::uint64_t end = 0;
  KASSERT(!__builtin_add_overflow(address, size, &end));
  KASSERT((address >= where.user.start && end <= where.user.end()) ||
          (address >= where.heap.start && end <= where.heap.start + where.heap_max));
  // SAFETY: the range lies in the user window or the kernel heap (checked); the caller owns the pages.
  UNSAFE_BUFFERS(return {reinterpret_cast<std::byte*>(address), size};)
}

void zero_pages(std::uint64_t address, std::size_t size) { zero_bytes(page_bytes(address, size)); }

}  // namespace kernel::frame
