#include "sgx/enclave_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "sgx/bytes.h"
#include "sgx/kernel_image.h"
#include "sgx/layout_plan.h"
#include "sgx/measure.h"
#include "sgx/vcpu_slot.h"

namespace sgx {
namespace {

struct OutRegion {
  FileRegion header;
  std::vector<std::uint8_t> content;
};

std::vector<std::uint8_t> page_of(const auto& value) {
  std::vector<std::uint8_t> out(page_up(sizeof(value)));
  store_at(out, 0, value);
  return out;
}

OutRegion make_region(std::uint64_t offset, std::uint64_t size, std::uint64_t secinfo_flags, bool measured,
                      std::vector<std::uint8_t> content) {
  OutRegion out{};
  out.header.offset = offset;
  out.header.size = size;
  out.header.secinfo_flags = secinfo_flags;
  out.header.flags = (measured ? kRegionMeasured : 0) | (content.empty() ? 0 : kRegionContent);
  out.content = std::move(content);
  return out;
}

// Zero pages at the end of a run (.bss) become a region without content.
void add_image_regions(const KernelImage& image, std::uint64_t base, std::vector<OutRegion>& out) {
  for (const PageRun& run : image.runs) {
    const Bytes bytes = Bytes(image.bytes).subspan(run.offset, run.size);
    std::uint64_t filled = run.size;
    while (filled != 0 && is_zero(bytes.subspan(filled - kPageSize, kPageSize))) filled -= kPageSize;
    const std::uint64_t flags = secinfo_flags(PageType::reg, run.permissions);
    const Bytes content = bytes.first(filled);
    if (filled != 0) {
      out.push_back(make_region(base + run.offset, filled, flags, true, {content.begin(), content.end()}));
    }
    if (filled != run.size) out.push_back(make_region(base + run.offset + filled, run.size - filled, flags, true, {}));
  }
}

std::vector<std::uint8_t> planned_content(const PlannedRegion& region, const host_abi::KernelLayout& layout, Bytes config) {
  switch (region.role) {
    case RegionRole::layout: return page_of(layout);
    case RegionRole::tcs: {
      Tcs tcs{};
      fill_tcs(tcs, layout, region.slot);
      return page_of(tcs);
    }
    case RegionRole::vcpu_block: return page_of(make_vcpu_seed(layout, region.slot));
    case RegionRole::config: {
      std::vector<std::uint8_t> out(config.begin(), config.end());
      out.resize(region.size);
      return out;
    }
    default: return {};
  }
}

host_abi::LayoutRange shifted(const host_abi::LayoutRange& range, std::uint64_t base) {
  return range.size == 0 ? host_abi::LayoutRange{} : host_abi::LayoutRange{base + range.start, range.size};
}

// Header, load plan, an empty page for the SIGSTRUCT, contents.
std::vector<std::uint8_t> assemble(const host_abi::KernelLayout& layout, std::vector<OutRegion>& regions) {
  FileHeader header{};
  header.magic = kFileMagic;
  header.version = kFileVersion;
  header.header_size = sizeof(FileHeader);
  header.elrange_size = layout.elrange_size;
  header.ssa_frame_pages = layout.ssa_frame_pages;
  header.region_count = static_cast<std::uint32_t>(regions.size());
  header.regions_offset = sizeof(FileHeader);
  header.sigstruct_offset = page_up(header.regions_offset + regions.size() * sizeof(FileRegion));
  header.layout_address = layout.image.end();
  std::uint64_t end = header.sigstruct_offset + kPageSize;
  for (OutRegion& region : regions) {
    if (region.content.empty()) continue;
    region.header.file_offset = end;
    end += region.content.size();
  }
  header.file_size = end;
  std::vector<std::uint8_t> out(end);
  store_at(out, 0, header);
  for (std::size_t i = 0; i < regions.size(); ++i) {
    store_at(out, header.regions_offset + i * sizeof(FileRegion), regions[i].header);
    std::ranges::copy(regions[i].content, out.begin() + static_cast<std::ptrdiff_t>(regions[i].header.file_offset));
  }
  return out;
}

Result<> check_attributes(const host_abi::ConfigHeader& config, const SigningParams& params) {
  host_abi::ConfigHeader expected = config;
  set_config_attributes(expected, params);
  if (config.flags != expected.flags) return fail("configuration: the flags for debug and KSS differ from the signing parameters");
  if (config.attributes != expected.attributes || config.attributes_mask != expected.attributes_mask ||
      config.miscselect != expected.miscselect) {
    return fail("configuration: attributes or miscselect differ from what will be signed");
  }
  if (!params.kss && (!is_zero(params.isv_family_id) || !is_zero(params.isv_ext_prod_id))) {
    return fail("a family id or extended product id needs KSS");
  }
  return {};
}

Result<std::vector<std::uint8_t>> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::uint8_t> out((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return fail("cannot read the kernel " + path);
  return out;
}

Result<> write_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t done = write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return fail(std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

}  // namespace

SigstructFields sigstruct_fields(const SigningParams& params, std::uint32_t ssa_frame_pages) {
  constexpr std::uint32_t kAmxFramePages = 4;  // XSAVE area with tiles is 0x2b00 bytes
  SigstructFields out;
  out.attributes.flags = kAttrMode64 | (params.debuggable ? kAttrDebug : 0) | (params.provision_key ? kAttrProvisionKey : 0) |
                         (params.kss ? kAttrKss : 0);
  if (params.require_amx) out.attributes.xfrm |= kXfrmAmx;
  else if (ssa_frame_pages >= kAmxFramePages) out.attributes_mask.xfrm &= ~kXfrmAmx;
  out.isv_prod_id = params.isv_prod_id;
  out.isv_svn = params.isv_svn;
  out.isv_family_id = params.isv_family_id;
  out.isv_ext_prod_id = params.isv_ext_prod_id;
  return out;
}

void set_config_attributes(host_abi::ConfigHeader& config, const SigningParams& params) {
  const SigstructFields fields = sigstruct_fields(params, config.ssa_frame_pages);
  const auto set = [&config](std::uint64_t flag, bool on) { config.flags = on ? config.flags | flag : config.flags & ~flag; };
  set(host_abi::kConfigDebuggable, params.debuggable);
  set(host_abi::kConfigKss, params.kss);
  config.attributes = fields.attributes.flags | kAttrInit;
  config.attributes_mask = ~std::uint64_t{0};
  config.miscselect = fields.miscselect;
}

Result<std::vector<std::uint8_t>> build_enclave_file(const EnclaveFileInputs& inputs, const SigningKey& key) {
  const auto config = check_config(inputs.config);
  if (!config) return std::unexpected(config.error());
  if (auto checked = check_attributes(*config, inputs.signing); !checked) return std::unexpected(checked.error());
  const auto elf = read_file(inputs.kernel_path);
  if (!elf) return std::unexpected(elf.error());
  const std::uint64_t base = host_abi::EnclaveGeometry{config->elrange_size}.kernel_base();
  const auto image = place_kernel(*elf, base);
  if (!image) return fail("kernel " + inputs.kernel_path + ": " + image.error().message);

  const ImageRanges ranges{base + image->entry,         {base, image->bytes.size()},   shifted(image->text, base),
                           shifted(image->rodata, base), shifted(image->relro, base), shifted(image->data, base)};
  const auto layout = plan_layout(*config, ranges, inputs.boot_heap_size);
  if (!layout) return std::unexpected(layout.error());
  std::vector<OutRegion> regions;
  add_image_regions(*image, base, regions);
  for (const PlannedRegion& region : plan_regions(*layout)) {
    regions.push_back(make_region(region.offset, region.size, region.secinfo_flags, region.measured,
                                  planned_content(region, *layout, inputs.config)));
  }
  std::vector<std::uint8_t> out = assemble(*layout, regions);

  // The reader judges what was written: nothing is signed that would not load.
  const auto file = EnclaveFile::parse(out, "(new)");
  if (!file) return std::unexpected(file.error());
  const auto mrenclave = measure_enclave_file(*file);
  if (!mrenclave) return std::unexpected(mrenclave.error());
  SigstructFields fields = sigstruct_fields(inputs.signing, config->ssa_frame_pages);
  fields.date = bcd_date(config->build_epoch);
  fields.enclave_hash = *mrenclave;
  const auto sigstruct = sign_sigstruct(fields, key);
  if (!sigstruct) return std::unexpected(sigstruct.error());
  const auto header = load_at<FileHeader>(out, 0);
  store_at(out, header->sigstruct_offset, *sigstruct);
  return out;
}

Result<Hash> write_enclave_file(const EnclaveFileInputs& inputs, const SigningKey& key, const std::string& path) {
  const auto bytes = build_enclave_file(inputs, key);
  if (!bytes) return std::unexpected(bytes.error());
  std::string temporary = path + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return fail("cannot write enclave file " + path + ": " + std::strerror(errno));
  auto written = write_all(fd, *bytes);
  if (written && fchmod(fd, 0644) != 0) written = fail(std::strerror(errno));
  if (close(fd) != 0 && written) written = fail(std::strerror(errno));
  if (written && rename(temporary.c_str(), path.c_str()) != 0) written = fail(std::strerror(errno));
  if (!written) {
    unlink(temporary.c_str());
    return fail("cannot write enclave file " + path + ": " + written.error().message);
  }
  const auto header = load_at<FileHeader>(*bytes, 0);
  return load_at<Sigstruct>(*bytes, header->sigstruct_offset)->enclave_hash;
}

}  // namespace sgx
