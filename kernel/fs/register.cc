#include "kernel/fs/register.h"

#include <algorithm>

#include "kernel/crypto/sha256.h"
#include "kernel/frame/cpuid.h"
#include "kernel/frame/heap.h"
#include "kernel/fs/image/image_fs.h"
#include "kernel/host/config.h"
#include "kernel/host/image.h"
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

bool processor_has_sha() {
  constexpr std::uint32_t kSsse3 = 1U << 9, kSse41 = 1U << 19, kSha = 1U << 29;
  return (frame::cpuid(1, 0).ecx & (kSsse3 | kSse41)) == (kSsse3 | kSse41) && (frame::cpuid(7, 0).ebx & kSha) != 0;
}

}  // namespace

Result<> register_file_systems() {
  set_sha256_hardware(processor_has_sha());
  TRY(register_file_system({.name = "image", .make = make_image}));
  TRY(register_file_system({.name = "unionfs", .make = make_image}));
  return {};
}

}  // namespace kernel
