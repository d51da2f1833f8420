// Names of SGX error codes, for messages.
#ifndef HOST_SGX_ERROR_H
#define HOST_SGX_ERROR_H

#include <string>
#include <string_view>

#include "sgx/arch.h"

namespace host {

// "8 (INVALID_SIGNATURE: the signature does not fit the key or the enclave)"
std::string describe_sgx_error(sgx::SgxError error);

}  // namespace host
#endif  // HOST_SGX_ERROR_H
