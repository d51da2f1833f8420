// Who a task is (credentials(7), capabilities(7)). Immutable once published: a change makes a copy and swaps it in.
#ifndef KERNEL_TASK_CREDENTIALS_H
#define KERNEL_TASK_CREDENTIALS_H

#include <cstdint>

#include "abi/process.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"

namespace kernel {

inline constexpr std::size_t kMaxGroups = 65536;  // NGROUPS_MAX

// Numbers of capabilities(7) that the kernel asks for.
enum class Capability : std::uint32_t {
  chown = 0, dac_override = 1, dac_read_search = 2, fowner = 3, fsetid = 4, kill = 5, setgid = 6, setuid = 7, setpcap = 8,
  net_bind_service = 10, net_admin = 12, net_raw = 13, ipc_lock = 14, ipc_owner = 15, sys_chroot = 18, sys_ptrace = 19, sys_admin = 21, sys_boot = 22,
  sys_nice = 23, sys_resource = 24, sys_time = 25, sys_tty_config = 26, mknod = 27,
};

class Credentials final : public RefCounted<Credentials> {
 public:
  Credentials() = default;
  std::uint32_t ruid = 0, euid = 0, suid = 0, fsuid = 0;
  std::uint32_t rgid = 0, egid = 0, sgid = 0, fsgid = 0;
  Vec<std::uint32_t> groups;
  std::uint64_t permitted = abi::kCapAll, effective = abi::kCapAll, inheritable = 0, bounding = abi::kCapAll, ambient = 0;
  std::uint32_t securebits = 0;

  bool has(Capability capability) const { return ((effective >> static_cast<std::uint32_t>(capability)) & 1) != 0; }
  // The file-system group or one of the supplementary groups.
  bool in_group(std::uint32_t gid) const;
  // A copy to edit before it is published (ENOMEM).
  Result<Ref<Credentials>> copy() const;
  // Capabilities after the user ids changed from those of `before` (capabilities(7), "Effect of user ID changes").
  void fix_capabilities(const Credentials& before);
};

}  // namespace kernel
#endif  // KERNEL_TASK_CREDENTIALS_H
