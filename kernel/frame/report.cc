#include "kernel/frame/report.h"

#include "kernel/frame/asm.h"

namespace kernel::frame {
namespace {

// EREPORT's operands have alignments of their own (SDM vol. 3D, EREPORT).
struct alignas(512) Operands {
  sgx::Report report;
  alignas(512) sgx::Targetinfo target;
  alignas(128) sgx::Reportdata data;
};

template <class T>
std::uint64_t operand(T& object) {
  // SAFETY: operands are passed to the leaf by address; they live on the caller's stack across it.
  return reinterpret_cast<std::uint64_t>(&object);
}

}  // namespace

Result<sgx::Report> make_report(const sgx::Targetinfo& target, const sgx::Reportdata& data) {
  Operands operands{.report = {}, .target = target, .data = data};
  // EREPORT fails by faults alone, and on this stack they mean that the host took a page away for a while. The zeroing of the report
  // waits for its page (a plain access is repeated until it works); so do the leaf's own reads, by trying again.
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    operands.report = {};
    if (enclu_leaf(static_cast<std::uint64_t>(sgx::EncluLeaf::ereport), operand(operands.target), operand(operands.data),
                   operand(operands.report)) == 0)
      return operands.report;
  }
  return Errno::io;
}

}  // namespace kernel::frame
