#include "kernel/syscall/misc.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "kernel/crypto/random.h"
#include "kernel/frame/bytes.h"
#include "kernel/host/clock.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/init.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/scheduler.h"
#include "kernel/task/uts.h"

namespace kernel {

// --- limits ---

namespace {

constexpr std::uint64_t kMostFiles = 1048576;  // /proc/sys/fs/nr_open

Result<abi::Rlimit> limit_by_number(std::uint32_t which) {
  return which < abi::kRlimitCount ? Result<abi::Rlimit>(static_cast<abi::Rlimit>(which)) : Result<abi::Rlimit>(Errno::inval);
}

Result<> change_limit(const Task& task, Process& process, abi::Rlimit which, const abi::RlimitPair& fresh) {
  if (fresh.current > fresh.maximum) return Errno::inval;
  if (which == abi::Rlimit::nofile && fresh.maximum > kMostFiles) return Errno::perm;
  const abi::RlimitPair old = process.rlimit(which);
  if (fresh.maximum > old.maximum && !task.credentials().has(Capability::sys_resource)) return Errno::perm;
  process.set_rlimit(which, fresh);
  if (which == abi::Rlimit::cpu) process.timers().set_cpu_limit(fresh.current, fresh.maximum);
  if (const RefPtr<AddressSpace> mm = process.mm()) {
    mm->set_limits({.address_space = process.rlimit_current(abi::Rlimit::as),
                    .data = process.rlimit_current(abi::Rlimit::data),
                    .locked = process.rlimit_current(abi::Rlimit::memlock),
                    .stack = process.rlimit_current(abi::Rlimit::stack)});
  }
  return {};
}

}  // namespace

Result<> sys_getrlimit(Task& task, std::uint32_t which, UserPtr<abi::RlimitPair> limit) {
  const abi::Rlimit known = TRY(limit_by_number(which));
  return limit.store(task.process().rlimit(known));
}

Result<> sys_setrlimit(Task& task, std::uint32_t which, UserPtr<const abi::RlimitPair> limit) {
  const abi::Rlimit known = TRY(limit_by_number(which));
  const abi::RlimitPair fresh = TRY(limit.load());
  return change_limit(task, task.process(), known, fresh);
}

Result<> sys_prlimit64(Task& task, Pid pid, std::uint32_t which, UserPtr<const abi::RlimitPair> fresh, UserPtr<abi::RlimitPair> old) {
  const abi::Rlimit known = TRY(limit_by_number(which));
  abi::RlimitPair wanted{};
  if (!fresh.is_null()) wanted = TRY(fresh.load());
  RefPtr<Task> target(&task);
  if (pid != Pid{}) target = find_task(pid);
  if (!target) return Errno::srch;
  Process& process = target->process();
  if (&process != &task.process()) {
    const Credentials& who = task.credentials();
    const Ref<const Credentials> theirs = target->credentials_ref();
    const bool same = who.ruid == theirs->ruid && who.ruid == theirs->euid && who.ruid == theirs->suid && who.rgid == theirs->rgid;
    if (!same && !who.has(Capability::sys_resource)) return Errno::perm;
  }
  const abi::RlimitPair before = process.rlimit(known);
  if (!fresh.is_null()) TRY(change_limit(task, process, known, wanted));
  return old.is_null() ? Result<>() : old.store(before);
}

// --- the system ---

Result<> sys_uname(Task&, UserPtr<abi::UtsName> name) { return name.store(uts_name()); }

namespace {
using NameBuffer = std::array<char, abi::kUtsLength>;
Result<std::string_view> load_name(const Task& task, UserPtr<const char> name, std::int32_t length, NameBuffer& buffer) {
  if (!task.credentials().has(Capability::sys_admin)) return Errno::perm;
  if (length < 0 || static_cast<std::size_t>(length) >= buffer.size()) return Errno::inval;
  const auto size = static_cast<std::size_t>(length);
  TRY(name.load_all(std::span(buffer).first(size)));
  return std::string_view(buffer.data(), size);
}
}  // namespace

Result<> sys_sethostname(Task& task, UserPtr<const char> name, std::int32_t length) {
  NameBuffer buffer{};
  const std::string_view text = TRY(load_name(task, name, length, buffer));
  return set_node_name(text);
}

Result<> sys_setdomainname(Task& task, UserPtr<const char> name, std::int32_t length) {
  NameBuffer buffer{};
  const std::string_view text = TRY(load_name(task, name, length, buffer));
  return set_domain_name(text);
}

Result<> sys_sysinfo(Task&, UserPtr<abi::SysInfo> info) {
  const mm::SystemMemory memory = mm::system_memory();
  abi::SysInfo result{};
  result.uptime = static_cast<std::int64_t>(boottime_now() / 1'000'000'000);
  constexpr unsigned kSysInfoShift = 16;  // SI_LOAD_SHIFT
  const LoadAverage::Loads loads = scheduler().loads();
  for (std::size_t i = 0; i < loads.size(); ++i) result.loads[i] = loads[i] << (kSysInfoShift - LoadAverage::kShift);
  result.totalram = memory.limit;
  result.freeram = memory.limit - std::min(memory.limit, memory.committed) + memory.cached;
  result.procs = static_cast<std::uint16_t>(std::min<std::uint32_t>(task_count(), 0xffff));
  result.mem_unit = 1;
  return info.store(result);
}

Result<std::uint64_t> sys_getrandom(Task&, UserPtr<std::byte> buffer, std::uint64_t count, std::uint32_t flags) {
  constexpr std::uint32_t kNonblock = 1, kRandom = 2, kInsecure = 4;
  if ((flags & ~(kNonblock | kRandom | kInsecure)) != 0 || (flags & (kRandom | kInsecure)) == (kRandom | kInsecure)) return Errno::inval;
  constexpr std::uint64_t kMost = 0x7ffff000;
  std::array<std::byte, 512> chunk{};
  UserBytes rest = TRY(UserBytes::at(buffer, std::min(count, kMost)));
  std::uint64_t done = 0;
  while (!rest.empty()) {
    const std::span<std::byte> part = std::span(chunk).first(std::min<std::uint64_t>(chunk.size(), rest.size()));
    random_bytes(part);
    const Result<std::size_t> copied = rest.copy_out(part);
    if (!copied.ok()) return done != 0 ? Result<std::uint64_t>(done) : Result<std::uint64_t>(copied.error());
    const std::size_t got = Result<std::size_t>(copied).release();
    done += got;
    if (got < part.size()) break;
    rest = rest.skip(got);
    if (done % 65536 == 0) preemption_point();
  }
  return done;
}

Result<std::uint32_t> sys_personality(Task& task, std::uint32_t persona) {
  constexpr std::uint32_t kQuery = 0xffffffff, kKindMask = 0xff;
  const std::uint32_t old = task.process().personality.load();
  if (persona == kQuery) return old;
  if ((persona & kKindMask) != 0 && (persona & kKindMask) != 8) return Errno::inval;  // PER_LINUX and PER_LINUX32 only
  // ADDR_NO_RANDOMIZE and the like are kept and reported; placement stays random.
  task.process().personality = persona;
  return old;
}

// --- prctl ---

namespace {

Result<> set_name(Task& task, std::uint64_t address) {
  std::array<char, abi::kTaskCommLength> text{};
  const Result<std::size_t> length = frame::copy_string_from_user(std::span(text), address);
  if (!length.ok() && length.error() != Errno::nametoolong) return length.error();
  std::string_view name(text.data(), text.size() - 1);  // longer names are cut
  task.set_name(name.substr(0, name.find('\0')));
  return {};
}

Result<std::uint64_t> done(Result<> result) {
  TRY(result);
  return std::uint64_t{0};
}

Result<> drop_bounding(Task& task, std::uint64_t capability) {
  if (capability > static_cast<std::uint64_t>(abi::kCapLast)) return Errno::inval;
  if (!task.credentials().has(Capability::setpcap)) return Errno::perm;
  const Ref<Credentials> fresh = TRY(task.credentials().copy());
  fresh->bounding &= ~(std::uint64_t{1} << capability);
  task.set_credentials(Ref<const Credentials>(fresh));
  return {};
}

constexpr std::uint32_t kKeepCapsBit = 16;  // SECBIT_KEEP_CAPS

Result<> set_securebits(Task& task, std::uint64_t bits, bool keep_caps_only) {
  if (keep_caps_only) {
    if (bits > 1) return Errno::inval;
    bits = (task.credentials().securebits & ~kKeepCapsBit) | (bits != 0 ? kKeepCapsBit : 0);
  } else if (!task.credentials().has(Capability::setpcap) || bits > 0xff) {
    return Errno::perm;
  }
  const Ref<Credentials> fresh = TRY(task.credentials().copy());
  fresh->securebits = static_cast<std::uint32_t>(bits);
  task.set_credentials(Ref<const Credentials>(fresh));
  return {};
}

Result<std::uint64_t> ambient(Task& task, std::uint64_t operation, std::uint64_t capability) {
  constexpr std::uint64_t kIsSet = 1, kRaise = 2, kLower = 3, kClearAll = 4;
  const Credentials& old = task.credentials();
  if (operation != kClearAll && capability > static_cast<std::uint64_t>(abi::kCapLast)) return Errno::inval;
  const std::uint64_t bit = std::uint64_t{1} << (capability & 63);
  if (operation == kIsSet) return (old.ambient & bit) != 0 ? std::uint64_t{1} : 0;
  if (operation != kRaise && operation != kLower && operation != kClearAll) return Errno::inval;
  if (operation == kRaise && (old.permitted & old.inheritable & bit) == 0) return Errno::perm;
  const Ref<Credentials> fresh = TRY(old.copy());
  if (operation == kClearAll) fresh->ambient = 0;
  if (operation == kRaise) fresh->ambient |= bit;
  if (operation == kLower) fresh->ambient &= ~bit;
  task.set_credentials(Ref<const Credentials>(fresh));
  return std::uint64_t{0};
}

// Options that set something of the process.
Result<std::uint64_t> prctl_set(Task& task, std::int32_t option, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) {
  Process& process = task.process();
  switch (option) {
    case abi::kPrSetPdeathsig:
      if (a != 0 && (a > static_cast<std::uint64_t>(abi::kSigMax))) return Errno::inval;
      process.parent_death_signal = static_cast<std::int32_t>(a);
      return std::uint64_t{0};
    case abi::kPrSetDumpable:
      if (a > 1) return Errno::inval;
      process.dumpable = static_cast<std::uint32_t>(a);
      return std::uint64_t{0};
    case abi::kPrSetKeepcaps:
      return done(set_securebits(task, a, true));
    case abi::kPrSetName:
      return done(set_name(task, a));
    case abi::kPrCapbsetDrop:
      return done(drop_bounding(task, a));
    case abi::kPrSetSecurebits:
      return done(set_securebits(task, a, false));
    case abi::kPrSetTimerslack:
      task.timer_slack_ns = static_cast<std::int64_t>(a) <= 0 ? 50'000 : a;
      return std::uint64_t{0};
    case abi::kPrSetChildSubreaper:
      process.child_subreaper = a != 0;
      return std::uint64_t{0};
    case abi::kPrSetNoNewPrivs:
      if (a != 1 || b != 0 || c != 0 || d != 0) return Errno::inval;
      process.no_new_privileges = true;
      return std::uint64_t{0};
    case abi::kPrSetThpDisable:
      if (b != 0 || c != 0 || d != 0) return Errno::inval;
      process.thp_disabled = a != 0;  // there are no huge pages anyway
      return std::uint64_t{0};
    case abi::kPrSetTsc:
      return a == 1 ? Result<std::uint64_t>(std::uint64_t{0}) : Result<std::uint64_t>(Errno::inval);  // PR_TSC_ENABLE
    case abi::kPrCapAmbient:
      if (c != 0 || d != 0) return Errno::inval;
      return ambient(task, a, b);
    default:
      // PR_SET_VMA, PR_SET_PTRACER, PR_SET_THP_DISABLE, PR_SET_MM, PR_SET_TSC, seccomp: not offered.
      return Errno::inval;
  }
}

}  // namespace

Result<std::uint64_t> sys_prctl(Task& task, std::int32_t option, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) {
  Process& process = task.process();
  const UserPtr<std::int32_t> word(a);
  switch (option) {
    case abi::kPrGetPdeathsig:
      return done(word.store(process.parent_death_signal.load()));
    case abi::kPrGetDumpable:
      return std::uint64_t{process.dumpable.load()};
    case abi::kPrGetKeepcaps:
      return (task.credentials().securebits & kKeepCapsBit) != 0 ? std::uint64_t{1} : 0;
    case abi::kPrGetTiming:
      return std::uint64_t{0};
    case abi::kPrSetTiming:
      return a == 0 ? Result<std::uint64_t>(std::uint64_t{0}) : Result<std::uint64_t>(Errno::inval);
    case abi::kPrGetName: {
      const std::array<char, abi::kTaskCommLength> name = task.name();
      return done(UserPtr<char>(a).store_all(name));
    }
    case abi::kPrGetSeccomp:
      return std::uint64_t{0};
    case abi::kPrCapbsetRead:
      if (a > static_cast<std::uint64_t>(abi::kCapLast)) return Errno::inval;
      return (task.credentials().bounding >> a) & 1;
    case abi::kPrGetTsc:
      return done(word.store(1));  // PR_TSC_ENABLE
    case abi::kPrGetSecurebits:
      return std::uint64_t{task.credentials().securebits};
    case abi::kPrGetTimerslack:
      return task.timer_slack_ns;
    case abi::kPrGetChildSubreaper:
      return done(word.store(process.child_subreaper.load() ? 1 : 0));
    case abi::kPrGetNoNewPrivs:
      if (a != 0 || b != 0 || c != 0 || d != 0) return Errno::inval;
      return process.no_new_privileges.load() ? std::uint64_t{1} : 0;
    case abi::kPrGetTidAddress:
      return done(UserPtr<std::uint64_t>(a).store(task.clear_child_tid.address()));
    case abi::kPrGetThpDisable:
      if (a != 0 || b != 0 || c != 0 || d != 0) return Errno::inval;
      return process.thp_disabled.load() ? std::uint64_t{1} : 0;
    default:
      return prctl_set(task, option, a, b, c, d);
  }
}

}  // namespace kernel
