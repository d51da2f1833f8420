#include "kernel/fs/dev/terminal.h"

#include "abi/fs.h"
#include "kernel/fs/dev/host_stream.h"
#include "kernel/host/stream.h"

namespace kernel {
namespace {

constexpr std::uint32_t kStreams = 3;
constexpr std::uint32_t kHostIsTerminal = 1;  // HostStat::flags

// The flags that a stream keeps of those that open(2) was given.
std::uint32_t kept(std::uint32_t flags) { return flags & (abi::kOAccMode | abi::kSettableFlags); }

Result<Ref<OpenFile>> open_terminal(std::uint32_t flags) {
  for (std::uint32_t handle = 0; handle < kStreams; ++handle) {
    auto found = host::stream_stat(handle);
    if (!found.ok()) continue;
    const host_abi::HostStat stat = std::move(found).release();
    if ((stat.flags & kHostIsTerminal) != 0) return Ref<OpenFile>(TRY(make_ref<HostStream>(handle, stat, kept(flags))));
  }
  return Errno::nxio;
}

}  // namespace

Result<Ref<OpenFile>> open_terminal_device(Dentry&, Inode& inode, std::uint32_t flags) {
  switch (abi::device_minor(inode.attributes().rdev)) {
    case kTtyMinor: return open_terminal(flags);
    case kConsoleMinor: {
      auto terminal = open_terminal(flags);
      if (terminal.ok() || terminal.error() != Errno::nxio) return terminal;
      return open_host_stream(2);
    }
    default: return Errno::nxio;
  }
}

}  // namespace kernel
