// The state and the requests of the driver up to EINIT; EDMM and faults are in driver_model_edmm.cc.
#include "tests/driver_model/driver_model.h"

#include <sys/mman.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

namespace model {
namespace {

namespace uapi = sgx::uapi;

constexpr std::uint64_t kPage = 4096;
// arch/x86/include/asm/sgx.h: what an enclave may have without further rights.
constexpr std::uint64_t kUnprivileged = sgx::kAttrInit | sgx::kAttrDebug | sgx::kAttrMode64 | sgx::kAttrKss | sgx::kAttrAexNotify;

template <class T>
T* at(std::uint64_t address) {
  return reinterpret_cast<T*>(address);
}

int protection_of(std::uint64_t flags) {
  return ((flags & sgx::kSecinfoR) != 0 ? PROT_READ : 0) | ((flags & sgx::kSecinfoW) != 0 ? PROT_WRITE : 0) |
         ((flags & sgx::kSecinfoX) != 0 ? PROT_EXEC : 0);
}

// ioctl.c, sgx_validate_secinfo: the rule that is broken, or null.
const char* secinfo_fault(const sgx::Secinfo& secinfo) {
  const std::uint64_t permissions = secinfo.flags & sgx::kSecinfoRwx;
  const sgx::PageType type = sgx::secinfo_type(secinfo.flags);
  if (type != sgx::PageType::reg && type != sgx::PageType::tcs) return "page type";
  if ((permissions & sgx::kSecinfoW) != 0 && (permissions & sgx::kSecinfoR) == 0) return "W without R";
  if (type == sgx::PageType::tcs && permissions != 0) return "permissions of a TCS";
  if ((secinfo.flags & ~(sgx::kSecinfoRwx | sgx::kSecinfoTypeMask)) != 0) return "reserved flags";
  for (const std::uint8_t byte : secinfo.reserved) {
    if (byte != 0) return "reserved bytes";
  }
  return nullptr;
}

// Handlers that the device installs get the emulator's contexts.
std::array<struct sigaction, 65> g_actions;

void forward_signal(int signal, siginfo_t* info, ucontext_t* context) {
  g_actions[static_cast<std::size_t>(signal)].sa_sigaction(signal, info, context);
}

}  // namespace

DriverModel::DriverModel(Options options) : options_(std::move(options)) {}

DriverModel::~DriverModel() = default;

int DriverModel::refuse(int error, std::string rule) {
  const std::lock_guard lock(refusal_mutex_);
  refusal_ = {std::move(rule), error};
  return -error;
}

int DriverModel::open(const char* path) {
  if (std::strcmp(path, "/dev/sgx_provision") == 0) {
    if (!options_.may_provision) return refuse(EACCES, "open: /dev/sgx_provision");
    provision_open_ = true;
    return kProvisionFd;
  }
  if (std::strcmp(path, "/dev/sgx_enclave") != 0 || !options_.has_device) return refuse(ENOENT, "open: no such device");
  if (!options_.may_open) return refuse(EACCES, "open: /dev/sgx_enclave");
  ++open_files_;
  return kEnclaveFd;
}

void DriverModel::close(int fd) {
  if (fd == kProvisionFd) provision_open_ = false;
  if (fd == kEnclaveFd) --open_files_;
}

// copy_from_user and copy_to_user fail on addresses that are not mapped.
bool DriverModel::readable(std::uint64_t address, std::uint64_t size) {
  host::LinuxDriverCalls kernel;
  for (std::uint64_t page = address & ~(kPage - 1); page < address + size; page += kPage) {
    if (kernel.touch(page) != 0) return false;
  }
  return true;
}

int DriverModel::ioctl(int fd, std::uint32_t request, void* argument) {
  if (fd != kEnclaveFd || open_files_ == 0) return refuse(EBADF, "ioctl: not an open enclave file");
  requests_.fetch_add(1);
  if (std::atomic_ref(options_.ebusy_first).load() != 0) {
    std::atomic_ref(options_.ebusy_first).fetch_sub(1);
    return refuse(EBUSY, "ioctl.c sgx_ioctl: another request is being served");
  }
  // ioctl.c, sgx_ioctl: SGX_ENCL_IOCTL is taken for the whole request.
  if (busy_.exchange(true)) return refuse(EBUSY, "ioctl.c sgx_ioctl: another request is being served");
  if (options_.during_ioctl) options_.during_ioctl();
  const int result = dispatch(request, argument);
  busy_.store(false);
  return result;
}

int DriverModel::dispatch(std::uint32_t request, void* argument) {
  const std::lock_guard lock(mutex_);
  const auto address = reinterpret_cast<std::uint64_t>(argument);
  const bool edmm = request == uapi::kEnclaveRestrictPermissions || request == uapi::kEnclaveModifyTypes ||
                    request == uapi::kEnclaveRemovePages;
  // ioctl.c, sgx_ioctl: default (vfs_ioctl turns ENOIOCTLCMD into ENOTTY).
  if (edmm && !options_.knows_edmm) return refuse(ENOTTY, "ioctl.c sgx_ioctl: unknown request");
  if (!readable(address, 8)) return refuse(EFAULT, "ioctl.c: argument");
  switch (request) {
    case uapi::kEnclaveCreate: return create(*static_cast<uapi::EnclaveCreate*>(argument));
    case uapi::kEnclaveAddPages: return add_pages(*static_cast<uapi::EnclaveAddPages*>(argument));
    case uapi::kEnclaveInit: return init(*static_cast<uapi::EnclaveInit*>(argument));
    case uapi::kEnclaveProvision: return provision(*static_cast<uapi::EnclaveProvision*>(argument));
    case uapi::kEnclaveRestrictPermissions:
      return restrict_permissions(*static_cast<uapi::EnclaveRestrictPermissions*>(argument));
    case uapi::kEnclaveModifyTypes: return modify_types(*static_cast<uapi::EnclaveModifyTypes*>(argument));
    case uapi::kEnclaveRemovePages: return remove_pages(*static_cast<uapi::EnclaveRemovePages*>(argument));
    default: return refuse(ENOTTY, "ioctl.c sgx_ioctl: unknown request");
  }
}

int DriverModel::create(const uapi::EnclaveCreate& argument) {
  if (created_) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_create: created already");
  if (!readable(argument.src, kPage)) return refuse(EFAULT, "ioctl.c sgx_ioc_enclave_create: src");
  std::memcpy(&secs_, at<void>(argument.src), sizeof(secs_));
  if (!std::has_single_bit(secs_.size)) return refuse(EINVAL, "ioctl.c sgx_encl_create: size");
  emulator::Options emulated;
  emulated.sgx2 = options_.has_sgx2;
  auto created = emulator::Enclave::create(secs_, emulated);
  if (!created) return refuse(EIO, "ioctl.c sgx_encl_create: ECREATE");
  enclave_ = std::move(*created);
  enclave_->set_page_fault_hook(&DriverModel::on_enclave_fault, this);
  attributes_mask_ = kUnprivileged;
  created_ = true;
  return 0;
}

int DriverModel::check_range(const char* where, std::uint64_t offset, std::uint64_t length) {
  // ioctl.c, sgx_validate_offset_length
  const std::string prefix = std::string("ioctl.c ") + where;
  if (offset % kPage != 0) return refuse(EINVAL, prefix + ": offset alignment");
  if (length == 0 || length % kPage != 0) return refuse(EINVAL, prefix + ": length");
  if (offset + length < offset) return refuse(EINVAL, prefix + ": overflow");
  if (offset + length - kPage >= secs_.size) return refuse(EINVAL, prefix + ": beyond the enclave");
  return 0;
}

int DriverModel::add_pages(uapi::EnclaveAddPages& argument) {
  if (!created_) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_add_pages: not created");
  if (initialised_) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_add_pages: initialised");
  if (argument.src % kPage != 0) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_add_pages: src alignment");
  if (const int error = check_range("sgx_ioc_enclave_add_pages", argument.offset, argument.length)) return error;
  if (!readable(argument.secinfo, sizeof(sgx::Secinfo))) {
    return refuse(EFAULT, "ioctl.c sgx_ioc_enclave_add_pages: secinfo");
  }
  sgx::Secinfo secinfo;
  std::memcpy(&secinfo, at<void>(argument.secinfo), sizeof(secinfo));
  if (const char* const fault = secinfo_fault(secinfo)) {
    return refuse(EINVAL, std::string("ioctl.c sgx_validate_secinfo: ") + fault);
  }
  // The driver does not look at unknown flags; a caller that sets some is mistaken all the same.
  if ((argument.flags & ~uapi::kAddPagesMeasure) != 0) return refuse(EINVAL, "uapi sgx.h: flags");
  int result = 0;
  std::uint64_t done = 0;
  for (; done < argument.length; done += kPage) {
    const bool pending = options_.eintr_first != 0 || (options_.stop_after_pages != 0 && done == options_.stop_after_pages * kPage);
    if (pending) {  // signal_pending(current)
      if (options_.eintr_first != 0) --options_.eintr_first;
      if (done == 0) result = refuse(EINTR, "ioctl.c sgx_ioc_enclave_add_pages: interrupted");
      break;
    }
    const bool measure = (argument.flags & uapi::kAddPagesMeasure) != 0;
    result = add_page(argument.offset + done, argument.src + done, secinfo, measure);
    if (result != 0) break;
  }
  argument.count = done;
  return result;
}

int DriverModel::add_page(std::uint64_t offset, std::uint64_t source, const sgx::Secinfo& secinfo, bool measure) {
  if (pages_.size() >= options_.epc_pages) return refuse(ENOMEM, "main.c sgx_alloc_epc_page: no EPC");
  if (pages_.contains(offset)) return refuse(EBUSY, "ioctl.c sgx_encl_add_page: xa_insert");
  if (source == options_.noexec_source && source != 0) return refuse(EACCES, "ioctl.c __sgx_encl_add_page: noexec");
  if (!readable(source, kPage)) return refuse(EFAULT, "ioctl.c __sgx_encl_add_page: source");
  const auto result = enclave_->eadd_range(offset, kPage, secinfo.flags, at<void>(source), measure);
  if (!result.ok()) return refuse(EIO, "ioctl.c __sgx_encl_add_page: EADD");
  const bool is_tcs = sgx::secinfo_type(secinfo.flags) == sgx::PageType::tcs;
  // encl.c, sgx_encl_page_alloc: a TCS may be mapped with R and W.
  pages_[offset] = {sgx::secinfo_type(secinfo.flags), is_tcs ? PROT_READ | PROT_WRITE : protection_of(secinfo.flags)};
  return 0;
}

int DriverModel::init(const uapi::EnclaveInit& argument) {
  if (!created_) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_init: not created");
  if (initialised_) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_init: initialised");
  if (!readable(argument.sigstruct, sizeof(sgx::Sigstruct))) {
    return refuse(EFAULT, "ioctl.c sgx_ioc_enclave_init: sigstruct");
  }
  alignas(4096) sgx::Sigstruct sigstruct;
  std::memcpy(&sigstruct, at<void>(argument.sigstruct), sizeof(sigstruct));
  if (sigstruct.vendor != sgx::kSigstructVendorOther && sigstruct.vendor != sgx::kSigstructVendorIntel) {
    return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_init: vendor");
  }
  if ((secs_.attributes.flags & ~attributes_mask_) != 0) return refuse(EACCES, "ioctl.c sgx_encl_init: attributes");
  if ((sigstruct.attributes.flags & sigstruct.attributes_mask.flags & ~sgx::kAttrDefined) != 0) {
    return refuse(EINVAL, "ioctl.c sgx_encl_init: reserved attributes");
  }
  if ((sigstruct.miscselect & sigstruct.miscmask & ~sgx::kMiscExinfo) != 0) {
    return refuse(EINVAL, "ioctl.c sgx_encl_init: reserved misc bits");
  }
  const emulator::Status status = enclave_->einit(sigstruct);
  if (status.fault != emulator::Fault::none) return refuse(EIO, "ioctl.c sgx_encl_init: EINIT faulted");
  if (!status.ok()) {
    refuse(EPERM, "ioctl.c sgx_encl_init: EINIT");
    return options_.old_einit_result ? static_cast<int>(status.error) : -EPERM;
  }
  initialised_ = true;
  return 0;
}

int DriverModel::provision(const uapi::EnclaveProvision& argument) {
  // main.c, sgx_set_attribute: the descriptor must be /dev/sgx_provision.
  if (argument.fd != static_cast<std::uint64_t>(kProvisionFd) || !provision_open_ || options_.refuses_provisioning) {
    return refuse(EINVAL, "main.c sgx_set_attribute: not /dev/sgx_provision");
  }
  attributes_mask_ |= sgx::kAttrProvisionKey;
  return 0;
}

sgx::EnterFunction DriverModel::enter_function() { return options_.has_vdso_entry ? &emulator::enter : nullptr; }

int DriverModel::signal_action(int signal, const struct sigaction& action) {
  if (options_.fail_signal_action != 0) return -options_.fail_signal_action;
  g_actions[static_cast<std::size_t>(signal)] = action;
  return emulator::install_async_handler(signal, &forward_signal) ? 0 : -errno;
}

}  // namespace model
