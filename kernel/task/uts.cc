#include "kernel/task/uts.h"

#include <algorithm>

#include "kernel/sync/lock.h"

namespace kernel {

namespace {

using Name = std::array<char, abi::kUtsLength>;

constexpr Name name_of(std::string_view text) {
  Name name{};
  std::ranges::copy(text, name.begin());
  return name;
}

struct Names {
  Name node = name_of("occlum");
  Name domain = name_of("(none)");
};
constinit SpinLock<LockRank::process> names_lock;
constinit Names names;

Result<> set(Name& which, std::string_view text) {
  if (text.size() >= abi::kUtsLength) return Errno::inval;
  const Name fresh = name_of(text);
  const LockGuard guard(names_lock);
  which = fresh;
  return {};
}

}  // namespace

abi::UtsName uts_name() {
  abi::UtsName result{};
  result.sysname = name_of("Linux");
  // What libraries check: the interfaces are those of this release.
  result.release = name_of("5.15.0-occlum");
  result.version = name_of("#1 SMP Occlum");
  result.machine = name_of("x86_64");
  const LockGuard guard(names_lock);
  result.nodename = names.node;
  result.domainname = names.domain;
  return result;
}

Result<> set_node_name(std::string_view name) { return set(names.node, name); }
Result<> set_domain_name(std::string_view name) { return set(names.domain, name); }

}  // namespace kernel
