// Writes enclave files for check_enclave_test.py: sgx_make_enclave VARIANT OUTPUT. Prints MRENCLAVE and MRSIGNER.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <string_view>

#include "tests/sgx/fixture.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string_view variant = argv[1];
  sgx::SigningParams params;
  params.debuggable = variant == "debug";
  params.kss = variant == "kss";
  params.isv_prod_id = 0x1234;
  params.isv_svn = 7;
  if (params.kss) params.isv_family_id.fill(3);
  const sgx::EnclaveFileInputs inputs = sgx_test::make_inputs(params, variant != "sgx1");
  const sgx::SigningKey key = sgx_test::load_key("key.pem");
  const auto mrenclave = sgx::write_enclave_file(inputs, key, argv[2]);
  if (!mrenclave) {
    fmt::print(stderr, "{}\n", mrenclave.error().message);
    return 1;
  }
  const auto mrsigner = key.mrsigner();
  if (!mrsigner) return 1;
  fmt::print("{:02x}\n{:02x}\n", fmt::join(*mrenclave, ""), fmt::join(*mrsigner, ""));
  return 0;
}
