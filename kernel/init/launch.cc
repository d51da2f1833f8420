#include "kernel/init/launch.h"

#include <algorithm>

#include "kernel/frame/bytes.h"
#include "kernel/host/client.h"
#include "kernel/host/config.h"

namespace kernel {
namespace {

constexpr std::uint64_t kMaxStrings = 1 << 20;

std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

bool is_untrusted(std::string_view name) {
  for (std::uint32_t i = 0; const auto allowed = config_string(config().env_untrusted, i); ++i)
    if (*allowed == name) return true;
  return false;
}

}  // namespace

Result<LaunchRequest> take_launch_request() {
  const host_abi::BootBlock& boot = host::boot();
  if (boot.strings_size > kMaxStrings) return Errno::toobig;
  LaunchRequest request;
  TRY(request.text.try_resize(boot.strings_size));
  TRY(host::copy_from_host(std::as_writable_bytes(request.text.span()), boot.strings));
  std::string_view rest(request.text.begin(), request.text.size());
  for (std::uint64_t i = 0; i < std::uint64_t{boot.argc} + boot.envc; ++i) {
    const std::size_t nul = rest.find('\0');
    if (nul == std::string_view::npos) return Errno::inval;
    TRY((i < boot.argc ? request.argv : request.environment).try_push(rest.substr(0, nul)));
    rest.remove_prefix(nul + 1);
  }
  if (request.argv.empty()) return Errno::inval;
  return request;
}

bool is_entry_point(std::string_view path) {
  if (path.empty() || path[0] != '/') return false;
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t slash = rest.find('/');
    if (rest.substr(0, slash) == "..") return false;
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  }
  for (std::uint32_t i = 0; const auto entry = config_string(config().entry_points, i); ++i) {
    std::string_view prefix = *entry;
    while (prefix.size() > 1 && prefix.ends_with('/')) prefix.remove_suffix(1);
    if (prefix == "/" || path == prefix || (path.starts_with(prefix) && path[prefix.size()] == '/')) return true;
  }
  return false;
}

Result<Vec<std::string_view>> build_environment(const LaunchRequest& request) {
  Vec<std::string_view> result;
  const auto from_host = [&](std::string_view name) -> std::string_view {
    for (const std::string_view variable : request.environment)
      if (name_of(variable) == name && variable.size() > name.size()) return variable;
    return {};
  };
  for (std::uint32_t i = 0; const auto fixed = config_string(config().env_default, i); ++i) {
    const std::string_view name = name_of(*fixed);
    const std::string_view replacement = is_untrusted(name) ? from_host(name) : std::string_view();
    TRY(result.try_push(replacement.empty() ? *fixed : replacement));
  }
  for (const std::string_view variable : request.environment) {
    const std::string_view name = name_of(variable);
    if (name.empty() || name.size() == variable.size() || !is_untrusted(name)) continue;
    const auto same = [&](std::string_view present) { return name_of(present) == name; };
    if (std::none_of(result.begin(), result.end(), same)) TRY(result.try_push(variable));
  }
  return result;
}

}  // namespace kernel
