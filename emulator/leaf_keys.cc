// EREPORT and EGETKEY (SDM 38.4). Operands are read once, into a copy.
#include <initializer_list>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

namespace {

bool read_enclave(void* to, u64 address, u64 size) { return emulator_copy(to, reinterpret_cast<const void*>(address), size) == 0; }
bool write_enclave(u64 address, const void* from, u64 size) {
  return emulator_copy(reinterpret_cast<void*>(address), from, size) == 0;
}

// The number of the check of EGETKEY that failed so.
CheckId egetkey_check(const sgx::LeafFailure& failure) {
  if (failure.general_protection) return CheckId::egetkey_request;
  switch (failure.code) {
    case sgx::SgxError::invalid_attribute: return CheckId::egetkey_attribute;
    case sgx::SgxError::invalid_cpusvn: return CheckId::egetkey_cpusvn;
    case sgx::SgxError::invalid_isvsvn: return CheckId::egetkey_isvsvn;
    default: return CheckId::egetkey_name;
  }
}

}  // namespace

Status leaf_ereport(const LeafContext& context, u64 target_at, u64 data_at, u64 output) {
  State& state = context.state;
  const bool aligned =
      target_at % sgx::kAlignTargetinfo == 0 && data_at % sgx::kAlignReportdata == 0 && output % sgx::kAlignReport == 0;
  CHECK_LEAF(ereport_aligned, aligned, Status::gp());
  CHECK_LEAF(ereport_in_elrange, state.contains(target_at) && state.contains(data_at) && state.contains(output), Status::gp());
  for (const u64 input : {target_at, data_at}) {
    if (const Status status = check_access(state, input, sgx::kSecinfoR); !status.ok()) return status;
  }
  if (const Status status = check_access(state, output, sgx::kSecinfoR | sgx::kSecinfoW); !status.ok()) return status;
  sgx::Targetinfo target;
  sgx::Reportdata data;
  if (!read_enclave(&target, target_at, sizeof(target))) return Status::pf(target_at);
  if (!read_enclave(&data, data_at, sizeof(data))) return Status::pf(data_at);
  const sgx::LeafResult<sgx::Report> report = sgx::ereport(state.device, state.identity, target, data);
  if (!report) {
    CHECK_LEAF(ereport_target, false, Status::gp());
    return {};
  }
  if (!write_enclave(output, &*report, sizeof(*report))) return Status::pf(output);
  ++context.tcs.counters.ereport;
  return {};
}

Status leaf_egetkey(const LeafContext& context, u64 request_at, u64 output) {
  State& state = context.state;
  CHECK_LEAF(egetkey_aligned, request_at % sgx::kAlignKeyrequest == 0 && output % sgx::kAlignKey == 0, Status::gp());
  CHECK_LEAF(egetkey_in_elrange, state.contains(request_at) && state.contains(output), Status::gp());
  if (const Status status = check_access(state, request_at, sgx::kSecinfoR); !status.ok()) return status;
  if (const Status status = check_access(state, output, sgx::kSecinfoR | sgx::kSecinfoW); !status.ok()) return status;
  sgx::Keyrequest request;
  if (!read_enclave(&request, request_at, sizeof(request))) return Status::pf(request_at);
  const sgx::LeafResult<sgx::Key128> key = sgx::egetkey(state.device, state.identity, request);
  if (!key) {
    const sgx::LeafFailure failure = key.error();
    if (!check_enabled(egetkey_check(failure))) return {};
    return failure.general_protection ? Status::gp() : Status::code(failure.code);
  }
  if (!write_enclave(output, key->data(), key->size())) return Status::pf(output);
  ++context.tcs.counters.egetkey;
  return {};
}

}  // namespace emulator
