// The measured configuration blob (host_abi/enclave_config.h) from a parsed Occlum.json.
#ifndef IMAGE_CONFIG_BLOB_H
#define IMAGE_CONFIG_BLOB_H

#include <cstdint>

#include "host_abi/enclave_config.h"
#include "image/files.h"
#include "image/occlum_json.h"
#include "sgx/enclave_file.h"

namespace image {

// The signing parameters that a configuration asks for.
sgx::SigningParams signing_params(const OcclumConfig& config);

// The mount strings of the blob: "type\ttarget\tsource\toptions", options separated by commas. A unionfs has the options
// lower=TYPE:SOURCE and upper=TYPE:SOURCE; sizes are in bytes.
std::vector<std::string> mount_strings(const OcclumConfig& config);

// The whole blob. `epoch` is what the image was built with. Deterministic.
Bytes make_config_blob(const OcclumConfig& config, const host_abi::VerityParams& image, std::uint64_t epoch);

}  // namespace image
#endif  // IMAGE_CONFIG_BLOB_H
