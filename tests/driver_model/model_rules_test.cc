// The model's own rules: wrong sequences and arguments that the driver refuses, each by the rule that is meant.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>

#include "host/shared_memory.h"
#include "tests/driver_model/driver_model.h"
#include "tests/host/payload.h"

namespace {

namespace uapi = sgx::uapi;
using model::DriverModel;

class ModelRules : public testing::Test {
 protected:
  void SetUp() override {
    payload::use_test_device();
    fd_ = driver_.open("/dev/sgx_enclave");
    ASSERT_EQ(fd_, DriverModel::kEnclaveFd);
    secs_ = enclave_.secs();
    sigstruct_ = enclave_.sigstruct();
    secinfo_.flags = sgx::kSecinfoRegRw;
    add_ = {.src = address(&page_), .offset = payload::kFree, .length = 4096, .secinfo = address(&secinfo_), .flags = 0, .count = 0};
  }
  template <class T>
  static std::uint64_t address(const T* object) {
    return reinterpret_cast<std::uint64_t>(object);
  }
  template <class T>
  int ioctl(std::uint32_t request, T& argument) {
    return driver_.ioctl(fd_, request, &argument);
  }
  int create() {
    uapi::EnclaveCreate argument = {address(&secs_)};
    return ioctl(uapi::kEnclaveCreate, argument);
  }
  int add() { return ioctl(uapi::kEnclaveAddPages, add_); }
  int init() {
    uapi::EnclaveInit argument = {address(&sigstruct_)};
    return ioctl(uapi::kEnclaveInit, argument);
  }
  void load() {
    ASSERT_EQ(create(), 0);
    for (const host::PageBatch& batch : enclave_.batches()) {
      for (std::uint64_t at = 0; at < batch.length; at += 4096) {
        secinfo_.flags = batch.secinfo_flags;
        add_ = {.src = batch.source == nullptr ? address(&page_) : address(static_cast<const char*>(batch.source) + at),
                .offset = batch.offset + at,
                .length = 4096,
                .secinfo = address(&secinfo_),
                .flags = batch.measure ? uapi::kAddPagesMeasure : 0,
                .count = 0};
        ASSERT_EQ(add(), 0);
        ASSERT_EQ(add_.count, 4096U);
      }
    }
    ASSERT_EQ(init(), 0);
    ASSERT_EQ(driver_.map(0x10000, payload::kCode - 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd_), 0);
    ASSERT_EQ(driver_.map(payload::kFree, payload::kSize - payload::kFree, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_SHARED | MAP_FIXED, fd_),
              0);
  }
  // The call gave -error, and by the rule whose name contains `rule`.
  void refused(int result, int error, std::string_view rule) {
    EXPECT_EQ(result, -error) << rule;
    EXPECT_EQ(driver_.last_refusal().error, error) << rule;
    EXPECT_NE(driver_.last_refusal().rule.find(rule), std::string::npos) << driver_.last_refusal().rule;
  }

  struct alignas(4096) Page {
    std::uint8_t bytes[4096];
  };
  payload::Script script_;
  host::SharedMemory memory_ = host::SharedMemory::create(1, 1, 0, {}).value();
  payload::Enclave enclave_{{&script_}, {&memory_.vcpu(0)}};
  DriverModel driver_;
  int fd_ = -1;
  Page page_{};
  alignas(4096) sgx::Secs secs_{};
  alignas(4096) sgx::Sigstruct sigstruct_{};
  alignas(64) sgx::Secinfo secinfo_{};
  uapi::EnclaveAddPages add_{};
};

TEST_F(ModelRules, RequestsNeedAnOpenFile) {
  driver_.close(fd_);
  refused(create(), EBADF, "not an open enclave file");
  EXPECT_EQ(driver_.map(0x10000, 4096, PROT_NONE, MAP_SHARED | MAP_FIXED, fd_), -EBADF);
  refused(driver_.open("/dev/null"), ENOENT, "no such device");
}

TEST_F(ModelRules, UnknownRequestsAndBadArguments) {
  refused(driver_.ioctl(fd_, uapi::kVepcRemoveAll, &add_), ENOTTY, "unknown request");
  refused(driver_.ioctl(fd_, uapi::kEnclaveCreate, nullptr), EFAULT, "argument");
}

TEST_F(ModelRules, CreateIsChecked) {
  uapi::EnclaveCreate nowhere = {0x1000};
  refused(ioctl(uapi::kEnclaveCreate, nowhere), EFAULT, "create: src");
  secs_.size = 3 * 4096;
  refused(create(), EINVAL, "sgx_encl_create: size");
  secs_ = enclave_.secs();
  secs_.attributes.xfrm = 0;
  refused(create(), EIO, "ECREATE");
  secs_ = enclave_.secs();
  EXPECT_EQ(create(), 0);
  refused(create(), EINVAL, "created already");
}

TEST_F(ModelRules, NothingBeforeCreate) {
  refused(add(), EINVAL, "add_pages: not created");
  refused(init(), EINVAL, "init: not created");
  uapi::EnclaveRemovePages remove = {};
  refused(ioctl(uapi::kEnclaveRemovePages, remove), EINVAL, "not initialised");
}

TEST_F(ModelRules, AddPagesArgumentsAreChecked) {
  ASSERT_EQ(create(), 0);
  const uapi::EnclaveAddPages good = add_;
  add_.src += 8;
  refused(add(), EINVAL, "src alignment");
  add_ = good;
  add_.offset += 8;
  refused(add(), EINVAL, "offset alignment");
  add_ = good;
  add_.length = 0;
  refused(add(), EINVAL, "length");
  add_.length = 100;
  refused(add(), EINVAL, "length");
  add_ = good;
  add_.offset = ~std::uint64_t{0xfff};
  add_.length = 0x2000;
  refused(add(), EINVAL, "overflow");
  add_ = good;
  add_.offset = payload::kSize;
  refused(add(), EINVAL, "beyond the enclave");
  add_ = good;
  add_.secinfo = 0x1000;
  refused(add(), EFAULT, "secinfo");
  add_ = good;
  add_.src = 0x1000;
  refused(add(), EFAULT, "source");
  add_ = good;
  add_.flags = 2;
  refused(add(), EINVAL, "flags");
}

TEST_F(ModelRules, SecinfoIsChecked) {
  ASSERT_EQ(create(), 0);
  secinfo_.flags = sgx::secinfo_flags(sgx::PageType::va, sgx::kSecinfoR);
  refused(add(), EINVAL, "page type");
  secinfo_.flags = sgx::secinfo_flags(sgx::PageType::reg, sgx::kSecinfoW);
  refused(add(), EINVAL, "W without R");
  secinfo_.flags = sgx::secinfo_flags(sgx::PageType::tcs, sgx::kSecinfoR);
  refused(add(), EINVAL, "permissions of a TCS");
  secinfo_.flags = sgx::kSecinfoRegRw | sgx::kSecinfoPending;
  refused(add(), EINVAL, "reserved flags");
  secinfo_.flags = sgx::kSecinfoRegRw;
  secinfo_.reserved[3] = 1;
  refused(add(), EINVAL, "reserved bytes");
}

TEST_F(ModelRules, PagesAreAddedOnceAndInTime) {
  ASSERT_EQ(create(), 0);
  ASSERT_EQ(add(), 0);
  refused(add(), EBUSY, "xa_insert");
  secinfo_.flags = sgx::kSecinfoTcs;  // a zero page is no TCS: OSSA and NSSA
  add_.offset = payload::kFree + 0x1000;
  page_.bytes[28] = 0xff;
  page_.bytes[8] = 0xff;  // reserved flags
  refused(add(), EIO, "EADD");
}

TEST_F(ModelRules, ASignalStopsAddingPages) {
  ASSERT_EQ(create(), 0);
  struct alignas(4096) Three {
    std::uint8_t bytes[3 * 4096] = {};
  };
  const auto source = std::make_unique<Three>();
  add_.src = address(source.get());
  add_.length = 3 * 4096;
  driver_.options().stop_after_pages = 2;
  EXPECT_EQ(add(), 0);
  EXPECT_EQ(add_.count, 2U * 4096);
  driver_.options().eintr_first = 1;
  refused(add(), EINTR, "interrupted");
  EXPECT_EQ(add_.count, 0U);
}

TEST_F(ModelRules, InitIsChecked) {
  ASSERT_EQ(create(), 0);
  uapi::EnclaveInit nowhere = {0x1000};
  refused(ioctl(uapi::kEnclaveInit, nowhere), EFAULT, "sigstruct");
  sigstruct_.vendor = 1;
  refused(init(), EINVAL, "vendor");
  sigstruct_ = enclave_.sigstruct();
  sigstruct_.attributes.flags |= std::uint64_t{1} << 40;
  sigstruct_.attributes_mask.flags = ~std::uint64_t{0};
  refused(init(), EINVAL, "reserved attributes");
  sigstruct_ = enclave_.sigstruct();
  sigstruct_.miscselect |= 0x80;
  refused(init(), EINVAL, "reserved misc bits");
  sigstruct_ = enclave_.sigstruct();
  refused(init(), EPERM, "EINIT");  // no page was added: another measurement
}

TEST_F(ModelRules, NothingIsAddedAfterInit) {
  load();
  refused(add(), EINVAL, "add_pages: initialised");
  refused(init(), EINVAL, "init: initialised");
}

TEST_F(ModelRules, ProvisioningNeedsItsFile) {
  secs_.attributes.flags |= sgx::kAttrProvisionKey;
  ASSERT_EQ(create(), 0);
  refused(init(), EACCES, "attributes");
  uapi::EnclaveProvision provision = {static_cast<std::uint64_t>(fd_)};
  refused(ioctl(uapi::kEnclaveProvision, provision), EINVAL, "sgx_set_attribute");
  provision.fd = static_cast<std::uint64_t>(driver_.open("/dev/sgx_provision"));
  EXPECT_EQ(ioctl(uapi::kEnclaveProvision, provision), 0);
  refused(init(), EPERM, "EINIT");  // allowed now, but not what was signed
}

TEST_F(ModelRules, MappingsAreChecked) {
  const auto map = [&](std::uint64_t at, std::uint64_t length, int protection, int flags) {
    return driver_.map(at, length, protection, flags, fd_);
  };
  refused(map(0x10000, 4096, PROT_NONE, MAP_PRIVATE | MAP_FIXED), EINVAL, "MAP_PRIVATE");
  refused(map(0x1000, 4096, PROT_NONE, MAP_SHARED | MAP_FIXED), EPERM, "mmap_min_addr");
  refused(map(0x10008, 4096, PROT_NONE, MAP_SHARED | MAP_FIXED), EINVAL, "alignment");
  refused(map(0x10000, 4096, PROT_NONE, MAP_SHARED), EINVAL, "fixed");
  ASSERT_EQ(map(0x20000, 0x2000, PROT_NONE, MAP_SHARED | MAP_FIXED), 0);
  refused(map(0x21000, 0x2000, PROT_NONE, MAP_SHARED | MAP_FIXED_NOREPLACE), EEXIST, "NOREPLACE");
  refused(driver_.protect(0x90000, 0x1000, PROT_READ), ENOMEM, "nothing mapped");
  load();
  refused(map(payload::kSize, 4096, PROT_READ, MAP_SHARED | MAP_FIXED), EACCES, "outside the enclave");
  refused(map(payload::kReadOnly, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED), EACCES, "more than the page may have");
  refused(map(payload::tcs(0), 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED), EACCES, "more than the page may have");
  ASSERT_EQ(map(payload::kReadOnly, 4096, PROT_READ, MAP_SHARED | MAP_FIXED), 0);
  refused(driver_.protect(payload::kReadOnly, 4096, PROT_READ | PROT_EXEC), EACCES, "more than the page may have");
  driver_.options().read_implies_exec = true;
  refused(map(payload::kData, 4096, PROT_READ, MAP_SHARED | MAP_FIXED), EACCES, "READ_IMPLIES_EXEC");
  driver_.options().read_implies_exec = false;
  EXPECT_EQ(driver_.unmap(payload::kReadOnly, 4096), 0);
  EXPECT_EQ(driver_.protection_at(payload::kReadOnly), -1);
}

TEST_F(ModelRules, FaultsAddPagesOnlyWhereTheyMay) {
  ASSERT_EQ(driver_.map(0x10000, payload::kSize - 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_), 0);
  refused(driver_.touch(payload::kFree), EFAULT, "not initialised");
  ASSERT_EQ(driver_.unmap(0x10000, payload::kSize - 0x10000), 0);
  load();
  EXPECT_EQ(driver_.touch(payload::kFree), 0);
  EXPECT_EQ(driver_.enclave()->page_flags(payload::kFree), sgx::kSecinfoRegRw | sgx::kSecinfoPending);
  EXPECT_EQ(driver_.touch(payload::kFree), 0);  // there already
  refused(driver_.touch(payload::kSize + 0x1000), EFAULT, "nothing mapped");
  ASSERT_EQ(driver_.protect(payload::kFree + 0x4000, 0x1000, PROT_NONE), 0);
  refused(driver_.touch(payload::kFree + 0x4000), EFAULT, "no access");
  driver_.options().epc_pages = driver_.pages();
  refused(driver_.touch(payload::kFree + 0x8000), EFAULT, "no EPC");
  driver_.options().has_sgx2 = false;
  refused(driver_.touch(payload::kFree + 0x8000), EFAULT, "no page");
}

TEST_F(ModelRules, ATcsMappedWithExecuteCannotBeLoaded) {
  load();
  ASSERT_EQ(driver_.touch(payload::kFree), 0);
  // Pending pages cannot change their type; this one was in the file.
  ASSERT_EQ(driver_.map(payload::kData, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_), 0);
  uapi::EnclaveModifyTypes modify = {payload::kData, 0x1000, 1, 0, 0};
  EXPECT_EQ(ioctl(uapi::kEnclaveModifyTypes, modify), 0);
  refused(driver_.protect(payload::kData, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC), EACCES, "more than the page may have");
}

TEST_F(ModelRules, EdmmArgumentsAreChecked) {
  load();
  const auto restrict = [&](std::uint64_t offset, std::uint64_t length, std::uint64_t permissions, std::uint64_t count = 0) {
    uapi::EnclaveRestrictPermissions argument = {offset, length, permissions, 0, count};
    return ioctl(uapi::kEnclaveRestrictPermissions, argument);
  };
  const auto modify = [&](std::uint64_t offset, std::uint64_t type, std::uint64_t result = 0) {
    uapi::EnclaveModifyTypes argument = {offset, 4096, type, result, 0};
    return ioctl(uapi::kEnclaveModifyTypes, argument);
  };
  const auto remove = [&](std::uint64_t offset, std::uint64_t count = 0) {
    uapi::EnclaveRemovePages argument = {offset, 4096, count};
    return ioctl(uapi::kEnclaveRemovePages, argument);
  };
  refused(restrict(payload::kData + 1, 4096, 1), EINVAL, "offset alignment");
  refused(restrict(payload::kData, 0, 1), EINVAL, "length");
  refused(restrict(payload::kSize, 4096, 1), EINVAL, "beyond the enclave");
  refused(restrict(payload::kData, 4096, 8), EINVAL, "permissions");
  refused(restrict(payload::kData, 4096, 2), EINVAL, "W without R");
  refused(restrict(payload::kData, 4096, 1, 4096), EINVAL, "count must be 0");
  refused(restrict(payload::kFree, 4096, 1), EFAULT, "no page");
  refused(restrict(payload::tcs(0), 4096, 1), EINVAL, "not REG");
  EXPECT_EQ(restrict(payload::kData, 4096, 1), 0);
  ASSERT_EQ(driver_.touch(payload::kFree + 0x8000), 0);
  refused(restrict(payload::kFree + 0x8000, 4096, 1), EFAULT, "EMODPR");  // still PENDING
  refused(modify(payload::kData, 0x100), EINVAL, "page type");
  refused(modify(payload::kData, 2), EINVAL, "page type");
  refused(modify(payload::kData, 4, 1), EINVAL, "count must be 0");
  refused(modify(payload::kFree, 4), EFAULT, "no page");
  refused(modify(payload::tcs(0), 1), EINVAL, "from this type");
  refused(modify(payload::kReadOnly, 1), EPERM, "R and W");
  refused(remove(payload::kData, 1), EINVAL, "count must be 0");
  refused(remove(payload::kFree), EFAULT, "no page");
  refused(remove(payload::kData), EPERM, "not trimmed");
  ASSERT_EQ(modify(payload::kData + 0x1000, 4), 0);
  refused(remove(payload::kData + 0x1000), EPERM, "not accepted");
}

TEST_F(ModelRules, OldMachinesHaveNoEdmm) {
  load();
  uapi::EnclaveRemovePages remove = {payload::kData, 4096, 0};
  driver_.options().has_sgx2 = false;
  refused(ioctl(uapi::kEnclaveRemovePages, remove), ENODEV, "no SGX2");
  driver_.options().knows_edmm = false;
  refused(ioctl(uapi::kEnclaveRemovePages, remove), ENOTTY, "unknown request");
}

TEST_F(ModelRules, TwoRequestsAtOnceAreRefused) {
  ASSERT_EQ(create(), 0);
  std::atomic<int> second = 1;
  driver_.options().during_ioctl = [&] {
    driver_.options().during_ioctl = nullptr;
    std::thread([&] {
      uapi::EnclaveInit argument = {address(&sigstruct_)};
      second = driver_.ioctl(fd_, uapi::kEnclaveInit, &argument);
    }).join();
  };
  EXPECT_EQ(add(), 0);
  EXPECT_EQ(second, -EBUSY);
}

}  // namespace
