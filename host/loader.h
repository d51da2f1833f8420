// Loads an enclave file through a device: ECREATE, all pages in the file's order, EINIT.
#ifndef HOST_LOADER_H
#define HOST_LOADER_H

#include <cstdint>
#include <vector>

#include "host/enclave_device.h"
#include "host/result.h"
#include "sgx/enclave_file.h"

namespace host {

struct LaunchValues {
  sgx::ConfigId config_id{};  // KSS; all zero: none
  std::uint16_t config_svn = 0;
};

struct LoadedEnclave {
  std::vector<std::uint64_t> tcs;  // addresses, in the order of the vCPUs
};

// Every error is one line that names the file and, if a check of the signature failed, the part that is wrong. The device is of no
// use after an error.
Result<LoadedEnclave> load_enclave(const sgx::EnclaveFile& file, EnclaveDevice& device, const LaunchValues& values);

}  // namespace host
#endif  // HOST_LOADER_H
