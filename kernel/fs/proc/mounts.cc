// /proc/PID/mounts and mountinfo.
#include <array>

#include "abi/fs.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/vfs/fs_context.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/path.h"

namespace kernel::proc {
namespace {

// Where a mount is, as the reader sees it; empty if it lies outside the reader's root.
Result<> place_of(const Mount& mount, Text& out) {
  const RefPtr<Dentry>& mountpoint = mount.mountpoint();
  if (!mountpoint) {
    out << '/';
    return {};
  }
  const Own<PathPage> page = TRY(make_own<PathPage>());
  const PathText path = TRY(path_seen_by(current_task(), *mountpoint, page->bytes));
  if (!path.reachable) return {};
  // Blanks would be taken for the end of the field (getmntent(3)).
  for (const char c : path.text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\')
      out << '\\', out.octal(static_cast<std::uint8_t>(c), 3);
    else
      out << c;
  }
  return {};
}

void show_flags(std::uint32_t flags, bool read_only, Text& out) {
  out << (read_only || (flags & kMountReadOnly) != 0 ? "ro" : "rw");
  if ((flags & kMountNoSuid) != 0) out << ",nosuid";
  if ((flags & kMountNoDev) != 0) out << ",nodev";
  if ((flags & kMountNoExec) != 0) out << ",noexec";
  out << ((flags & kMountNoAtime) != 0 ? ",noatime" : ",relatime");
}

std::string_view source_of(const Mount& mount) { return mount.source().empty() ? mount.superblock().type_name() : mount.source(); }

}  // namespace

Result<> show_mounts(const ProcSubject&, Text& out) {
  for (const Ref<Mount>& mount : TRY(list_mounts())) {
    Text place;
    TRY(place_of(*mount, place));
    if (place.size() == 0) continue;
    out << source_of(*mount) << ' ' << place.view() << ' ' << mount->superblock().type_name() << ' ';
    show_flags(mount->flags(), mount->superblock().is_read_only(), out);
    out << " 0 0\n";
  }
  return {};
}

Result<> show_mountinfo(const ProcSubject&, Text& out) {
  for (const Ref<Mount>& mount : TRY(list_mounts())) {
    Text place;
    TRY(place_of(*mount, place));
    if (place.size() == 0) continue;
    const std::uint64_t device = mount->superblock().device();
    const std::uint64_t parent = mount->mountpoint() ? mount->mountpoint()->superblock().device() : device;
    const bool read_only = mount->superblock().is_read_only();
    out << device << ' ' << parent << ' ' << abi::device_major(device) << ':' << abi::device_minor(device) << " / " << place.view() << ' ';
    show_flags(mount->flags(), read_only, out);
    out << " - " << mount->superblock().type_name() << ' ' << source_of(*mount) << (read_only ? " ro\n" : " rw\n");
  }
  return {};
}

}  // namespace kernel::proc
