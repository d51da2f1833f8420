#include "host/hardware_device.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include "host/sgx_error.h"
#include "sgx/uapi.h"

namespace host {
namespace {

namespace uapi = sgx::uapi;
using sgx::kPageSize;

// vm.mmap_min_addr forbids lower mappings to ordinary users; the kernel of the enclave uses nothing below either.
constexpr std::uint64_t kFirstMapped = 0x10000;
// Unused ranges from this size on are opened for augmenting; smaller ones are guards and stay closed.
constexpr std::uint64_t kMinOpenGap = 0x10000;
// EAGAIN and EBUSY without progress this often: something is wrong.
constexpr int kMaxAttempts = 100'000;
constexpr std::uint64_t kZeroBytes = 256 * 1024;
constexpr int kAllAccess = PROT_READ | PROT_WRITE | PROT_EXEC;

// The source of zero pages. The driver wants a source in memory that may be executable (ioctl.c, __sgx_encl_add_page): .bss is.
alignas(kPageSize) std::array<std::byte, kZeroBytes> g_zeros;

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

int protection_of(std::uint64_t secinfo_flags) {
  if (sgx::secinfo_type(secinfo_flags) == sgx::PageType::tcs) return PROT_READ | PROT_WRITE;
  return ((secinfo_flags & sgx::kSecinfoR) != 0 ? PROT_READ : 0) | ((secinfo_flags & sgx::kSecinfoW) != 0 ? PROT_WRITE : 0) |
         ((secinfo_flags & sgx::kSecinfoX) != 0 ? PROT_EXEC : 0);
}

bool is_transient(int error) { return error == EINTR || error == EAGAIN || error == EBUSY; }

// sigaction has no room for our handler's type, so one trampoline looks it up.
std::array<std::atomic<EnclaveDevice::SignalHandler>, 65> g_handlers;

void trampoline(int signal, siginfo_t* info, void* context) {
  const auto handler = g_handlers[static_cast<std::size_t>(signal)].load();
  if (handler != nullptr) handler(signal, info, static_cast<ucontext_t*>(context));
}

}  // namespace

Result<std::unique_ptr<HardwareDevice>> HardwareDevice::open(std::unique_ptr<DriverCalls> calls) {
  const int fd = calls->open("/dev/sgx_enclave");
  if (fd < 0) {
    const char* const hint = fd == -EACCES ? " (is this user in the group sgx?)"
                             : fd == -ENOENT ? " (no SGX here, or switched off in the firmware, or the kernel lacks CONFIG_X86_SGX)"
                                             : "";
    return fail(-fd, "SGX hardware cannot be used: /dev/sgx_enclave: {}{}", errno_text(fd), hint);
  }
  if (calls->enter_function() == nullptr) {
    calls->close(fd);
    return fail(ENOSYS, "SGX hardware cannot be used: this Linux kernel has no __vdso_sgx_enter_enclave");
  }
  // ioctl.c, sgx_ioc_sgx2_ready: before the enclave is initialised the answer is EINVAL if the machine can do it, ENODEV if the
  // processor cannot; a driver without EDMM does not know the request (ENOTTY).
  uapi::EnclaveRemovePages probe = {};
  const bool has_edmm = calls->ioctl(fd, uapi::kEnclaveRemovePages, &probe) == -EINVAL;
  return std::unique_ptr<HardwareDevice>(new HardwareDevice(std::move(calls), fd, has_edmm));
}

HardwareDevice::HardwareDevice(std::unique_ptr<DriverCalls> calls, int fd, bool has_edmm)
    : calls_(std::move(calls)), fd_(fd), has_edmm_(has_edmm) {}

HardwareDevice::~HardwareDevice() {
  if (size_ != 0) calls_->unmap(kFirstMapped, size_ - kFirstMapped);
  calls_->close(fd_);
}

int HardwareDevice::ioctl_retry(std::uint32_t request, void* argument) {
  int result = 0;
  for (int i = 0; i < kMaxAttempts; ++i) {
    result = calls_->ioctl(fd_, request, argument);
    if (result >= 0 || !is_transient(-result)) break;
    if (result != -EINTR) sched_yield();
  }
  return result;
}

// Repeats a request on what is left of its range: the driver stops early for a signal and says how far it came.
template <class Argument>
HardwareDevice::RangeResult HardwareDevice::ioctl_range(std::uint32_t request, Argument argument) {
  const std::uint64_t start = argument.offset;
  const std::uint64_t length = argument.length;
  std::uint64_t done = 0;
  for (int idle_rounds = 0; done < length;) {
    Argument rest = argument;
    rest.offset = start + done;
    rest.length = length - done;
    rest.count = 0;
    if constexpr (requires { rest.src; }) rest.src += done;
    const int result = calls_->ioctl(fd_, request, &rest);
    if (rest.count > rest.length) return {EIO, done};
    done += rest.count;
    if (result > 0) return {EIO, done};
    if (result < 0 && !is_transient(-result)) return {-result, done};
    idle_rounds = rest.count == 0 ? idle_rounds + 1 : 0;
    if (idle_rounds > kMaxAttempts) return {EBUSY, done};
    if (result == -EAGAIN || result == -EBUSY) sched_yield();
  }
  return {0, done};
}

Status HardwareDevice::reserve_range(std::uint64_t size) {
  const int error = -calls_->map(kFirstMapped, size - kFirstMapped, PROT_NONE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd_);
  if (error == 0) return {};
  if (error == EPERM || error == EACCES) {
    return fail(error, "cannot map the enclave from {:#x}: {} (sysctl vm.mmap_min_addr must not be above {})", kFirstMapped,
                errno_text(error), kFirstMapped);
  }
  if (error == EEXIST) {
    return fail(error, "something of this process lies below {:#x}, where the enclave must be (a profiler or preloaded library?)",
                size);
  }
  return fail(error, "cannot reserve {:#x} bytes of addresses for the enclave: {}", size, errno_text(error));
}

// ioctl.c, sgx_ioc_enclave_provision. After ECREATE, which resets what is allowed, and before EINIT.
Status HardwareDevice::allow_provisioning() {
  const int fd = calls_->open("/dev/sgx_provision");
  if (fd < 0) {
    return fail(-fd, "the enclave wants the provisioning key: /dev/sgx_provision: {} (is this user in the group sgx_prv?)",
                errno_text(fd));
  }
  uapi::EnclaveProvision argument = {static_cast<std::uint64_t>(fd)};
  const int result = ioctl_retry(uapi::kEnclaveProvision, &argument);
  calls_->close(fd);
  if (result == 0) return {};
  return fail(-result, "the driver does not allow the provisioning key: {}", errno_text(result));
}

Status HardwareDevice::create(const sgx::Secs& secs) {
  if (size_ != 0) return fail(EBUSY, "this device has an enclave already");
  if (secs.base != 0) return fail(EINVAL, "the enclave's range must start at 0");
  if (!std::has_single_bit(secs.size) || secs.size <= kFirstMapped) {
    return fail(EINVAL, "the enclave's size {:#x} is not a power of two above {:#x}", secs.size, kFirstMapped);
  }
  const Status reserved = reserve_range(secs.size);
  if (!reserved) return reserved;
  size_ = secs.size;
  alignas(kPageSize) const sgx::Secs source = secs;
  uapi::EnclaveCreate argument = {address_of(&source)};
  if (const int result = ioctl_retry(uapi::kEnclaveCreate, &argument); result != 0) {
    return fail(-result, "ECREATE failed: {} (is the enclave's size {:#x} or a feature it requires beyond this processor?)",
                errno_text(result), secs.size);
  }
  if ((secs.attributes.flags & sgx::kAttrProvisionKey) != 0) return allow_provisioning();
  return {};
}

Status HardwareDevice::add_pages(const PageBatch& batch) {
  if (size_ == 0 || initialised_) return fail(EINVAL, "pages can be added only between creation and initialisation");
  if (batch.source != nullptr) {
    const Status added = add_from(batch, batch.offset, batch.source, batch.length);
    if (!added) return added;
  } else {
    for (std::uint64_t done = 0; done < batch.length; done += kZeroBytes) {
      const std::uint64_t part = std::min(kZeroBytes, batch.length - done);
      const Status added = add_from(batch, batch.offset + done, g_zeros.data(), part);
      if (!added) return added;
    }
  }
  const int protection = protection_of(batch.secinfo_flags);
  const std::uint64_t end = batch.offset + batch.length;
  if (!mappings_.empty() && mappings_.back().end == batch.offset && mappings_.back().protection == protection) {
    mappings_.back().end = end;
  } else {
    mappings_.push_back({batch.offset, end, protection});
  }
  return {};
}

Status HardwareDevice::add_from(const PageBatch& batch, std::uint64_t start, const void* source, std::uint64_t length) {
  alignas(sgx::kAlignSecinfo) const sgx::Secinfo secinfo = {batch.secinfo_flags, {}};
  const uapi::EnclaveAddPages argument = {.src = address_of(source),
                                          .offset = start,
                                          .length = length,
                                          .secinfo = address_of(&secinfo),
                                          .flags = batch.measure ? uapi::kAddPagesMeasure : 0,
                                          .count = 0};
  const RangeResult result = ioctl_range(uapi::kEnclaveAddPages, argument);
  added_.fetch_add(result.done / kPageSize, std::memory_order_relaxed);
  if (result.error == 0) return {};
  const char* const hint = result.error == ENOMEM ? " (out of EPC memory)"
                           : result.error == EACCES ? " (the enclave file is on a file system mounted noexec)"
                                                    : "";
  return fail(result.error, "cannot add the page at {:#x}: {}{}", start + result.done, errno_text(result.error), hint);
}

Status HardwareDevice::init(const sgx::Sigstruct& sigstruct) {
  if (size_ == 0 || initialised_) return fail(EINVAL, "an enclave can be initialised only once, after its creation");
  alignas(kPageSize) const sgx::Sigstruct source = sigstruct;
  uapi::EnclaveInit argument = {address_of(&source)};
  const int result = ioctl_retry(uapi::kEnclaveInit, &argument);
  if (result > 0) {  // drivers before Linux 5.11
    return fail(EPERM, "the processor refused the enclave: error {}", describe_sgx_error(static_cast<sgx::SgxError>(result)));
  }
  if (result == -EPERM) return fail(EPERM, "the processor refused the enclave: its pages or attributes are not what was signed");
  if (result < 0) return fail(-result, "EINIT failed: {}", errno_text(result));
  initialised_ = true;
  return map_pages();
}

Status HardwareDevice::map_range(std::uint64_t start, std::uint64_t end, int protection) {
  if (start >= end) return {};
  const int error = -calls_->map(start, end - start, protection, MAP_SHARED | MAP_FIXED, fd_);
  if (error == 0) return {};
  const char* const hint = error == EPERM ? " (is /dev mounted noexec? mount -o remount,exec /dev)" : "";
  return fail(error, "cannot map the enclave's pages at {:#x}: {}{}", start, errno_text(error), hint);
}

// Gives every page the access that its SECINFO has and, with EDMM, opens the large gaps.
Status HardwareDevice::map_pages() {
  std::sort(mappings_.begin(), mappings_.end(), [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
  std::uint64_t gap = kFirstMapped;
  for (const Mapping& mapping : mappings_) {
    if (has_edmm_ && mapping.start >= gap + kMinOpenGap) {
      if (const Status mapped = map_range(gap, mapping.start, kAllAccess); !mapped) return mapped;
    }
    if (const Status mapped = map_range(std::max(mapping.start, kFirstMapped), mapping.end, mapping.protection); !mapped) {
      return mapped;
    }
    gap = mapping.end;
  }
  if (!has_edmm_) return {};
  return map_range(gap, size_, kAllAccess);
}

int HardwareDevice::check_range(std::uint64_t offset, std::uint64_t length) const {
  if (!has_edmm_) return ENODEV;
  if (!initialised_ || offset % kPageSize != 0 || length % kPageSize != 0 || length == 0) return EINVAL;
  return offset >= size_ || length > size_ - offset ? EINVAL : 0;
}

int HardwareDevice::augment(std::uint64_t offset, std::uint64_t length) {
  if (const int error = check_range(offset, length)) return error;
  for (std::uint64_t done = 0; done < length; done += kPageSize) {
    // The driver has no request for it: the page fault adds the page. It fails where it is out of EPC or the range is closed.
    if (calls_->touch(offset + done) != 0) return ENOMEM;
    augmented_.fetch_add(1, std::memory_order_relaxed);
  }
  return 0;
}

int HardwareDevice::restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) {
  if (const int error = check_range(offset, length)) return error;
  const RangeResult result = ioctl_range(
      uapi::kEnclaveRestrictPermissions,
      uapi::EnclaveRestrictPermissions{.offset = offset, .length = length, .permissions = permissions, .result = 0, .count = 0});
  restricted_.fetch_add(result.done / kPageSize, std::memory_order_relaxed);
  return result.error;
}

int HardwareDevice::modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) {
  if (const int error = check_range(offset, length)) return error;
  const RangeResult result =
      ioctl_range(uapi::kEnclaveModifyTypes,
                  uapi::EnclaveModifyTypes{
                      .offset = offset, .length = length, .page_type = static_cast<std::uint64_t>(type), .result = 0, .count = 0});
  retyped_.fetch_add(result.done / kPageSize, std::memory_order_relaxed);
  if (result.error != 0 || type != sgx::PageType::tcs) return result.error;
  // A TCS may be mapped with R and W only (ioctl.c, sgx_enclave_modify_types), or its next fault fails.
  const std::lock_guard lock(mutex_);
  mappings_.push_back({offset, offset + length, PROT_READ | PROT_WRITE});
  return -calls_->protect(offset, length, PROT_READ | PROT_WRITE);
}

int HardwareDevice::remove_pages(std::uint64_t offset, std::uint64_t length) {
  if (const int error = check_range(offset, length)) return error;
  const RangeResult result =
      ioctl_range(uapi::kEnclaveRemovePages, uapi::EnclaveRemovePages{.offset = offset, .length = length, .count = 0});
  removed_.fetch_add(result.done / kPageSize, std::memory_order_relaxed);
  const int opened = result.done == 0 ? 0 : open_removed(offset, result.done);
  return result.error != 0 ? result.error : opened;
}

// Pages that come back to a removed range may have any permission.
int HardwareDevice::open_removed(std::uint64_t offset, std::uint64_t length) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t end = offset + length;
  std::vector<Mapping> kept;
  bool any = false;
  for (const Mapping& mapping : mappings_) {
    if (mapping.end <= offset || mapping.start >= end) {
      kept.push_back(mapping);
      continue;
    }
    any = true;
    if (mapping.start < offset) kept.push_back({mapping.start, offset, mapping.protection});
    if (mapping.end > end) kept.push_back({end, mapping.end, mapping.protection});
  }
  mappings_ = std::move(kept);
  return any ? -calls_->protect(offset, length, kAllAccess) : 0;
}

sgx::EnterFunction HardwareDevice::enter_function() const { return initialised_ ? calls_->enter_function() : nullptr; }

Status HardwareDevice::install_signal(int signal, SignalHandler handler) {
  if (signal <= 0 || signal >= static_cast<int>(g_handlers.size())) return fail(EINVAL, "there is no signal {}", signal);
  g_handlers[static_cast<std::size_t>(signal)].store(handler);
  struct sigaction action = {};
  action.sa_sigaction = &trampoline;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS}) sigdelset(&action.sa_mask, fault);
  const int error = -calls_->signal_action(signal, action);
  if (error == 0) return {};
  return fail(error, "cannot handle signal {}: {}", signal, errno_text(error));
}

bool HardwareDevice::is_at_aep(const ucontext_t& context, std::uint64_t tcs) const {
  // The state after an AEX (SDM 37.4.1): RAX = ERESUME, RBX = TCS, RCX = RIP = AEP. The vDSO makes the same just before an ERESUME,
  // where a nested entry is right as well.
  const auto& registers = context.uc_mcontext.gregs;
  return registers[REG_RAX] == static_cast<greg_t>(sgx::EncluLeaf::eresume) && registers[REG_RBX] == static_cast<greg_t>(tcs) &&
         registers[REG_RCX] == registers[REG_RIP];
}

DeviceCounters HardwareDevice::counters() const {
  DeviceCounters out;
  out.pages_added = added_.load(std::memory_order_relaxed);
  out.pages_augmented = augmented_.load(std::memory_order_relaxed);
  out.pages_restricted = restricted_.load(std::memory_order_relaxed);
  out.pages_retyped = retyped_.load(std::memory_order_relaxed);
  out.pages_removed = removed_.load(std::memory_order_relaxed);
  return out;
}

}  // namespace host
