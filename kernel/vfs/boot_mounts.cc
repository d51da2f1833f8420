// The mount tree at boot.
#include <array>
#include <optional>

#include "kernel/base/string.h"
#include "kernel/host/config.h"
#include "kernel/host/log.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/fs_context.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/names.h"

namespace kernel {

namespace {

struct MountEntry {
  std::string_view type, target, source, options;
};

MountEntry split_entry(std::string_view text) {
  std::array<std::string_view, 4> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::size_t tab = i + 1 < fields.size() ? text.find('\t') : std::string_view::npos;
    fields[i] = text.substr(0, tab);
    text = tab == std::string_view::npos ? std::string_view() : text.substr(tab + 1);
  }
  return {.type = fields[0], .target = fields[1], .source = fields[2], .options = fields[3]};
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const std::size_t comma = options.find(',');
    if (options.substr(0, comma) == wanted) return true;
    options = comma == std::string_view::npos ? std::string_view() : options.substr(comma + 1);
  }
  return false;
}

std::uint32_t flags_of(std::string_view options) {
  std::uint32_t flags = 0;
  if (has_option(options, "ro")) flags |= kMountReadOnly;
  if (has_option(options, "nosuid")) flags |= kMountNoSuid;
  if (has_option(options, "nodev")) flags |= kMountNoDev;
  if (has_option(options, "noexec")) flags |= kMountNoExec;
  return flags;
}

// The directory at `target`, made with its parents if it is not there.
Result<Ref<Dentry>> directory_at(const NameContext& context, std::string_view target) {
  for (std::size_t end = target.find('/', 1);; end = target.find('/', end + 1)) {
    const std::string_view part = target.substr(0, end);
    const Result<> made = make_directory_at(context, nullptr, part, 0755);
    if (!made.ok() && made.error() != Errno::exist && made.error() != Errno::rofs && made.error() != Errno::perm) return made.error();
    if (end == std::string_view::npos) break;
  }
  PathWalk walk(context.fs, nullptr, context.who);
  return walk.find(target, kWalkFollow | kWalkDirectory);
}

Result<> mount_entry(const NameContext& context, const MountEntry& entry) {
  const Ref<Dentry> directory = TRY(directory_at(context, entry.target));
  if (entry.type == "hostfs") {
    LOG(warn) << "mount " << entry.target << ": file systems of the host are not supported yet; the directory stays empty";
    return {};
  }
  const Ref<Superblock> superblock = TRY(make_file_system(entry.type, entry.source, entry.options));
  return mount_at(*directory, superblock, flags_of(entry.options), entry.source.empty() ? entry.type : entry.source);
}

std::optional<MountEntry> listed_at(std::span<const std::string_view> entries, std::string_view target) {
  for (const std::string_view text : entries)
    if (const MountEntry entry = split_entry(text); entry.target == target) return entry;
  return std::nullopt;
}

// What every program expects, unless the configuration says something else about the place.
constexpr std::array<MountEntry, 5> kStandard{{
    {.type = "procfs", .target = "/proc", .source = "proc", .options = {}},
    {.type = "devfs", .target = "/dev", .source = "dev", .options = {}},
    {.type = "devpts", .target = "/dev/pts", .source = "devpts", .options = {}},
    {.type = "ramfs", .target = "/dev/shm", .source = "shm", .options = {}},
    {.type = "sysfs", .target = "/sys", .source = "sysfs", .options = {}},
}};

bool is_standard(std::string_view target) {
  for (const MountEntry& entry : kStandard)
    if (entry.target == target) return true;
  return false;
}

Result<> mount_standard(const NameContext& context, std::span<const std::string_view> entries) {
  for (const MountEntry& standard : kStandard) {
    // What the configuration says about the place, in this order: /dev has to be there before /dev/shm.
    const std::optional<MountEntry> listed = listed_at(entries, standard.target);
    const MountEntry entry = listed.value_or(standard);
    const Result<> mounted = mount_entry(context, entry);
    if (mounted.ok()) continue;
    if (listed && mounted.error() != Errno::nodev) {
      LOG(error) << "cannot mount " << entry.target << " (" << entry.type << "): error " << static_cast<std::int32_t>(mounted.error());
      return mounted.error();
    }
    // A type that this kernel does not have is no reason not to run.
    LOG(debug) << "mount " << entry.target << ": error " << static_cast<std::int32_t>(mounted.error());
  }
  return {};
}

}  // namespace

Result<> mount_list(std::span<const std::string_view> entries) {
  TRY(DentryCache::init());
  bool have_root = false;
  for (const std::string_view text : entries) {
    const MountEntry entry = split_entry(text);
    if (entry.target != "/") continue;
    Result<Ref<Superblock>> root = make_file_system(entry.type, entry.source, entry.options);
    if (!root.ok()) {
      LOG(error) << "cannot mount the root (" << entry.type << "): error " << static_cast<std::int32_t>(root.error());
      return root.error();
    }
    TRY(install_root(std::move(root).release(), flags_of(entry.options)));
    have_root = true;
  }
  if (!have_root) {
    LOG(error) << "the configuration has no mount for /";
    return Errno::inval;
  }
  const Identity kernel_identity;
  const Ref<FsContext> fs = TRY(make_ref<FsContext>(root_dentry(), root_dentry()));
  fs->exchange_umask(0);
  const NameContext context{.fs = *fs, .who = kernel_identity};
  TRY(mount_standard(context, entries));
  for (const std::string_view text : entries) {
    const MountEntry entry = split_entry(text);
    if (entry.target == "/" || is_standard(entry.target)) continue;
    const Result<> mounted = mount_entry(context, entry);
    if (mounted.ok()) continue;
    if (mounted.error() == Errno::nodev) continue;
    LOG(error) << "cannot mount " << entry.target << " (" << entry.type << "): error " << static_cast<std::int32_t>(mounted.error());
    return mounted.error();
  }
  return {};
}

Result<> mount_root() {
  Vec<std::string_view> entries;
  for (std::uint32_t i = 0; const std::optional<std::string_view> text = config_string(config().mounts, i); ++i) TRY(entries.try_push(*text));
  return mount_list(entries.span());
}

}  // namespace kernel
