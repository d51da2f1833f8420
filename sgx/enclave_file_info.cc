#include "sgx/enclave_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "sgx/bytes.h"
#include "sgx/measure.h"

namespace sgx {
namespace {

// Drops features whose state components only make sense together.
constexpr std::uint64_t consistent_xfrm(std::uint64_t xfrm) {
  if ((xfrm & kXfrmAvx) == 0 || (xfrm & kXfrmAvx512) != kXfrmAvx512) xfrm &= ~kXfrmAvx512;
  if ((xfrm & kXfrmAmx) != kXfrmAmx) xfrm &= ~kXfrmAmx;
  return xfrm;
}

std::string hex(const Hash& hash) { return fmt::format("{:02x}", fmt::join(hash, "")); }

}  // namespace

Result<Secs> make_secs(const EnclaveFile& file, const LaunchParams& params) {
  const Sigstruct& sig = file.sigstruct();
  const bool kss = (sig.attributes.flags & kAttrKss) != 0;
  if (!kss && (!is_zero(params.config_id) || params.config_svn != 0)) {
    return fail("config id and config svn need an enclave that was built with key separation (KSS)");
  }
  const std::uint64_t required = sig.attributes.xfrm & sig.attributes_mask.xfrm;
  if ((required & ~params.host_xfrm) != 0) {
    const bool amx = (required & ~params.host_xfrm & kXfrmAmx) != 0;
    return fail(fmt::format("{}: the enclave requires processor features {:#x}, this machine has {:#x}{}", file.name(), required, params.host_xfrm,
                            amx ? " (no AMX: set feature.amx to 1 or 0 in Occlum.json and build again)" : ""));
  }
  Secs secs{};
  secs.size = file.elrange_size();
  secs.ssa_frame_pages = file.ssa_frame_pages();
  secs.miscselect = sig.miscselect;
  secs.attributes.flags = sig.attributes.flags & ~kAttrInit;
  secs.attributes.xfrm = consistent_xfrm(required | (params.host_xfrm & ~sig.attributes_mask.xfrm));
  secs.config_id = params.config_id;
  secs.config_svn = params.config_svn;
  return secs;
}

Result<Hash> measure_enclave_file(const EnclaveFile& file) {
  static constexpr std::array<std::uint8_t, kPageSize> kZeroPage{};
  Measurement measurement(file.ssa_frame_pages(), file.elrange_size());
  for (const Region& region : file.regions()) {
    for (std::uint64_t at = 0; at < region.size; at += kPageSize) {
      if (!region.measured) {
        measurement.eadd(region.offset + at, region.secinfo_flags);
        continue;
      }
      const std::span<const std::uint8_t, kPageSize> page =
          region.content.empty() ? std::span<const std::uint8_t, kPageSize>(kZeroPage)
                                 : region.content.subspan(at).first<kPageSize>();
      measurement.add_measured_page(region.offset + at, region.secinfo_flags, page);
    }
  }
  return measurement.finish();
}

Result<> verify_enclave_file(const EnclaveFile& file) {
  const Sigstruct& sig = file.sigstruct();
  const auto mrenclave = measure_enclave_file(file);
  if (!mrenclave) return std::unexpected(mrenclave.error());
  const auto bad = [&](const std::string& what) { return fail("enclave file " + file.name() + ": " + what); };
  switch (check_einit(sig, sig.attributes, sig.miscselect, *mrenclave)) {
    case SgxError::success: return {};
    case SgxError::invalid_sig_struct: return bad("its SIGSTRUCT is malformed");
    case SgxError::invalid_signature: return bad("its signature is not valid");
    case SgxError::invalid_measurement:
      return bad(fmt::format("kernel, configuration or load plan changed after signing: MRENCLAVE is {}, signed was {}",
                             hex(*mrenclave), hex(sig.enclave_hash)));
    default: return bad("its SIGSTRUCT has impossible attributes");
  }
}

Result<EnclaveFileInfo> enclave_file_info(const std::string& path) {
  const auto file = EnclaveFile::open(path);
  if (!file) return std::unexpected(file.error());
  if (auto verified = verify_enclave_file(*file); !verified) return std::unexpected(verified.error());
  const Sigstruct& sig = file->sigstruct();
  const auto mrsigner = mrsigner_of(sig);
  if (!mrsigner) return std::unexpected(mrsigner.error());
  EnclaveFileInfo info{};
  info.mrenclave = sig.enclave_hash;
  info.mrsigner = *mrsigner;
  info.attributes = sig.attributes;
  info.attributes_mask = sig.attributes_mask;
  info.miscselect = sig.miscselect;
  info.date = sig.date;
  info.isv_prod_id = sig.isv_prod_id;
  info.isv_svn = sig.isv_svn;
  info.isv_family_id = sig.isv_family_id;
  info.isv_ext_prod_id = sig.isv_ext_prod_id;
  info.debuggable = (sig.attributes.flags & kAttrDebug) != 0;
  info.kss = (sig.attributes.flags & kAttrKss) != 0;
  info.edmm = (file->config_header().flags & host_abi::kConfigEdmm) != 0;
  info.elrange_size = file->elrange_size();
  info.tcs_count = file->layout().tcs_count;
  return info;
}

}  // namespace sgx
