// Offsets are asserted in the headers; here they are compared with the Linux kernel's own header, and the helpers are tested.
#include "sgx/arch.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "host_abi/entry.h"
#include "host_abi/kernel_layout.h"
#include "sgx/quote.h"
#include "sgx/uapi.h"
#if __has_include(<asm/sgx.h>)
#include <asm/sgx.h>
#include <sys/ioctl.h>
#define HAVE_LINUX_SGX_H 1
#endif

namespace {

#ifdef HAVE_LINUX_SGX_H
TEST(Arch, IoctlsAreThoseOfLinux) {
  EXPECT_EQ(sgx::uapi::kEnclaveCreate, SGX_IOC_ENCLAVE_CREATE);
  EXPECT_EQ(sgx::uapi::kEnclaveAddPages, SGX_IOC_ENCLAVE_ADD_PAGES);
  EXPECT_EQ(sgx::uapi::kEnclaveInit, SGX_IOC_ENCLAVE_INIT);
  EXPECT_EQ(sgx::uapi::kEnclaveProvision, SGX_IOC_ENCLAVE_PROVISION);
  EXPECT_EQ(sgx::uapi::kAddPagesMeasure, static_cast<unsigned>(SGX_PAGE_MEASURE));
  EXPECT_EQ(offsetof(sgx::uapi::EnclaveAddPages, count), offsetof(struct sgx_enclave_add_pages, count));
  EXPECT_EQ(offsetof(sgx::uapi::EnclaveAddPages, secinfo), offsetof(struct sgx_enclave_add_pages, secinfo));
#ifdef SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS
  EXPECT_EQ(sgx::uapi::kVepcRemoveAll, SGX_IOC_VEPC_REMOVE_ALL);
  EXPECT_EQ(sgx::uapi::kEnclaveRestrictPermissions, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS);
  EXPECT_EQ(sgx::uapi::kEnclaveModifyTypes, SGX_IOC_ENCLAVE_MODIFY_TYPES);
  EXPECT_EQ(sgx::uapi::kEnclaveRemovePages, SGX_IOC_ENCLAVE_REMOVE_PAGES);
  EXPECT_EQ(offsetof(sgx::uapi::EnclaveModifyTypes, result), offsetof(struct sgx_enclave_modify_types, result));
  EXPECT_EQ(offsetof(sgx::uapi::EnclaveRestrictPermissions, count),
            offsetof(struct sgx_enclave_restrict_permissions, count));
#endif
}

TEST(Arch, EnclaveRunIsThatOfLinux) {
  EXPECT_EQ(sizeof(sgx::EnclaveRun), sizeof(struct sgx_enclave_run));
  EXPECT_EQ(offsetof(sgx::EnclaveRun, function), offsetof(struct sgx_enclave_run, function));
  EXPECT_EQ(offsetof(sgx::EnclaveRun, exception_vector), offsetof(struct sgx_enclave_run, exception_vector));
  EXPECT_EQ(offsetof(sgx::EnclaveRun, exception_error_code), offsetof(struct sgx_enclave_run, exception_error_code));
  EXPECT_EQ(offsetof(sgx::EnclaveRun, exception_addr), offsetof(struct sgx_enclave_run, exception_addr));
  EXPECT_EQ(offsetof(sgx::EnclaveRun, user_handler), offsetof(struct sgx_enclave_run, user_handler));
  EXPECT_EQ(offsetof(sgx::EnclaveRun, user_data), offsetof(struct sgx_enclave_run, user_data));
}
#endif

TEST(Arch, SecinfoFlags) {
  EXPECT_EQ(sgx::kSecinfoTcs, 0x100U);
  EXPECT_EQ(sgx::kSecinfoRegR, 0x201U);
  EXPECT_EQ(sgx::kSecinfoRegRw, 0x203U);
  EXPECT_EQ(sgx::kSecinfoRegRx, 0x205U);
  EXPECT_EQ(sgx::kSecinfoRegRwx, 0x207U);
  EXPECT_EQ(sgx::secinfo_type(0x403), sgx::PageType::trim);
}

TEST(Arch, SsaFrame) {
  EXPECT_EQ(sgx::ssa_gpr_offset(4096), 4096U - 184U);
  EXPECT_EQ(sgx::ssa_exinfo_offset(4 * 4096), 4U * 4096U - 184U - 16U);
}

TEST(Arch, Exitinfo) {
  EXPECT_EQ(sgx::make_exitinfo(6, sgx::kExitInfoTypeHardware), 0x80000306U);
  EXPECT_EQ(sgx::make_exitinfo(3, sgx::kExitInfoTypeSoftware), 0x80000603U);
  for (const std::uint8_t vector : std::to_array<std::uint8_t>({0, 1, 3, 5, 6, 16, 17, 19})) EXPECT_TRUE(sgx::exitinfo_reports(vector, 0));
  for (const std::uint8_t vector : std::to_array<std::uint8_t>({13, 14})) {
    EXPECT_FALSE(sgx::exitinfo_reports(vector, 0));
    EXPECT_TRUE(sgx::exitinfo_reports(vector, sgx::kMiscExinfo));
  }
  for (const std::uint8_t vector : std::to_array<std::uint8_t>({2, 4, 8, 32, 255})) EXPECT_FALSE(sgx::exitinfo_reports(vector, sgx::kMiscExinfo));
}

TEST(Arch, LayoutHelpers) {
  host_abi::KernelLayout layout{};
  layout.tcs_base = 0x100000;
  layout.tcs_stride = 0x20000;
  layout.ssa_offset = 0x1000;
  layout.ssa_frame_pages = 4;
  layout.vcpu_block_offset = 0xe000;
  EXPECT_EQ(layout.slot(3), 0x160000U);
  EXPECT_EQ(layout.vcpu_block(1), 0x12e000U);
  EXPECT_EQ(layout.ssa_frame(1, 2), 0x120000U + 0x1000U + 2U * 0x4000U);
}

}  // namespace
