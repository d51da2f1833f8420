// What the tests of this folder share: files made at build time, a valid configuration, inputs for the enclave file.
#ifndef TESTS_SGX_FIXTURE_H
#define TESTS_SGX_FIXTURE_H

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "host_abi/enclave_config.h"
#include "sgx/enclave_file.h"

namespace sgx_test {

inline std::string data_path(const std::string& name) { return std::string(SGX_TEST_DIR) + "/" + name; }

inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline sgx::SigningKey load_key(const std::string& name) {
  auto key = sgx::SigningKey::load(data_path(name));
  if (!key) throw std::runtime_error(key.error().message);
  return std::move(*key);
}

inline host_abi::ConfigHeader make_config(const sgx::SigningParams& params = {}, bool edmm = true) {
  host_abi::ConfigHeader config{};
  config.magic = host_abi::kConfigMagic;
  config.version = 1;
  config.elrange_size = std::uint64_t{1} << 36;
  config.flags = edmm ? host_abi::kConfigEdmm : 0;
  config.ssa_frame_pages = 1;
  config.tcs_count = 2;
  config.max_threads = 2;
  config.kernel_heap_size = 1 << 20;
  config.kernel_heap_max = 16 << 20;
  config.user_space_size = 32 << 20;
  config.user_space_max_size = 64 << 20;
  config.build_epoch = 1'700'000'000;  // 2023-11-14
  sgx::set_config_attributes(config, params);
  return config;
}

// The blob: the header and a tail that makes it longer than a page.
inline std::vector<std::uint8_t> make_blob(host_abi::ConfigHeader config) {
  std::vector<std::uint8_t> blob(sizeof(config) + 4500, 0x5a);
  config.total_size = static_cast<std::uint32_t>(blob.size());
  std::memcpy(blob.data(), &config, sizeof(config));
  return blob;
}

inline sgx::EnclaveFileInputs make_inputs(const sgx::SigningParams& params = {}, bool edmm = true) {
  sgx::EnclaveFileInputs inputs;
  inputs.kernel_path = data_path("kernel.elf");
  inputs.config = make_blob(make_config(params, edmm));
  inputs.signing = params;
  inputs.boot_heap_size = 256 * 1024;
  return inputs;
}

// The error text of a Result that must have failed.
template <class T>
std::string error_of(const sgx::Result<T>& result) {
  return result ? "(no error)" : result.error().message;
}

}  // namespace sgx_test
#endif  // TESTS_SGX_FIXTURE_H
