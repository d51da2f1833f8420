#include "kernel/task/credentials.h"

#include <algorithm>

namespace kernel {

bool Credentials::in_group(std::uint32_t gid) const {
  return gid == fsgid || std::ranges::find(groups.span(), gid) != groups.span().end();
}

Result<Ref<Credentials>> Credentials::copy() const {
  Ref<Credentials> fresh = TRY(make_ref<Credentials>());
  TRY(fresh->groups.try_reserve(groups.size()));
  for (const std::uint32_t group : groups) TRY(fresh->groups.try_push(group));
  fresh->ruid = ruid;
  fresh->euid = euid;
  fresh->suid = suid;
  fresh->fsuid = fsuid;
  fresh->rgid = rgid;
  fresh->egid = egid;
  fresh->sgid = sgid;
  fresh->fsgid = fsgid;
  fresh->permitted = permitted;
  fresh->effective = effective;
  fresh->inheritable = inheritable;
  fresh->bounding = bounding;
  fresh->ambient = ambient;
  fresh->securebits = securebits;
  return fresh;
}

void Credentials::fix_capabilities(const Credentials& before) {
  constexpr std::uint32_t kNoSetuidFixup = 4, kKeepCaps = 16;  // SECBIT_*
  if ((securebits & kNoSetuidFixup) != 0) return;
  const bool had_root = before.ruid == 0 || before.euid == 0 || before.suid == 0;
  const bool has_root = ruid == 0 || euid == 0 || suid == 0;
  if (had_root && !has_root) {
    if ((securebits & kKeepCaps) == 0) {
      permitted = 0;
      effective = 0;
    }
    ambient = 0;
  }
  if (before.euid == 0 && euid != 0) effective = 0;
  if (before.euid != 0 && euid == 0) effective = permitted;
}

}  // namespace kernel
