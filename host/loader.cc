#include "host/loader.h"

#include <cerrno>

#include "host_abi/vcpu_limit.h"

namespace host {
namespace {

std::string_view part_of(const sgx::EnclaveFile& file, const sgx::Region& region) {
  const host_abi::KernelLayout& layout = file.layout();
  if (region.type() == sgx::PageType::tcs) return "thread control page";
  if (region.offset >= layout.image.start && region.offset < layout.image.end()) return "kernel page";
  if (region.offset >= layout.config.start && region.offset < layout.config.end()) return "configuration page";
  return region.content.empty() ? "empty page" : "page";
}

Status check_machine(const sgx::EnclaveFile& file, const EnclaveDevice& device) {
  if ((file.config_header().flags & host_abi::kConfigEdmm) != 0 && !device.has_edmm()) {
    return fail(ENODEV,
                "{}: built with feature.enable_edmm, but {} has no SGX2 (or its driver is older than Linux 6.0): set it to false "
                "in Occlum.json and build again",
                file.name(), device.name());
  }
  return {};
}

// EINIT says only that something is wrong. Replaying the plan tells what.
Error explain_refusal(const sgx::EnclaveFile& file, const Error& refusal) {
  const auto verified = sgx::verify_enclave_file(file);
  if (!verified) return {verified.error().message, refusal.code};
  return {fmt::format("{}: {}", file.name(), refusal.message), refusal.code};
}

}  // namespace

Result<LoadedEnclave> load_enclave(const sgx::EnclaveFile& file, EnclaveDevice& device, const LaunchValues& values) {
  if (const Status fits = check_machine(file, device); !fits) return std::unexpected(fits.error());
  sgx::LaunchParams params;
  params.host_xfrm = device.supported_xfrm();
  params.config_id = values.config_id;
  params.config_svn = values.config_svn;
  const auto secs = sgx::make_secs(file, params);
  if (!secs) return fail(EINVAL, "{}", secs.error().message);

  if (const Status created = device.create(*secs); !created) {
    return fail(created.error().code, "{}: {}", file.name(), created.error().message);
  }
  for (const sgx::Region& region : file.regions()) {
    const PageBatch batch = {.offset = region.offset,
                             .length = region.size,
                             .source = region.content.empty() ? nullptr : region.content.data(),
                             .secinfo_flags = region.secinfo_flags,
                             .measure = region.measured};
    if (const Status added = device.add_pages(batch); !added) {
      return fail(added.error().code, "{}: {}: {}", file.name(), part_of(file, region), added.error().message);
    }
  }
  if (const Status started = device.init(file.sigstruct()); !started) {
    return std::unexpected(explain_refusal(file, started.error()));
  }
  LoadedEnclave loaded;
  const std::uint32_t vcpus = host_abi::vcpu_limit(file.config_header(), file.layout().tcs_slots);
  for (std::uint32_t i = 0; i < vcpus; ++i) loaded.tcs.push_back(file.layout().slot(i));
  return loaded;
}

}  // namespace host
