// The few system calls that HardwareDevice makes, behind an interface, so that tests put a model of the driver in their place.
#ifndef HOST_DRIVER_CALLS_H
#define HOST_DRIVER_CALLS_H

#include <signal.h>

#include <cstdint>

#include "sgx/arch.h"

namespace host {

// Every function returns 0 (or the documented value) or -errno, as the system call of that name does.
class DriverCalls {
 public:
  DriverCalls() = default;
  virtual ~DriverCalls() = default;
  DriverCalls(const DriverCalls&) = delete;
  DriverCalls& operator=(const DriverCalls&) = delete;

  virtual int open(const char* path) = 0;  // O_RDWR | O_CLOEXEC; the descriptor
  virtual void close(int fd) = 0;
  virtual int ioctl(int fd, std::uint32_t request, void* argument) = 0;  // may be positive: an SGX error code
  virtual int map(std::uint64_t address, std::uint64_t length, int protection, int flags, int fd) = 0;  // MAP_FIXED* only
  virtual int protect(std::uint64_t address, std::uint64_t length, int protection) = 0;
  virtual int unmap(std::uint64_t address, std::uint64_t length) = 0;

  // Makes the kernel read the byte at `address`; -EFAULT where it cannot. The driver adds the page on that fault (encl.c,
  // sgx_encl_eaug_page), and no signal is raised.
  virtual int touch(std::uint64_t address) = 0;

  // __vdso_sgx_enter_enclave, or null where the kernel has none.
  virtual sgx::EnterFunction enter_function() = 0;

  // The XFRM bits that an enclave may have: XCR0, limited by CPUID(0x12, 1).
  virtual std::uint64_t enclave_xfrm() = 0;

  // As sigaction: the real one for the hardware.
  virtual int signal_action(int signal, const struct sigaction& action) = 0;
};

// The Linux kernel.
class LinuxDriverCalls final : public DriverCalls {
 public:
  int open(const char* path) override;
  void close(int fd) override;
  int ioctl(int fd, std::uint32_t request, void* argument) override;
  int map(std::uint64_t address, std::uint64_t length, int protection, int flags, int fd) override;
  int protect(std::uint64_t address, std::uint64_t length, int protection) override;
  int unmap(std::uint64_t address, std::uint64_t length) override;
  int touch(std::uint64_t address) override;
  sgx::EnterFunction enter_function() override;
  std::uint64_t enclave_xfrm() override;
  int signal_action(int signal, const struct sigaction& action) override;
};

}  // namespace host
#endif  // HOST_DRIVER_CALLS_H
