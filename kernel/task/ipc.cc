#include "kernel/task/ipc.h"

#include "kernel/host/clock.h"

namespace kernel {

constinit SpinLock<LockRank::ipc> ipc_lock;

namespace {
constinit IpcLimits limits;  // NOLINT: settings of the instance
}  // namespace

IpcLimits& ipc_limits() { return limits; }

Result<> ipc_check(const Credentials& who, const IpcPermissions& permissions, std::uint32_t wanted) {
  const std::uint32_t asked = ((wanted >> 6) | (wanted >> 3) | wanted) & 7;
  std::uint32_t granted = permissions.mode;
  if (who.euid == permissions.cuid || who.euid == permissions.uid)
    granted >>= 6;
  else if (who.in_group(permissions.cgid) || who.in_group(permissions.gid))
    granted >>= 3;
  if ((asked & ~granted & 7) == 0 || who.has(Capability::ipc_owner)) return {};
  return Errno::acces;
}

Result<> ipc_check_owner(const Credentials& who, const IpcPermissions& permissions) {
  if (who.euid == permissions.cuid || who.euid == permissions.uid || who.has(Capability::sys_admin)) return {};
  return Errno::perm;
}

IpcPermissions ipc_fresh(const Credentials& who, std::int32_t key, std::uint32_t flags) {
  return {.key = key, .uid = who.euid, .gid = who.egid, .cuid = who.euid, .cgid = who.egid, .mode = flags & 0777};
}

abi::IpcPerm ipc_export(const IpcPermissions& permissions, std::int32_t id) {
  return {.key = permissions.key,
          .uid = permissions.uid,
          .gid = permissions.gid,
          .cuid = permissions.cuid,
          .cgid = permissions.cgid,
          .mode = permissions.mode,
          .seq = static_cast<std::uint16_t>(id >> kIpcIndexBits),
          .pad = 0,
          .reserved = 0,
          .unused1 = 0,
          .unused2 = 0};
}

Result<> ipc_apply(IpcPermissions& permissions, const abi::IpcPerm& wanted) {
  constexpr std::uint32_t kNobody = 0xffffffff;
  if (wanted.uid == kNobody || wanted.gid == kNobody) return Errno::inval;
  permissions.uid = wanted.uid;
  permissions.gid = wanted.gid;
  permissions.mode = (permissions.mode & ~0777U) | (wanted.mode & 0777);
  return {};
}

std::int64_t ipc_now() { return static_cast<std::int64_t>(realtime_now() / 1'000'000'000); }

}  // namespace kernel
