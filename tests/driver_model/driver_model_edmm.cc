// Mappings, page faults and the EDMM requests of the driver's model.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "tests/driver_model/driver_model.h"

namespace model {
namespace {

namespace uapi = sgx::uapi;

constexpr std::uint64_t kPage = 4096;
constexpr int kAll = PROT_READ | PROT_WRITE | PROT_EXEC;

}  // namespace

// ---- Mappings.

bool DriverModel::overlaps(std::uint64_t start, std::uint64_t end) const {
  const auto after = areas_.lower_bound(end);
  return after != areas_.begin() && std::prev(after)->second.end > start;
}

// Replaces what is mapped in [start, end); protection -1 unmaps.
void DriverModel::set_area(std::uint64_t start, std::uint64_t end, int protection) {
  for (auto it = areas_.begin(); it != areas_.end();) {
    const std::uint64_t from = it->first;
    const Area area = it->second;
    if (area.end <= start || from >= end) {
      ++it;
      continue;
    }
    it = areas_.erase(it);
    if (from < start) areas_[from] = {start, area.protection};
    if (area.end > end) areas_[end] = {area.end, area.protection};
  }
  if (protection >= 0) areas_[start] = {end, protection};
}

int DriverModel::protection_at(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto after = areas_.upper_bound(address);
  if (after == areas_.begin()) return -1;
  const auto& [start, area] = *std::prev(after);
  return address < area.end ? area.protection : -1;
}

// encl.c, sgx_encl_may_map
int DriverModel::may_map(std::uint64_t start, std::uint64_t end, int protection) {
  if (initialised_ && (start < secs_.base || end > secs_.base + secs_.size)) {
    return refuse(EACCES, "encl.c sgx_encl_may_map: outside the enclave");
  }
  if (options_.read_implies_exec) return refuse(EACCES, "encl.c sgx_encl_may_map: READ_IMPLIES_EXEC");
  for (auto page = pages_.lower_bound(start); page != pages_.end() && page->first < end; ++page) {
    if ((protection & ~page->second.max_protection) != 0) {
      return refuse(EACCES, "encl.c sgx_encl_may_map: more than the page may have");
    }
  }
  return 0;
}

int DriverModel::map(std::uint64_t address, std::uint64_t length, int protection, int flags, int fd) {
  const std::lock_guard lock(mutex_);
  if (fd != kEnclaveFd || open_files_ == 0) return refuse(EBADF, "mmap: not an open enclave file");
  if (address % kPage != 0 || length == 0 || length % kPage != 0) return refuse(EINVAL, "mmap: alignment");
  if (!mapped_once_ && options_.fail_reserve != 0) return refuse(options_.fail_reserve, "mmap: told to fail");
  mapped_once_ = true;
  if ((flags & MAP_TYPE) == MAP_PRIVATE) return refuse(EINVAL, "driver.c sgx_get_unmapped_area: MAP_PRIVATE");
  const bool fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
  if (!fixed) return refuse(EINVAL, "model: the enclave's address is fixed");
  if (address < options_.mmap_min_addr) return refuse(EPERM, "security/min_addr.c: below mmap_min_addr");
  if ((flags & MAP_FIXED_NOREPLACE) != 0 && overlaps(address, address + length)) {
    return refuse(EEXIST, "mmap: MAP_FIXED_NOREPLACE over a mapping");
  }
  if (options_.dev_is_noexec && (protection & PROT_EXEC) != 0) return refuse(EPERM, "mm/mmap.c do_mmap: noexec");
  if (const int error = may_map(address, address + length, protection)) return error;
  set_area(address, address + length, protection);
  return 0;
}

int DriverModel::protect(std::uint64_t address, std::uint64_t length, int protection) {
  const std::lock_guard lock(mutex_);
  if (protection_at(address) < 0) return refuse(ENOMEM, "mprotect: nothing mapped");
  if (const int error = may_map(address, address + length, protection)) return error;  // encl.c, sgx_vma_mprotect
  set_area(address, address + length, protection);
  return 0;
}

int DriverModel::unmap(std::uint64_t address, std::uint64_t length) {
  const std::lock_guard lock(mutex_);
  set_area(address, address + length, -1);
  return 0;
}

// ---- Faults.

// A fault at `address` that the page tables do not answer: encl.c, sgx_vma_fault. 0: the page is there now.
int DriverModel::fault(std::uint64_t address) {
  const int protection = protection_at(address);
  if (protection < 0) return refuse(EFAULT, "fault: nothing mapped");
  if (protection == PROT_NONE) return refuse(EFAULT, "fault: no access");
  const std::uint64_t page = address & ~(kPage - 1);
  const auto entry = pages_.find(page);
  if (entry != pages_.end()) {
    // encl.c, sgx_encl_load_page_in_vma
    if ((protection & ~entry->second.max_protection) != 0) {
      return refuse(EFAULT, "encl.c sgx_encl_load_page_in_vma: the mapping allows more than the page");
    }
    return 0;
  }
  if (!options_.has_sgx2 || !options_.knows_edmm) return refuse(EFAULT, "encl.c sgx_vma_fault: no page");
  // encl.c, sgx_encl_eaug_page
  if (!initialised_) return refuse(EFAULT, "encl.c sgx_encl_eaug_page: not initialised");
  if (pages_.size() >= options_.epc_pages) return refuse(EFAULT, "encl.c sgx_encl_eaug_page: no EPC");
  if (!enclave_->eaug_range(page, kPage).ok()) return refuse(EFAULT, "encl.c sgx_encl_eaug_page: EAUG");
  pages_[page] = {sgx::PageType::reg, kAll};
  return 0;
}

int DriverModel::touch(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  if (options_.fail_touch_after != 0 && ++touched_ > options_.fail_touch_after) {
    return refuse(EFAULT, "encl.c sgx_encl_eaug_page: no EPC");
  }
  return fault(address);
}

bool DriverModel::on_enclave_fault(void* context, const emulator::PageFault& fault) {
  auto& driver = *static_cast<DriverModel*>(context);
  // arch/x86/mm/fault.c, access_error: a violation of the EPCM is never resolved by the driver.
  if ((fault.error_code & sgx::kPfSgx) != 0) return false;
  const std::lock_guard lock(driver.mutex_);
  if (driver.pages_.contains(fault.address & ~(kPage - 1))) return false;
  return driver.fault(fault.address) == 0;
}

// ---- EDMM.

// ioctl.c, sgx_ioc_sgx2_ready
int DriverModel::ready_for_sgx2(const char* where) {
  if (!options_.has_sgx2) return refuse(ENODEV, "ioctl.c sgx_ioc_sgx2_ready: no SGX2");
  if (!initialised_) return refuse(EINVAL, std::string("ioctl.c sgx_ioc_sgx2_ready: not initialised in ") + where);
  return 0;
}

int DriverModel::restrict_permissions(uapi::EnclaveRestrictPermissions& argument) {
  const char* const kName = "sgx_ioc_enclave_restrict_permissions";
  const std::string prefix = std::string("ioctl.c ") + kName;
  if (const int error = ready_for_sgx2(kName)) return error;
  if (const int error = check_range(kName, argument.offset, argument.length)) return error;
  if ((argument.permissions & ~sgx::kSecinfoRwx) != 0) return refuse(EINVAL, prefix + ": permissions");
  if ((argument.permissions & sgx::kSecinfoW) != 0 && (argument.permissions & sgx::kSecinfoR) == 0) {
    return refuse(EINVAL, prefix + ": W without R");
  }
  if (argument.result != 0 || argument.count != 0) return refuse(EINVAL, prefix + ": result and count must be 0");
  for (std::uint64_t done = 0; done < argument.length; done += kPage) {
    const std::uint64_t offset = argument.offset + done;
    argument.count = done;
    if (options_.eagain_first != 0) {
      --options_.eagain_first;
      return refuse(EAGAIN, "ioctl.c sgx_enclave_restrict_permissions: page is being reclaimed");
    }
    if (options_.stop_after_pages != 0 && done == options_.stop_after_pages * kPage) {
      return refuse(EAGAIN, "ioctl.c sgx_enclave_restrict_permissions: page is being reclaimed");
    }
    const auto page = pages_.find(offset);
    if (page == pages_.end()) return refuse(EFAULT, "ioctl.c sgx_enclave_restrict_permissions: no page");
    if (page->second.type != sgx::PageType::reg) return refuse(EINVAL, "ioctl.c sgx_enclave_restrict_permissions: not REG");
    const auto result = enclave_->emodpr_range(offset, kPage, argument.permissions);
    if (!result.ok()) {
      argument.result = static_cast<std::uint64_t>(result.status.error);
      return refuse(EFAULT, "ioctl.c sgx_enclave_restrict_permissions: EMODPR");
    }
  }
  argument.count = argument.length;
  return 0;
}

int DriverModel::modify_types(uapi::EnclaveModifyTypes& argument) {
  const char* const kName = "sgx_ioc_enclave_modify_types";
  const std::string prefix = std::string("ioctl.c ") + kName;
  if (const int error = ready_for_sgx2(kName)) return error;
  if (const int error = check_range(kName, argument.offset, argument.length)) return error;
  if (argument.page_type > 0xff) return refuse(EINVAL, prefix + ": page type");
  if (argument.result != 0 || argument.count != 0) return refuse(EINVAL, prefix + ": result and count must be 0");
  const auto type = static_cast<sgx::PageType>(argument.page_type);
  if (type != sgx::PageType::tcs && type != sgx::PageType::trim) {
    return refuse(EINVAL, "ioctl.c sgx_enclave_modify_types: page type");
  }
  for (std::uint64_t done = 0; done < argument.length; done += kPage) {
    argument.count = done;
    if (const int error = modify_type(argument.offset + done, type, argument.result)) return error;
  }
  argument.count = argument.length;
  return 0;
}

int DriverModel::modify_type(std::uint64_t offset, sgx::PageType type, std::uint64_t& result) {
  if (options_.eagain_first != 0) {
    --options_.eagain_first;
    return refuse(EAGAIN, "ioctl.c sgx_enclave_modify_types: page is being reclaimed");
  }
  const auto found = pages_.find(offset);
  if (found == pages_.end()) return refuse(EFAULT, "ioctl.c sgx_enclave_modify_types: no page");
  Page& page = found->second;
  const bool allowed =
      page.type == sgx::PageType::reg || (page.type == sgx::PageType::tcs && type == sgx::PageType::trim);
  if (!allowed) return refuse(EINVAL, "ioctl.c sgx_enclave_modify_types: from this type");
  int max_protection = page.max_protection;
  if (type == sgx::PageType::tcs) {
    if ((page.max_protection & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE)) {
      return refuse(EPERM, "ioctl.c sgx_enclave_modify_types: a TCS needs R and W");
    }
    max_protection = PROT_READ | PROT_WRITE;
  }
  const auto status = enclave_->emodt_range(offset, kPage, type);
  if (!status.ok()) {
    result = static_cast<std::uint64_t>(status.status.error);
    return refuse(EFAULT, "ioctl.c sgx_enclave_modify_types: EMODT");
  }
  page.type = type;
  page.max_protection = max_protection;
  return 0;
}

int DriverModel::remove_pages(uapi::EnclaveRemovePages& argument) {
  const char* const kName = "sgx_ioc_enclave_remove_pages";
  if (const int error = ready_for_sgx2(kName)) return error;
  if (const int error = check_range(kName, argument.offset, argument.length)) return error;
  if (argument.count != 0) return refuse(EINVAL, "ioctl.c sgx_ioc_enclave_remove_pages: count must be 0");
  if (options_.lies_about_count) argument.count = argument.length + kPage;
  if (options_.lies_about_count || options_.odd_result != 0) return options_.odd_result;
  for (std::uint64_t done = 0; done < argument.length; done += kPage) {
    argument.count = done;
    if (const int error = remove_page(argument.offset + done)) return error;
  }
  argument.count = argument.length;
  return 0;
}

int DriverModel::remove_page(std::uint64_t offset) {
  if (options_.eagain_first != 0) {
    --options_.eagain_first;
    return refuse(EAGAIN, "ioctl.c sgx_encl_remove_pages: page is being reclaimed");
  }
  const auto page = pages_.find(offset);
  if (page == pages_.end()) return refuse(EFAULT, "ioctl.c sgx_encl_remove_pages: no page");
  if (page->second.type != sgx::PageType::trim) return refuse(EPERM, "ioctl.c sgx_encl_remove_pages: not trimmed");
  if (!enclave_->eremove_range(offset, kPage).ok()) return refuse(EPERM, "ioctl.c sgx_encl_remove_pages: not accepted");
  pages_.erase(page);
  return 0;
}

}  // namespace model
