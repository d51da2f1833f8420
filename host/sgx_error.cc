#include "host/sgx_error.h"

#include <fmt/format.h>

namespace host {
namespace {

std::string_view text_of(sgx::SgxError error) {
  using enum sgx::SgxError;
  switch (error) {
    case success: return "success";
    case invalid_sig_struct: return "INVALID_SIG_STRUCT: the SIGSTRUCT is malformed";
    case invalid_attribute: return "INVALID_ATTRIBUTE: the enclave's attributes are not those that were signed";
    case invalid_measurement: return "INVALID_MEASUREMENT: the pages of the enclave are not those that were signed";
    case invalid_signature: return "INVALID_SIGNATURE: the signature does not fit";
    case not_tracked: return "NOT_TRACKED: a thread still uses old translations";
    case invalid_einittoken: return "INVALID_EINITTOKEN: the machine does not allow this signer";
    case page_attributes_mismatch: return "PAGE_ATTRIBUTES_MISMATCH";
    case page_not_modifiable: return "PAGE_NOT_MODIFIABLE";
    case epc_page_conflict: return "EPC_PAGE_CONFLICT";
    case invalid_cpusvn: return "INVALID_CPUSVN";
    case unmasked_event: return "UNMASKED_EVENT";
    default: return "see the SDM's table of error codes";
  }
}

}  // namespace

std::string describe_sgx_error(sgx::SgxError error) {
  return fmt::format("{} ({})", static_cast<unsigned>(error), text_of(error));
}

}  // namespace host
