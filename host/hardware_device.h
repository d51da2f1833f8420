// The EnclaveDevice of machines with SGX: the Linux driver (/dev/sgx_enclave, Linux 5.11; EDMM since 6.0) and the vDSO's entry.
// Every system call goes through DriverCalls.
#ifndef HOST_HARDWARE_DEVICE_H
#define HOST_HARDWARE_DEVICE_H

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "host/driver_calls.h"
#include "host/enclave_device.h"

namespace host {

class HardwareDevice final : public EnclaveDevice {
 public:
  // Opens the device. The error says in one line why this machine cannot run enclaves on hardware.
  static Result<std::unique_ptr<HardwareDevice>> open(std::unique_ptr<DriverCalls> calls);
  ~HardwareDevice() override;

  std::string_view name() const override { return "SGX hardware"; }
  std::uint64_t supported_xfrm() const override { return calls_->enclave_xfrm(); }
  bool has_edmm() const override { return has_edmm_; }
  Status create(const sgx::Secs& secs) override;
  Status add_pages(const PageBatch& batch) override;
  Status init(const sgx::Sigstruct& sigstruct) override;
  int augment(std::uint64_t offset, std::uint64_t length) override;
  int restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) override;
  int modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) override;
  int remove_pages(std::uint64_t offset, std::uint64_t length) override;
  sgx::EnterFunction enter_function() const override;
  Status install_signal(int signal, SignalHandler handler) override;
  bool is_at_aep(const ucontext_t& context, std::uint64_t tcs) const override;
  DeviceCounters counters() const override;

 private:
  // A run of pages that is not mapped with all permissions: what the driver allows for its pages (encl.c, sgx_encl_may_map).
  struct Mapping {
    std::uint64_t start;
    std::uint64_t end;
    int protection;
  };
  struct RangeResult {
    int error;           // errno value or 0
    std::uint64_t done;  // bytes
  };
  HardwareDevice(std::unique_ptr<DriverCalls> calls, int fd, bool has_edmm);
  Status reserve_range(std::uint64_t size);
  Status allow_provisioning();
  Status add_from(const PageBatch& batch, std::uint64_t start, const void* source, std::uint64_t length);
  Status map_pages();
  Status map_range(std::uint64_t start, std::uint64_t end, int protection);
  int check_range(std::uint64_t offset, std::uint64_t length) const;
  int ioctl_retry(std::uint32_t request, void* argument);
  template <class Argument>
  RangeResult ioctl_range(std::uint32_t request, Argument argument);
  int open_removed(std::uint64_t offset, std::uint64_t length);

  const std::unique_ptr<DriverCalls> calls_;
  const int fd_;
  const bool has_edmm_;
  std::uint64_t size_ = 0;  // of ELRANGE; 0 before create
  bool initialised_ = false;
  std::mutex mutex_;
  std::vector<Mapping> mappings_;  // sorted, disjoint; guarded by mutex_ after init
  std::atomic<std::uint64_t> added_ = 0;  // pages
  std::atomic<std::uint64_t> augmented_ = 0;
  std::atomic<std::uint64_t> restricted_ = 0;
  std::atomic<std::uint64_t> retyped_ = 0;
  std::atomic<std::uint64_t> removed_ = 0;
};

}  // namespace host
#endif  // HOST_HARDWARE_DEVICE_H
