// A model of the Linux SGX driver (arch/x86/kernel/cpu/sgx) and of the calls around it. See README.md.
#ifndef TESTS_DRIVER_MODEL_DRIVER_MODEL_H
#define TESTS_DRIVER_MODEL_DRIVER_MODEL_H

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "emulator/emulator.h"
#include "host/driver_calls.h"
#include "sgx/uapi.h"

namespace model {

// What kind of machine it is and what goes wrong on it.
struct Options {
  bool has_device = true;
  bool may_open = true;         // the user is in the group sgx
  bool may_provision = true;    // ... sgx_prv
  bool has_vdso_entry = true;
  bool has_sgx2 = true;         // the processor
  bool knows_edmm = true;       // Linux 6.0
  bool dev_is_noexec = false;   // /dev mounted noexec
  bool read_implies_exec = false;  // personality(2)
  bool old_einit_result = false;   // EINIT's error code is returned as it is (before Linux 5.11)
  std::uint64_t mmap_min_addr = 0x10000;
  std::uint64_t epc_pages = 1U << 20;   // ENOMEM beyond
  std::uint64_t noexec_source = 0;      // a page whose mapping has no VM_MAYEXEC
  std::uint64_t stop_after_pages = 0;   // 0: never. A signal is pending after so many pages of each request
  std::uint32_t eintr_first = 0;        // so many requests are interrupted before they do anything
  std::uint32_t eagain_first = 0;       // ... find their page being reclaimed (EDMM requests)
  std::uint32_t ebusy_first = 0;        // ... find the enclave busy
  bool lies_about_count = false;        // a broken driver: says that it did more than it was asked
  int odd_result = 0;                   // a broken driver: what EDMM requests return
  bool refuses_provisioning = false;    // the driver was built without it
  std::uint32_t fail_touch_after = 0;   // 0: never. So many touched pages, then the machine is out of EPC
  int fail_signal_action = 0;           // errno of sigaction
  int fail_reserve = 0;                 // errno of the first mmap
  std::uint64_t xfrm = sgx::kXfrmLegacy | sgx::kXfrmAvx;
  std::function<void()> during_ioctl = {};   // called while a request is being served (concurrency)
};

// Where and what a refused call offended.
struct Refusal {
  std::string rule;  // "ioctl.c sgx_ioc_enclave_create: created already"
  int error = 0;
};

class DriverModel final : public host::DriverCalls {
 public:
  explicit DriverModel(Options options = {});
  ~DriverModel() override;

  int open(const char* path) override;
  void close(int fd) override;
  int ioctl(int fd, std::uint32_t request, void* argument) override;
  int map(std::uint64_t address, std::uint64_t length, int protection, int flags, int fd) override;
  int protect(std::uint64_t address, std::uint64_t length, int protection) override;
  int unmap(std::uint64_t address, std::uint64_t length) override;
  int touch(std::uint64_t address) override;
  sgx::EnterFunction enter_function() override;
  std::uint64_t enclave_xfrm() override { return options_.xfrm; }
  int signal_action(int signal, const struct sigaction& action) override;

  Options& options() { return options_; }
  const Refusal& last_refusal() const { return refusal_; }
  emulator::Enclave* enclave() { return enclave_.get(); }
  std::uint64_t pages() const { return pages_.size(); }
  std::uint32_t requests() const { return requests_.load(); }
  bool is_open() const { return open_files_ != 0; }
  // The protection of the mapping at `address`, -1 if there is none.
  int protection_at(std::uint64_t address);

  static constexpr int kEnclaveFd = 1000;
  static constexpr int kProvisionFd = 1001;

 private:
  struct Page {  // struct sgx_encl_page
    sgx::PageType type;
    int max_protection;
  };
  struct Area {  // a mapping of the device
    std::uint64_t end;
    int protection;
  };

  int refuse(int error, std::string rule);
  int dispatch(std::uint32_t request, void* argument);
  int create(const sgx::uapi::EnclaveCreate& argument);
  int add_pages(sgx::uapi::EnclaveAddPages& argument);
  int add_page(std::uint64_t offset, std::uint64_t source, const sgx::Secinfo& secinfo, bool measure);
  int init(const sgx::uapi::EnclaveInit& argument);
  int provision(const sgx::uapi::EnclaveProvision& argument);
  int restrict_permissions(sgx::uapi::EnclaveRestrictPermissions& argument);
  int modify_types(sgx::uapi::EnclaveModifyTypes& argument);
  int modify_type(std::uint64_t offset, sgx::PageType type, std::uint64_t& result);
  int remove_pages(sgx::uapi::EnclaveRemovePages& argument);
  int remove_page(std::uint64_t offset);
  int ready_for_sgx2(const char* where);
  int check_range(const char* where, std::uint64_t offset, std::uint64_t length);
  int may_map(std::uint64_t start, std::uint64_t end, int protection);
  int fault(std::uint64_t address);
  bool readable(std::uint64_t address, std::uint64_t size);
  void set_area(std::uint64_t start, std::uint64_t end, int protection);
  bool overlaps(std::uint64_t start, std::uint64_t end) const;
  static bool on_enclave_fault(void* context, const emulator::PageFault& fault);

  Options options_;
  std::mutex refusal_mutex_;
  Refusal refusal_;
  std::unique_ptr<emulator::Enclave> enclave_;
  std::recursive_mutex mutex_;  // encl->lock
  std::map<std::uint64_t, Page> pages_;  // encl->page_array, by page address
  std::map<std::uint64_t, Area> areas_;
  std::atomic<bool> busy_ = false;  // SGX_ENCL_IOCTL
  std::atomic<std::uint32_t> requests_ = 0;
  int open_files_ = 0;
  bool provision_open_ = false;
  bool created_ = false;
  bool initialised_ = false;
  bool mapped_once_ = false;
  sgx::Secs secs_{};
  std::uint64_t attributes_mask_ = 0;
  std::uint32_t touched_ = 0;
};

}  // namespace model
#endif  // TESTS_DRIVER_MODEL_DRIVER_MODEL_H
