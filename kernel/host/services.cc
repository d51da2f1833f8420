// Small clients: EDMM, streams, image, configuration.
#include <algorithm>
#include <utility>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/measured.h"
#include "kernel/host/client.h"
#include "kernel/host/config.h"
#include "kernel/host/image.h"
#include "kernel/host/memory.h"
#include "kernel/host/stream.h"
#include "sgx/arch.h"

namespace kernel {
namespace host {

using host_abi::Op;

Result<> augment(std::uint64_t address, std::uint64_t size) {
  if (!call(Op::augment, address, size).ok()) return Errno::nomem;
  return {};
}
Result<> restrict_permissions(std::uint64_t address, std::uint64_t size, std::uint32_t permissions) {
  TRY(call(Op::restrict_perm, address, size, permissions));
  return {};
}
Result<> trim(std::uint64_t address, std::uint64_t size) {
  TRY(call(Op::modify_type, address, size, std::to_underlying(sgx::PageType::trim)));
  return {};
}
Result<> make_tcs(std::uint64_t page) {
  TRY(call(Op::modify_type, page, kPageSize, std::to_underlying(sgx::PageType::tcs)));
  return {};
}
Result<> remove(std::uint64_t address, std::uint64_t size) {
  TRY(call(Op::remove, address, size));
  return {};
}

namespace {
constexpr std::size_t kStreamChunk = 32 * 1024;
}

Result<std::size_t> stream_read(std::uint32_t handle, std::span<std::byte> into) {
  return TRY(call(Op::read, {.args = {handle}, .out = {}, .in = into.first(std::min(into.size(), kStreamChunk)), .in_exact = false}));
}
Result<std::size_t> stream_write(std::uint32_t handle, std::span<const std::byte> from) {
  if (from.empty()) return std::size_t{0};
  return TRY(call(Op::write, {.args = {handle}, .out = from.first(std::min(from.size(), kStreamChunk)), .in = {}, .in_exact = false}));
}
Result<std::uint32_t> stream_poll(std::uint32_t handle, std::uint32_t events) {
  constexpr std::uint64_t kPollMask = 0x201f;
  return static_cast<std::uint32_t>(TRY(call(Op::poll, handle, events, 0)) & kPollMask);
}
Result<host_abi::HostStat> stream_stat(std::uint32_t handle) {
  host_abi::HostStat stat{};
  TRY(call(Op::fstat, {.args = {handle}, .out = {}, .in = std::as_writable_bytes(std::span<host_abi::HostStat, 1>(&stat, 1)), .in_exact = true}));
  return stat;
}
Result<std::uint64_t> stream_seek(std::uint32_t handle, std::int64_t offset, std::uint32_t whence) {
  return call(Op::lseek, handle, static_cast<std::uint64_t>(offset), whence);
}
Result<> stream_ioctl_get(std::uint32_t handle, std::uint64_t request, std::span<std::byte> into) {
  TRY(call(Op::ioctl_get, {.args = {handle, request}, .out = {}, .in = into, .in_exact = true}));
  return {};
}
Result<> stream_ioctl_set(std::uint32_t handle, std::uint64_t request, std::span<const std::byte> from) {
  TRY(call(Op::ioctl_set, {.args = {handle, request}, .out = from, .in = {}, .in_exact = false}));
  return {};
}

Result<> stream_ioctl_value(std::uint32_t handle, std::uint64_t request, std::uint64_t value) {
  TRY(call(Op::ioctl_set, handle, request, value));
  return {};
}
void suspend_runtime() { static_cast<void>(call(Op::suspend).ok()); }

std::uint64_t image_size() { return boot().image_size; }

Result<> read_image(std::uint64_t offset, std::span<std::byte> into) {
  const std::uint64_t end = TRY(checked_add<std::uint64_t>(offset, into.size()));
  if (end > boot().image_size) return Errno::io;
  return copy_from_host(into, boot().image + offset);
}

}  // namespace host

// ---- configuration

namespace {
constinit const host_abi::ConfigHeader* the_config = nullptr;
constinit std::uint64_t the_config_address = 0;
}  // namespace

Result<> config_init(std::uint64_t address, std::uint64_t size) {
  if (size < sizeof(host_abi::ConfigHeader)) return Errno::inval;
  const host_abi::ConfigHeader& header = frame::measured_object<host_abi::ConfigHeader>(address);
  if (header.magic != host_abi::kConfigMagic || header.version != 1 || header.total_size > size) return Errno::inval;
  for (const host_abi::StringList* list : {&header.entry_points, &header.env_default, &header.env_untrusted, &header.mounts})
    if (std::uint64_t{list->offset} + list->bytes > header.total_size) return Errno::inval;
  the_config = &header;
  the_config_address = address;
  return {};
}

const host_abi::ConfigHeader& config() {
  KASSERT(the_config != nullptr);
  return *the_config;
}

std::optional<std::string_view> config_string(const host_abi::StringList& list, std::uint32_t index) {
  if (index >= list.count) return std::nullopt;
  std::string_view rest = text_of(frame::measured_bytes(the_config_address + list.offset, list.bytes));
  for (;; --index) {
    const std::size_t nul = rest.find('\0');
    if (nul == std::string_view::npos) return std::nullopt;
    if (index == 0) return rest.substr(0, nul);
    rest.remove_prefix(nul + 1);
  }
}

}  // namespace kernel
