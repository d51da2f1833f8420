#include "kernel/fs/tty/console.h"

#include <optional>

#include "abi/fs.h"
#include "kernel/fs/tty/host_stream.h"
#include "kernel/host/stream.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

constexpr std::uint32_t kStreams = 3;
constinit RefPtr<Console> the_console;  // NOLINT: written once at boot

// The flags that a stream keeps of those that open(2) was given.
std::uint32_t kept(std::uint32_t flags) { return flags & (abi::kOAccMode | abi::kSettableFlags); }

bool is_same_terminal(const host_abi::HostStat& stat) {
  auto found = host::stream_stat(the_console->handle());
  if (!found.ok()) return false;
  const host_abi::HostStat own = std::move(found).release();
  return stat.rdev_major == own.rdev_major && stat.rdev_minor == own.rdev_minor;
}

}  // namespace

std::uint64_t Console::device() const { return abi::make_device(kTerminalMajor, kConsoleMinor); }

Result<Ref<OpenFile>> Console::open(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags) {
  const host_abi::HostStat stat = TRY(host::stream_stat(handle_));
  return Ref<OpenFile>(TRY(make_ref<HostStream>(std::move(dentry), std::move(inode), handle_, stat, kept(flags))));
}

Result<> console_init() {
  for (std::uint32_t handle = 0; handle < kStreams; ++handle) {
    auto found = host::stream_stat(handle);
    if (!found.ok() || !HostStream::is_terminal(std::move(found).release())) continue;
    the_console = TRY(make_ref<Console>(handle));
    return {};
  }
  return {};
}

RefPtr<Console> console() { return the_console; }

Result<Ref<OpenFile>> open_console(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags) {
  if (the_console) return the_console->open(std::move(dentry), std::move(inode), flags);
  return open_host_stream(2);
}

Result<Ref<OpenFile>> open_standard_stream(std::uint32_t handle, const FsContext& fs) {
  const host_abi::HostStat stat = TRY(host::stream_stat(handle));
  if (!HostStream::is_terminal(stat) || !the_console || !is_same_terminal(stat)) return open_host_stream(handle);
  const Identity kernel_identity;
  PathWalk walk(fs, nullptr, kernel_identity);
  auto found = walk.find("/dev/console", kWalkFollow);
  if (!found.ok()) return open_host_stream(handle);
  const Ref<Dentry> node = std::move(found).release();
  const RefPtr<Inode> inode = node->inode();
  if (!inode || inode->attributes().rdev != the_console->device()) return open_host_stream(handle);
  return Ref<OpenFile>(TRY(make_ref<HostStream>(node, inode, handle, stat, abi::kORdWr)));
}

}  // namespace kernel
