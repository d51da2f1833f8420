#include "kernel/syscall/ids.h"

#include <array>
#include <optional>
#include <utility>

namespace kernel {

namespace {

constexpr std::uint32_t kUnchanged = 0xffffffff;

// The three ids of one kind, so that users and groups share the rules of setresuid(2) and its relatives.
struct IdTriple {
  std::uint32_t real, effective, saved;
  bool has(std::uint32_t id) const { return id == real || id == effective || id == saved; }
};
enum class IdKind : bool { user, group };

IdTriple ids_of(const Credentials& who, IdKind kind) {
  return kind == IdKind::user ? IdTriple{who.ruid, who.euid, who.suid} : IdTriple{who.rgid, who.egid, who.sgid};
}
bool is_privileged(const Credentials& who, IdKind kind) { return who.has(kind == IdKind::user ? Capability::setuid : Capability::setgid); }

Result<> publish(Task& task, IdKind kind, const IdTriple& ids) {
  const Ref<const Credentials> before = task.credentials_ref();
  const Ref<Credentials> fresh = TRY(before->copy());
  if (kind == IdKind::user) {
    fresh->ruid = ids.real;
    fresh->euid = fresh->fsuid = ids.effective;
    fresh->suid = ids.saved;
    fresh->fix_capabilities(*before);
  } else {
    fresh->rgid = ids.real;
    fresh->egid = fresh->fsgid = ids.effective;
    fresh->sgid = ids.saved;
  }
  if (ids_of(*before, kind).effective != ids.effective) {
    task.process().dumpable = 0;
    task.process().parent_death_signal = 0;
  }
  task.set_credentials(Ref<const Credentials>(fresh));
  return {};
}

Result<> set_one(Task& task, IdKind kind, std::uint32_t id) {
  if (id == kUnchanged) return Errno::inval;
  IdTriple ids = ids_of(task.credentials(), kind);
  if (is_privileged(task.credentials(), kind))
    ids = {.real = id, .effective = id, .saved = id};
  else if (id == ids.real || id == ids.saved)
    ids.effective = id;
  else
    return Errno::perm;
  return publish(task, kind, ids);
}

Result<> set_two(Task& task, IdKind kind, std::uint32_t real, std::uint32_t effective) {
  const IdTriple old = ids_of(task.credentials(), kind);
  IdTriple ids = old;
  if (!is_privileged(task.credentials(), kind)) {
    if (real != kUnchanged && real != old.real && real != old.effective) return Errno::perm;
    if (effective != kUnchanged && !old.has(effective)) return Errno::perm;
  }
  if (real != kUnchanged) ids.real = real;
  if (effective != kUnchanged) ids.effective = effective;
  if (real != kUnchanged || (effective != kUnchanged && effective != old.real)) ids.saved = ids.effective;
  return publish(task, kind, ids);
}

Result<> set_three(Task& task, IdKind kind, const std::array<std::uint32_t, 3>& wanted) {
  const IdTriple old = ids_of(task.credentials(), kind);
  if (!is_privileged(task.credentials(), kind))
    for (const std::uint32_t id : wanted)
      if (id != kUnchanged && !old.has(id)) return Errno::perm;
  const auto pick = [](std::uint32_t fresh, std::uint32_t before) { return fresh == kUnchanged ? before : fresh; };
  return publish(task, kind, {.real = pick(wanted[0], old.real), .effective = pick(wanted[1], old.effective), .saved = pick(wanted[2], old.saved)});
}

Result<> store_three(const IdTriple& ids, UserPtr<std::uint32_t> real, UserPtr<std::uint32_t> effective, UserPtr<std::uint32_t> saved) {
  TRY(real.store(ids.real));
  TRY(effective.store(ids.effective));
  return saved.store(ids.saved);
}

}  // namespace

Result<std::uint32_t> sys_getuid(Task& task) { return task.credentials().ruid; }
Result<std::uint32_t> sys_geteuid(Task& task) { return task.credentials().euid; }
Result<std::uint32_t> sys_getgid(Task& task) { return task.credentials().rgid; }
Result<std::uint32_t> sys_getegid(Task& task) { return task.credentials().egid; }
Result<> sys_setuid(Task& task, std::uint32_t uid) { return set_one(task, IdKind::user, uid); }
Result<> sys_setgid(Task& task, std::uint32_t gid) { return set_one(task, IdKind::group, gid); }
Result<> sys_setreuid(Task& task, std::uint32_t real, std::uint32_t effective) { return set_two(task, IdKind::user, real, effective); }
Result<> sys_setregid(Task& task, std::uint32_t real, std::uint32_t effective) { return set_two(task, IdKind::group, real, effective); }
Result<> sys_setresuid(Task& task, std::uint32_t real, std::uint32_t effective, std::uint32_t saved) {
  return set_three(task, IdKind::user, {real, effective, saved});
}
Result<> sys_setresgid(Task& task, std::uint32_t real, std::uint32_t effective, std::uint32_t saved) {
  return set_three(task, IdKind::group, {real, effective, saved});
}
Result<> sys_getresuid(Task& task, UserPtr<std::uint32_t> real, UserPtr<std::uint32_t> effective, UserPtr<std::uint32_t> saved) {
  return store_three(ids_of(task.credentials(), IdKind::user), real, effective, saved);
}
Result<> sys_getresgid(Task& task, UserPtr<std::uint32_t> real, UserPtr<std::uint32_t> effective, UserPtr<std::uint32_t> saved) {
  return store_three(ids_of(task.credentials(), IdKind::group), real, effective, saved);
}

// The old id; a change that is not allowed is silently not made, as these calls have it.
Result<std::uint32_t> sys_setfsuid(Task& task, std::uint32_t uid) {
  const Ref<const Credentials> before = task.credentials_ref();
  const std::uint32_t old = before->fsuid;
  const bool allowed = uid == old || ids_of(*before, IdKind::user).has(uid) || is_privileged(*before, IdKind::user);
  if (uid == kUnchanged || !allowed) return old;
  const Ref<Credentials> fresh = TRY(before->copy());
  fresh->fsuid = uid;
  task.set_credentials(Ref<const Credentials>(fresh));
  return old;
}

Result<std::uint32_t> sys_setfsgid(Task& task, std::uint32_t gid) {
  const Ref<const Credentials> before = task.credentials_ref();
  const std::uint32_t old = before->fsgid;
  const bool allowed = gid == old || ids_of(*before, IdKind::group).has(gid) || is_privileged(*before, IdKind::group);
  if (gid == kUnchanged || !allowed) return old;
  const Ref<Credentials> fresh = TRY(before->copy());
  fresh->fsgid = gid;
  task.set_credentials(Ref<const Credentials>(fresh));
  return old;
}

Result<std::uint32_t> sys_getgroups(Task& task, std::int32_t size, UserPtr<std::uint32_t> list) {
  if (size < 0) return Errno::inval;
  const Ref<const Credentials> who = task.credentials_ref();
  const auto count = static_cast<std::uint32_t>(who->groups.size());
  if (size == 0) return count;
  if (static_cast<std::uint32_t>(size) < count) return Errno::inval;
  TRY(list.store_all(who->groups.span()));
  return count;
}

Result<> sys_setgroups(Task& task, std::uint64_t size, UserPtr<const std::uint32_t> list) {
  if (!task.credentials().has(Capability::setgid)) return Errno::perm;
  const auto count = static_cast<std::uint32_t>(size);
  if (count > kMaxGroups) return Errno::inval;
  const Ref<Credentials> fresh = TRY(task.credentials().copy());
  TRY(fresh->groups.try_resize(count));
  TRY(list.load_all(fresh->groups.span()));
  task.set_credentials(Ref<const Credentials>(fresh));
  return {};
}

// --- capabilities ---

namespace {

// How many CapData a version has. An unknown version: the one we know is written back, EINVAL.
Result<std::size_t> data_count(UserPtr<abi::CapHeader> user, abi::CapHeader& header) {
  header = TRY(user.load());
  if (header.version == abi::kCapabilityVersion1) return std::size_t{1};
  if (header.version == abi::kCapabilityVersion2 || header.version == abi::kCapabilityVersion3) return std::size_t{2};
  TRY(user.store({.version = abi::kCapabilityVersion3, .pid = header.pid}));
  return Errno::inval;
}

constexpr std::uint32_t half(std::uint64_t set, std::size_t index) { return static_cast<std::uint32_t>(set >> (32 * index)); }

}  // namespace

Result<> sys_capget(Task& task, UserPtr<abi::CapHeader> user, UserPtr<abi::CapData> data) {
  abi::CapHeader header{};
  const Result<std::size_t> known = data_count(user, header);
  if (!known.ok()) return known.error() == Errno::inval && data.is_null() ? Result<>() : Result<>(known.error());
  const std::size_t count = Result<std::size_t>(known).release();
  if (header.pid < 0) return Errno::inval;
  Ref<const Credentials> who = task.credentials_ref();
  if (header.pid != 0) {
    const RefPtr<Task> other = find_task(Pid{header.pid});
    if (!other) return Errno::srch;
    who = other->credentials_ref();
  }
  if (data.is_null()) return {};
  std::array<abi::CapData, 2> sets{};
  for (std::size_t i = 0; i < sets.size(); ++i)
    sets[i] = {.effective = half(who->effective, i), .permitted = half(who->permitted, i), .inheritable = half(who->inheritable, i)};
  return data.store_all(std::span<const abi::CapData>(sets).first(count));
}

Result<> sys_capset(Task& task, UserPtr<abi::CapHeader> user, UserPtr<const abi::CapData> data) {
  abi::CapHeader header{};
  const std::size_t count = TRY(data_count(user, header));
  if (header.pid != 0 && header.pid != static_cast<std::int32_t>(task.tid())) return Errno::perm;
  std::array<abi::CapData, 2> sets{};
  TRY(data.load_all(std::span(sets).first(count)));
  std::uint64_t effective = 0, permitted = 0, inheritable = 0;
  for (std::size_t i = 0; i < count; ++i) {
    effective |= std::uint64_t{sets[i].effective} << (32 * i);
    permitted |= std::uint64_t{sets[i].permitted} << (32 * i);
    inheritable |= std::uint64_t{sets[i].inheritable} << (32 * i);
  }
  effective &= abi::kCapAll;
  permitted &= abi::kCapAll;
  inheritable &= abi::kCapAll;
  const Credentials& old = task.credentials();
  if ((permitted & ~old.permitted) != 0 || (effective & ~permitted) != 0) return Errno::perm;
  if ((inheritable & ~(old.inheritable | old.permitted)) != 0 && !old.has(Capability::setpcap)) return Errno::perm;
  const Ref<Credentials> fresh = TRY(old.copy());
  fresh->effective = effective;
  fresh->permitted = permitted;
  fresh->inheritable = inheritable;
  fresh->ambient &= permitted & inheritable;
  task.set_credentials(Ref<const Credentials>(fresh));
  return {};
}

}  // namespace kernel
