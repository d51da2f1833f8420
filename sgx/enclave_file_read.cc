#include "sgx/enclave_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "sgx/bytes.h"
#include "sgx/kernel_image.h"
#include "sgx/layout_plan.h"
#include "sgx/vcpu_slot.h"

namespace sgx {

// Anonymous memory, not a file mapping: the file may change or shrink while the enclave is loaded, and the driver takes pages only
// from memory that may be made executable (a file on a noexec mount may not).
struct EnclaveFile::Mapping {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data != nullptr) munmap(data, size);
  }
  static std::shared_ptr<Mapping> create(std::size_t size) {
    auto out = std::make_shared<Mapping>();
    // All of it is written next: its pages in one go instead of a fault for each.
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    out->data = static_cast<std::uint8_t*>(memory);
    out->size = size;
    return out;
  }
};

namespace {

constexpr std::uint64_t kLowestPage = 0x10000;  // mmap_min_addr
constexpr std::uint64_t kMaxImage = std::uint64_t{256} << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

bool read_all(int fd, std::span<std::uint8_t> into) {
  while (!into.empty()) {
    const ssize_t got = read(fd, into.data(), into.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

std::string cannot_read(const std::string& path) { return "cannot read enclave file " + path + ": " + std::strerror(errno); }

}  // namespace

Result<EnclaveFile> EnclaveFile::open(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) return fail(cannot_read(path));
  if (!S_ISREG(status.st_mode)) return fail("cannot read enclave file " + path + ": not a regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < sizeof(FileHeader) || size > kMaxFileSize) {
    return fail(fmt::format("enclave file {}: bad size of {} bytes", path, size));
  }
  auto memory = Mapping::create(size);
  if (memory == nullptr) return fail(cannot_read(path));
  if (!read_all(file.get(), {memory->data, memory->size})) return fail("cannot read enclave file " + path + ": it became shorter");
  return validate(std::move(memory), path);
}

Result<EnclaveFile> EnclaveFile::parse(Bytes bytes, const std::string& name) {
  if (bytes.size() < sizeof(FileHeader) || bytes.size() > kMaxFileSize) {
    return fail(fmt::format("enclave file {}: bad size of {} bytes", name, bytes.size()));
  }
  auto memory = Mapping::create(bytes.size());
  if (memory == nullptr) return fail(cannot_read(name));
  std::ranges::copy(bytes, memory->data);
  return validate(std::move(memory), name);
}

Result<EnclaveFile> EnclaveFile::validate(std::shared_ptr<Mapping> memory, std::string name) {
  EnclaveFile file;
  file.memory_ = std::move(memory);
  file.name_ = std::move(name);
  for (const auto step : {&EnclaveFile::read_header, &EnclaveFile::read_regions, &EnclaveFile::read_layout}) {
    if (auto done = (file.*step)(); !done) return std::unexpected(done.error());
  }
  for (const auto check :
       {&EnclaveFile::check_overlaps, &EnclaveFile::check_image_regions, &EnclaveFile::check_planned_regions}) {
    if (auto done = (file.*check)(); !done) return std::unexpected(done.error());
  }
  return file;
}

std::unexpected<Error> EnclaveFile::bad(const std::string& what) const { return fail("enclave file " + name_ + ": " + what); }

Bytes EnclaveFile::bytes() const { return {memory_->data, memory_->size}; }

Result<> EnclaveFile::read_header() {
  header_ = *load_at<FileHeader>(bytes(), 0);
  const FileHeader& h = header_;
  if (h.magic != kFileMagic) return bad("not an enclave file (bad magic)");
  if (h.version != kFileVersion) return bad(fmt::format("version {} is not supported", h.version));
  if (h.header_size != sizeof(FileHeader) || h.regions_offset != sizeof(FileHeader)) return bad("bad header size");
  if (h.file_size != memory_->size) return bad(fmt::format("its header says {} bytes, it has {}", h.file_size, memory_->size));
  if (!page_aligned(h.file_size)) return bad("its size is not a multiple of 4096");
  if (std::ranges::any_of(h.reserved, [](std::uint64_t word) { return word != 0; })) return bad("reserved header bytes are not 0");
  if (h.region_count == 0 || h.region_count > kMaxRegions) return bad(fmt::format("bad number of regions, {}", h.region_count));
  const std::uint64_t table_end = h.regions_offset + std::uint64_t{h.region_count} * sizeof(FileRegion);
  if (h.sigstruct_offset != page_up(table_end)) return bad("the SIGSTRUCT is not behind the load plan");
  if (!in_bounds(h.sigstruct_offset, kPageSize, h.file_size)) return bad("it ends before its SIGSTRUCT");
  if (!is_zero(bytes().subspan(table_end, h.sigstruct_offset - table_end)) ||
      !is_zero(bytes().subspan(h.sigstruct_offset + sizeof(Sigstruct), kPageSize - sizeof(Sigstruct)))) {
    return bad("padding bytes are not 0");
  }
  sigstruct_ = *load_at<Sigstruct>(bytes(), h.sigstruct_offset);
  return {};
}

Result<> EnclaveFile::read_regions() {
  if (!std::has_single_bit(header_.elrange_size)) return bad("the size of ELRANGE is not a power of two");
  std::uint64_t next_content = header_.sigstruct_offset + kPageSize;
  regions_.reserve(header_.region_count);
  for (std::uint32_t i = 0; i < header_.region_count; ++i) {
    const auto raw = load_at<FileRegion>(bytes(), header_.regions_offset + std::uint64_t{i} * sizeof(FileRegion));
    if (auto done = read_region(*raw, next_content); !done) {
      return bad(fmt::format("region {} at {:#x}: {}", i, raw->offset, done.error().message));
    }
  }
  if (next_content != header_.file_size) return bad("there are bytes behind the content of its regions");
  return {};
}

Result<> EnclaveFile::read_region(const FileRegion& raw, std::uint64_t& next_content) {
  if (raw.size == 0 || !page_aligned(raw.size) || !page_aligned(raw.offset)) return fail("not whole pages");
  if (raw.offset < kLowestPage || !in_bounds(raw.offset, raw.size, header_.elrange_size)) return fail("outside ELRANGE");
  if ((raw.secinfo_flags & ~(kSecinfoRwx | kSecinfoTypeMask)) != 0) return fail("bad SECINFO flags");
  const PageType type = secinfo_type(raw.secinfo_flags);
  const std::uint64_t permissions = raw.secinfo_flags & kSecinfoRwx;
  if (type != PageType::tcs && type != PageType::reg) return fail("bad page type");
  if (type == PageType::tcs && permissions != 0) return fail("a TCS has no permissions");
  if (type == PageType::reg && (permissions & kSecinfoR) == 0) return fail("a regular page must be readable");
  if ((raw.flags & ~(kRegionMeasured | kRegionContent)) != 0 || raw.reserved != 0) return fail("bad flags");
  const bool measured = (raw.flags & kRegionMeasured) != 0;
  Bytes content;
  if ((raw.flags & kRegionContent) != 0) {
    if (!measured) return fail("content that is not measured");
    if (raw.file_offset != next_content || !in_bounds(raw.file_offset, raw.size, header_.file_size)) {
      return fail("its content is not where it must be in the file");
    }
    content = bytes().subspan(raw.file_offset, raw.size);
    next_content += raw.size;
  } else if (raw.file_offset != 0) {
    return fail("a file offset without content");
  }
  regions_.push_back({raw.offset, raw.size, raw.secinfo_flags, measured, content});
  return {};
}

Result<> EnclaveFile::check_overlaps() const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  ranges.reserve(regions_.size());
  for (const Region& region : regions_) ranges.emplace_back(region.offset, region.size);
  std::ranges::sort(ranges);
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first - ranges[i - 1].first < ranges[i - 1].second) {
      return bad(fmt::format("two regions overlap at {:#x}", ranges[i].first));
    }
  }
  return {};
}

Bytes EnclaveFile::read_only_content(std::uint64_t address) const {
  for (const Region& region : regions_) {
    if (region.offset == address && region.measured && region.secinfo_flags == kSecinfoRegR) return region.content;
  }
  return {};
}

Result<> EnclaveFile::read_layout() {
  const Bytes page = read_only_content(header_.layout_address);
  const auto layout = load_at<host_abi::KernelLayout>(page, 0);
  if (!layout || page.size() != kPageSize || layout->magic != host_abi::kLayoutMagic) return bad("there is no kernel layout table");
  layout_ = *layout;
  if (layout_.version != host_abi::kLayoutVersion || layout_.size != sizeof(layout_)) return bad("unsupported kernel layout table");
  if (!is_zero(page.subspan(sizeof(layout_)))) return bad("bytes behind the kernel layout table are not 0");

  const Bytes blob = read_only_content(layout_.config.start);
  if (layout_.config.size > blob.size()) return bad("there is no configuration where the kernel layout table says");
  config_bytes_ = blob.first(layout_.config.size);
  if (!is_zero(blob.subspan(layout_.config.size))) return bad("bytes behind the configuration are not 0");
  const auto config = check_config(config_bytes_);
  if (!config) return bad(config.error().message);
  config_ = *config;
  if (config_.elrange_size != header_.elrange_size || config_.ssa_frame_pages != header_.ssa_frame_pages) {
    return bad("header and configuration disagree on ELRANGE or SSA frame size");
  }
  const host_abi::LayoutRange& image = layout_.image;
  if (image.start != host_abi::EnclaveGeometry{config_.elrange_size}.kernel_base() || image.size > kMaxImage ||
      !page_aligned(image.size) || image.end() != header_.layout_address) {
    return bad("the kernel layout table has a bad image range");
  }
  const ImageRanges ranges{layout_.entry, image, layout_.text, layout_.rodata, layout_.relro, layout_.data};
  const auto expected = plan_layout(config_, ranges, layout_.heap.size);
  if (!expected) return bad(expected.error().message);
  if (std::memcmp(&*expected, &layout_, sizeof(layout_)) != 0) {
    return bad("the kernel layout table does not follow from the configuration");
  }
  return {};
}

// Image regions lie within their part of the image, have its permissions and are measured; every part is filled.
Result<> EnclaveFile::check_image_regions() const {
  struct Part {
    host_abi::LayoutRange range;
    std::uint64_t flags;
  };
  const std::array<Part, 4> parts{Part{layout_.rodata, kSecinfoRegR}, Part{layout_.text, kSecinfoRegRx},
                                  Part{layout_.relro, kSecinfoRegR}, Part{layout_.data, kSecinfoRegRw}};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const host_abi::LayoutRange& range = parts[i].range;
    if (range.size == 0) continue;
    if (!in_bounds(range.start - layout_.image.start, range.size, layout_.image.size)) {
      return bad("a part of the kernel image lies outside it");
    }
    for (std::size_t k = 0; k < i; ++k) {
      const host_abi::LayoutRange& other = parts[k].range;
      const bool apart = range.start >= other.end() || other.start >= range.end();
      if (other.size != 0 && !apart) return bad("parts of the kernel image overlap");
    }
  }
  std::array<std::uint64_t, 4> filled{};
  for (const Region& region : regions_) {
    if (!in_bounds(region.offset - layout_.image.start, region.size, layout_.image.size)) continue;
    bool placed = false;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Part& part = parts[i];
      if (!in_bounds(region.offset - part.range.start, region.size, part.range.size)) continue;
      placed = region.secinfo_flags == part.flags && region.measured;
      filled[i] += region.size;
    }
    if (!placed) return bad(fmt::format("the region at {:#x} does not fit the kernel image", region.offset));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (filled[i] != parts[i].range.size) return bad("the kernel image is not complete");
  }
  if (!in_bounds(layout_.entry - layout_.text.start, 1, layout_.text.size)) return bad("the entry point is not in the kernel's text");
  return {};
}

// Outside the image the regions are exactly those that the layout implies, and TCS and vCPU blocks have the implied content.
Result<> EnclaveFile::check_planned_regions() const {
  const std::vector<PlannedRegion> plan = plan_regions(layout_);
  auto planned = plan.begin();
  for (const Region& region : regions_) {
    if (in_bounds(region.offset - layout_.image.start, region.size, layout_.image.size)) continue;
    const auto wrong = [&] { return bad(fmt::format("the region at {:#x} does not follow from the layout", region.offset)); };
    if (planned == plan.end() || region.offset != planned->offset || region.size != planned->size ||
        region.secinfo_flags != planned->secinfo_flags || region.measured != planned->measured) {
      return wrong();
    }
    if (planned->role == RegionRole::tcs) {
      Tcs expected{};
      fill_tcs(expected, layout_, planned->slot);
      const auto actual = load_at<Tcs>(region.content, 0);
      if (!actual || std::memcmp(&expected, &*actual, sizeof(Tcs)) != 0) return wrong();
    } else if (planned->role == RegionRole::vcpu_block) {
      const host_abi::VcpuSeed expected = make_vcpu_seed(layout_, planned->slot);
      const auto actual = load_at<host_abi::VcpuSeed>(region.content, 0);
      if (!actual || std::memcmp(&expected, &*actual, sizeof(expected)) != 0) return wrong();
      if (!is_zero(region.content.subspan(sizeof(expected)))) return wrong();
    } else if (planned->role != RegionRole::layout && planned->role != RegionRole::config && !region.content.empty()) {
      return wrong();
    }
    ++planned;
  }
  if (planned != plan.end()) return bad(fmt::format("the region at {:#x} is missing", planned->offset));
  return {};
}

}  // namespace sgx
