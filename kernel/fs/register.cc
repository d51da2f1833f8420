#include "kernel/fs/register.h"

#include <algorithm>

#include "kernel/base/string.h"
#include "kernel/crypto/sha256.h"
#include "kernel/frame/cpuid.h"
#include "kernel/frame/heap.h"
#include "kernel/fs/image/image_fs.h"
#include "kernel/fs/ram/ram_fs.h"
#include "kernel/fs/union/union_fs.h"
#include "kernel/host/config.h"
#include "kernel/host/image.h"
#include "kernel/host/log.h"
#include "kernel/vfs/mount.h"

namespace kernel {

namespace {

// A quarter of the kernel's memory at most, as blocks of the image.
std::size_t image_cache_blocks() {
  const std::uint64_t bytes = std::clamp<std::uint64_t>(frame::heap_usage().limit / 4, 2ULL << 20, 256ULL << 20);
  return static_cast<std::size_t>(bytes / kPageSize);
}

Result<Ref<Superblock>> make_image(std::string_view, std::string_view) {
  return Ref<Superblock>(TRY(ImageSuperblock::create(config().image, host::image_size(), image_cache_blocks())));
}

// "16m", "50%": as the size option of tmpfs has it.
Result<std::uint64_t> parse_size(std::string_view text) {
  const std::uint64_t whole = frame::heap_usage().limit;
  std::uint64_t unit = 1;
  if (!text.empty()) {
    const char last = text.back();
    if (last == '%') {
      const std::uint64_t percent = TRY(parse_decimal(text.substr(0, text.size() - 1)));
      return percent > 100 ? Errno::inval : Result<std::uint64_t>(whole / 100 * percent);
    }
    if (last == 'k' || last == 'K') unit = 1ULL << 10;
    if (last == 'm' || last == 'M') unit = 1ULL << 20;
    if (last == 'g' || last == 'G') unit = 1ULL << 30;
    if (unit != 1) text.remove_suffix(1);
  }
  return checked_mul(TRY(parse_decimal(text)), unit);
}

struct RamOptions {
  std::uint64_t limit = frame::heap_usage().limit / 2;
  Mode mode = 01777;
};

Result<RamOptions> parse_ram_options(std::string_view options) {
  RamOptions result;
  while (!options.empty()) {
    const std::size_t comma = options.find(',');
    const std::string_view option = options.substr(0, comma);
    options = comma == std::string_view::npos ? std::string_view() : options.substr(comma + 1);
    if (option.starts_with("size=")) {
      result.limit = TRY(parse_size(option.substr(5)));
    } else if (option.starts_with("mode=")) {
      result.mode = 0;
      for (const char c : option.substr(5)) {
        if (c < '0' || c > '7' || result.mode > 0777) return Errno::inval;
        result.mode = result.mode * 8 + static_cast<Mode>(c - '0');
      }
    }
  }
  return result;
}

Result<Ref<Superblock>> make_ram(std::string_view, std::string_view options) {
  const RamOptions parsed = TRY(parse_ram_options(options));
  return Ref<Superblock>(TRY(RamSuperblock::create(parsed.limit, parsed.mode)));
}

Result<Ref<Superblock>> make_union(std::string_view source, std::string_view options) {
  const Ref<Superblock> lower = TRY(make_image(source, options));
  const Ref<Superblock> upper = TRY(RamSuperblock::create(frame::heap_usage().limit / 2, 0755));
  LOG(info) << "the root keeps what is written in memory: it is gone when the instance ends";
  return Ref<Superblock>(TRY(UnionSuperblock::create(lower, upper)));
}

bool processor_has_sha() {
  constexpr std::uint32_t kSsse3 = 1U << 9, kSse41 = 1U << 19, kSha = 1U << 29;
  return (frame::cpuid(1, 0).ecx & (kSsse3 | kSse41)) == (kSsse3 | kSse41) && (frame::cpuid(7, 0).ebx & kSha) != 0;
}

}  // namespace

Result<> register_file_systems() {
  set_sha256_hardware(processor_has_sha());
  TRY(register_file_system({.name = "image", .make = make_image}));
  TRY(register_file_system({.name = "unionfs", .make = make_union}));
  TRY(register_file_system({.name = "ramfs", .make = make_ram}));
  TRY(register_file_system({.name = "tmpfs", .make = make_ram}));
  return {};
}

}  // namespace kernel
