// The EnclaveDevice of machines without SGX: a thin layer over emulator/.
#ifndef HOST_EMULATOR_DEVICE_H
#define HOST_EMULATOR_DEVICE_H

#include <memory>
#include <string>
#include <string_view>

#include "emulator/emulator.h"
#include "host/enclave_device.h"

namespace host {

class EmulatorDevice final : public EnclaveDevice {
 public:
  explicit EmulatorDevice(const emulator::Options& options);

  std::string_view name() const override { return name_; }
  std::uint64_t supported_xfrm() const override { return emulator::supported_xfrm(); }
  bool has_edmm() const override { return options_.sgx2; }
  Status create(const sgx::Secs& secs) override;
  Status add_pages(const PageBatch& batch) override;
  Status init(const sgx::Sigstruct& sigstruct) override;
  int augment(std::uint64_t offset, std::uint64_t length) override;
  int restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) override;
  int modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) override;
  int remove_pages(std::uint64_t offset, std::uint64_t length) override;
  sgx::EnterFunction enter_function() const override;
  Status begin_thread() override;
  Status install_signal(int signal, SignalHandler handler) override;
  bool is_at_aep(const ucontext_t& context, std::uint64_t tcs) const override;
  DeviceCounters counters() const override;

  // The emulated enclave; null before create. For tests.
  emulator::Enclave* enclave() { return enclave_.get(); }

 private:
  int check_range(std::uint64_t offset, std::uint64_t length) const;

  const emulator::Options options_;
  const std::string name_;
  std::unique_ptr<emulator::Enclave> enclave_;
};

// One line for a leaf that failed: "EINIT: error 8 (INVALID_SIGNATURE)", "EADD: #GP".
std::string describe(std::string_view leaf, const emulator::Status& status);

}  // namespace host
#endif  // HOST_EMULATOR_DEVICE_H
