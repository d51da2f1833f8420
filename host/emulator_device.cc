#include "host/emulator_device.h"

#include <cerrno>

#include "host/sgx_error.h"

namespace host {
namespace {

// The driver's answers to what stops a range (arch/x86/kernel/cpu/sgx/ioctl.c): a fault or an error code is EFAULT.
int errno_of(const emulator::Status& status) { return status.ok() ? 0 : EFAULT; }

}  // namespace

std::string describe(std::string_view leaf, const emulator::Status& status) {
  switch (status.fault) {
    case emulator::Fault::none: return fmt::format("{}: error {}", leaf, describe_sgx_error(status.error));
    case emulator::Fault::invalid_opcode: return fmt::format("{}: #UD", leaf);
    case emulator::Fault::general_protection: return fmt::format("{}: #GP", leaf);
    case emulator::Fault::page_fault: return fmt::format("{}: #PF at {:#x}", leaf, status.address);
  }
  return std::string(leaf);
}

EmulatorDevice::EmulatorDevice(const emulator::Options& options)
    : options_(options), name_(options.mode == emulator::Mode::fast ? "the emulator (fast)" : "the emulator (strict)") {}

Status EmulatorDevice::create(const sgx::Secs& secs) {
  if (secs.base != 0) return fail(EINVAL, "the enclave's range must start at 0");
  auto created = emulator::Enclave::create(secs, options_);
  if (!created) {
    const emulator::CreateError& error = created.error();
    if (error.message.empty()) return fail(EINVAL, "cannot create the enclave: {}", describe("ECREATE", error.status));
    return fail(EINVAL, "cannot create the enclave: {}", error.message);
  }
  enclave_ = std::move(*created);
  return {};
}

Status EmulatorDevice::add_pages(const PageBatch& batch) {
  if (enclave_ == nullptr) return fail(EINVAL, "pages were added before the enclave was created");
  const emulator::RangeStatus result =
      enclave_->eadd_range(batch.offset, batch.length, batch.secinfo_flags, batch.source, batch.measure);
  if (result.ok()) return {};
  return fail(EFAULT, "cannot add the page at {:#x}: {}", batch.offset + result.done, describe("EADD", result.status));
}

Status EmulatorDevice::init(const sgx::Sigstruct& sigstruct) {
  if (enclave_ == nullptr) return fail(EINVAL, "the enclave was initialised before it was created");
  const emulator::Status status = enclave_->einit(sigstruct);
  if (status.ok()) return {};
  return fail(EPERM, "the enclave was refused: {}", describe("EINIT", status));
}

int EmulatorDevice::check_range(std::uint64_t offset, std::uint64_t length) const {
  if (!options_.sgx2) return ENODEV;
  if (enclave_ == nullptr || !enclave_->initialized()) return EINVAL;
  if (offset % sgx::kPageSize != 0 || length % sgx::kPageSize != 0 || length == 0) return EINVAL;
  if (offset >= enclave_->size() || length > enclave_->size() - offset) return EINVAL;
  return 0;
}

int EmulatorDevice::augment(std::uint64_t offset, std::uint64_t length) {
  if (const int error = check_range(offset, length)) return error;
  std::uint64_t done = 0;
  while (done < length) {
    const emulator::RangeStatus result = enclave_->eaug_range(offset + done, length - done);
    done += result.done;
    if (result.ok()) break;
    // A page that is already there is not added again, as touching it would not on the driver.
    if (enclave_->page_flags(offset + done) == emulator::Enclave::kNoPage) return errno_of(result.status);
    done += sgx::kPageSize;
  }
  return 0;
}

int EmulatorDevice::restrict_permissions(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions) {
  if (const int error = check_range(offset, length)) return error;
  if ((permissions & ~sgx::kSecinfoRwx) != 0) return EINVAL;
  if ((permissions & sgx::kSecinfoW) != 0 && (permissions & sgx::kSecinfoR) == 0) return EINVAL;
  return errno_of(enclave_->emodpr_range(offset, length, permissions).status);
}

int EmulatorDevice::modify_types(std::uint64_t offset, std::uint64_t length, sgx::PageType type) {
  if (const int error = check_range(offset, length)) return error;
  if (type != sgx::PageType::tcs && type != sgx::PageType::trim) return EINVAL;
  return errno_of(enclave_->emodt_range(offset, length, type).status);
}

int EmulatorDevice::remove_pages(std::uint64_t offset, std::uint64_t length) {
  if (const int error = check_range(offset, length)) return error;
  const emulator::RangeStatus result = enclave_->eremove_range(offset, length);
  if (result.ok()) return 0;
  // ioctl.c, sgx_encl_remove_pages: a page that is not trimmed and accepted is EPERM, an absent one EFAULT.
  return enclave_->page_flags(offset + result.done) == emulator::Enclave::kNoPage ? EFAULT : EPERM;
}

sgx::EnterFunction EmulatorDevice::enter_function() const {
  return enclave_ != nullptr && enclave_->initialized() ? &emulator::enter : nullptr;
}

Status EmulatorDevice::begin_thread() {
  if (emulator::attach_thread()) return {};
  return fail(errno, "the emulator cannot use this thread: {}", errno_text(errno));
}

Status EmulatorDevice::install_signal(int signal, SignalHandler handler) {
  if (emulator::install_async_handler(signal, handler)) return {};
  return fail(errno, "cannot handle signal {}: {}", signal, errno_text(errno));
}

bool EmulatorDevice::is_at_aep(const ucontext_t& context, std::uint64_t tcs) const {
  return emulator::is_at_aep(&context) && static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RBX]) == tcs;
}

DeviceCounters EmulatorDevice::counters() const {
  DeviceCounters out;
  if (enclave_ == nullptr) return out;
  const emulator::Counters in = enclave_->counters();
  out.eenter = in.eenter;
  out.eexit = in.eexit;
  out.eresume = in.eresume;
  for (const std::uint64_t count : in.aex_signal) out.aex_interrupt += count;
  out.aex_page_fault = in.aex_vector[14];
  out.aex_syscall = in.aex_syscall;
  out.aex_cpuid = in.aex_cpuid;
  out.aex_undefined = in.aex_vector[6] - in.aex_syscall - in.aex_cpuid;
  out.aex_other = in.aex - out.aex_interrupt - in.aex_vector[6] - in.aex_vector[14];
  out.eaccept = in.eaccept;
  out.eacceptcopy = in.eacceptcopy;
  out.emodpe = in.emodpe;
  out.ereport = in.ereport;
  out.egetkey = in.egetkey;
  out.pages_added = in.eadd;
  out.pages_augmented = in.eaug;
  out.pages_restricted = in.emodpr;
  out.pages_retyped = in.emodt;
  out.pages_removed = in.eremove;
  return out;
}

}  // namespace host
