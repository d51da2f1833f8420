#include "host/driver_calls.h"

#include <cpuid.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "host/vdso.h"

namespace host {
namespace {

int result_of(int value) { return value < 0 ? -errno : value; }

void* address_of(std::uint64_t address) { return reinterpret_cast<void*>(address); }

}  // namespace

int LinuxDriverCalls::open(const char* path) { return result_of(::open(path, O_RDWR | O_CLOEXEC)); }

void LinuxDriverCalls::close(int fd) { ::close(fd); }

int LinuxDriverCalls::ioctl(int fd, std::uint32_t request, void* argument) { return result_of(::ioctl(fd, request, argument)); }

int LinuxDriverCalls::map(std::uint64_t address, std::uint64_t length, int protection, int flags, int fd) {
  void* const at = ::mmap(address_of(address), length, protection, flags, fd, 0);
  if (at == MAP_FAILED) return -errno;
  if (at == address_of(address)) return 0;
  // Kernels before 4.17 take MAP_FIXED_NOREPLACE as a hint.
  ::munmap(at, length);
  return -EEXIST;
}

int LinuxDriverCalls::protect(std::uint64_t address, std::uint64_t length, int protection) {
  return result_of(::mprotect(address_of(address), length, protection));
}

int LinuxDriverCalls::unmap(std::uint64_t address, std::uint64_t length) {
  return result_of(::munmap(address_of(address), length));
}

int LinuxDriverCalls::touch(std::uint64_t address) {
  // rt_sigprocmask(2) copies the new mask in before it looks at `how`: EINVAL means that the kernel could read the address,
  // EFAULT that it could not. Unlike a load by this program, it cannot raise SIGBUS when the machine is out of EPC.
  constexpr int kNoSuchHow = 0x7fff;
  constexpr std::size_t kKernelSigset = 8;
  // Not the null pointer, which would mean "no new mask".
  const std::uint64_t aligned = std::max<std::uint64_t>(address & ~std::uint64_t{7}, 8);
  if (::syscall(SYS_rt_sigprocmask, kNoSuchHow, address_of(aligned), nullptr, kKernelSigset) == 0) return 0;
  return errno == EINVAL ? 0 : -errno;
}

sgx::EnterFunction LinuxDriverCalls::enter_function() {
  return reinterpret_cast<sgx::EnterFunction>(find_vdso_function("__vdso_sgx_enter_enclave"));
}

std::uint64_t LinuxDriverCalls::enclave_xfrm() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  // SDM, CPUID leaf 12H sub-leaf 1: ECX and EDX are what SECS.ATTRIBUTES.XFRM may have.
  if (__get_cpuid_count(0x12, 1, &eax, &ebx, &ecx, &edx) == 0) return sgx::kXfrmLegacy;
  const std::uint64_t allowed = (std::uint64_t{edx} << 32) | ecx;
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  constexpr unsigned kOsxsave = 1U << 27;
  if ((ecx & kOsxsave) == 0) return sgx::kXfrmLegacy;
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (((std::uint64_t{high} << 32) | low) & allowed) | sgx::kXfrmLegacy;
}

int LinuxDriverCalls::signal_action(int signal, const struct sigaction& action) {
  return result_of(::sigaction(signal, &action, nullptr));
}

}  // namespace host
