// xattr(7).
#include <algorithm>
#include <array>

#include "kernel/mm/address_space.h"
#include "kernel/syscall/stat.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

struct Target {
  RefPtr<Dentry> where;
  RefPtr<Inode> inode;
};

Result<Target> by_path(Task& task, UserPtr<const char> path, bool follow) {
  [[clang::uninitialized]] PathBuffer buffer;
  const Ref<Dentry> found = TRY(lookup_path(task, kAtFdCwd, TRY(buffer.load(path)), follow ? kWalkFollow : 0));
  return Target{.where = found, .inode = found->inode()};
}

Result<Target> by_descriptor(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (!file->inode()) return Errno::opnotsupp;
  return Target{.where = file->dentry(), .inode = file->inode()};
}

// A name with a known prefix, out of program memory.
class XattrName {
 public:
  Result<std::string_view> load(UserPtr<const char> name) LIFETIMEBOUND {
    const Result<std::size_t> size = frame::copy_string_from_user(bytes_, name.address());
    if (!size.ok()) return size.error() == Errno::nametoolong ? Errno::range : size.error();
    const std::string_view text(bytes_.data(), Result<std::size_t>(size).release());
    if (text.empty()) return Errno::range;
    return text;
  }

 private:
  std::array<char, abi::kXattrNameMax + 1> bytes_{};
};

// xattr(7): who may touch which name space, on what kind of file.
Result<> check_name(Task& task, const Inode& inode, std::string_view name, bool write) {
  if (name.starts_with("user.")) {
    if (name.size() == 5) return Errno::inval;
    if (!inode.is_regular() && !inode.is_directory()) return write ? Errno::perm : Errno::nodata;
    return check_access(task, inode, write ? kMayWrite : kMayRead);
  }
  if (name.starts_with("trusted.")) {
    if (!has_capability(identity_of(task), kCapSysAdmin)) return write ? Errno::perm : Errno::nodata;
    return {};
  }
  if (name.starts_with("security.")) {
    if (write && !has_capability(identity_of(task), kCapSysAdmin)) return Errno::perm;
    return {};
  }
  return Errno::opnotsupp;
}

Result<std::uint64_t> get(Task& task, const Target& target, UserPtr<const char> user_name, UserPtr<std::byte> value, std::uint64_t size) {
  XattrName room;
  const std::string_view name = TRY(room.load(user_name));
  TRY(check_name(task, *target.inode, name, false));
  if (size == 0) return std::uint64_t{TRY(target.inode->get_xattr(name, {}))};
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, abi::kXattrSizeMax))));
  const std::size_t count = TRY(target.inode->get_xattr(name, buffer.span()));
  TRY(value.store_all(buffer.span().first(count)));
  return std::uint64_t{count};
}

Result<> set(Task& task, const Target& target, UserPtr<const char> user_name, UserPtr<const std::byte> value, std::uint64_t size,
             std::uint32_t flags) {
  if ((flags & ~(abi::kXattrCreate | abi::kXattrReplace)) != 0) return Errno::inval;
  XattrName room;
  const std::string_view name = TRY(room.load(user_name));
  if (size > abi::kXattrSizeMax) return Errno::toobig;
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(size)));
  TRY(value.load_all(buffer.span()));
  if (target.where) TRY(check_writable(*target.where));
  TRY(check_name(task, *target.inode, name, true));
  TRY(target.inode->set_xattr(name, buffer.span(), (flags & abi::kXattrCreate) != 0, (flags & abi::kXattrReplace) != 0));
  notify_file(target.where.get(), target.inode.get(), abi::kInAttrib);
  return {};
}

Result<std::uint64_t> list(const Target& target, UserPtr<char> into, std::uint64_t size) {
  if (size == 0) return std::uint64_t{TRY(target.inode->list_xattrs({}))};
  Vec<char> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, abi::kXattrListMax))));
  const std::size_t count = TRY(target.inode->list_xattrs(buffer.span()));
  TRY(into.store_all(buffer.span().first(count)));
  return std::uint64_t{count};
}

Result<> remove(Task& task, const Target& target, UserPtr<const char> user_name) {
  XattrName room;
  const std::string_view name = TRY(room.load(user_name));
  if (target.where) TRY(check_writable(*target.where));
  TRY(check_name(task, *target.inode, name, true));
  TRY(target.inode->remove_xattr(name));
  notify_file(target.where.get(), target.inode.get(), abi::kInAttrib);
  return {};
}

}  // namespace

Result<std::uint64_t> sys_getxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<std::byte> value, std::uint64_t size) {
  return get(task, TRY(by_path(task, path, true)), name, value, size);
}
Result<std::uint64_t> sys_lgetxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<std::byte> value, std::uint64_t size) {
  return get(task, TRY(by_path(task, path, false)), name, value, size);
}
Result<std::uint64_t> sys_fgetxattr(Task& task, Fd fd, UserPtr<const char> name, UserPtr<std::byte> value, std::uint64_t size) {
  return get(task, TRY(by_descriptor(task, fd)), name, value, size);
}
Result<> sys_setxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<const std::byte> value, std::uint64_t size, std::uint32_t flags) {
  return set(task, TRY(by_path(task, path, true)), name, value, size, flags);
}
Result<> sys_lsetxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<const std::byte> value, std::uint64_t size, std::uint32_t flags) {
  return set(task, TRY(by_path(task, path, false)), name, value, size, flags);
}
Result<> sys_fsetxattr(Task& task, Fd fd, UserPtr<const char> name, UserPtr<const std::byte> value, std::uint64_t size, std::uint32_t flags) {
  return set(task, TRY(by_descriptor(task, fd)), name, value, size, flags);
}
Result<std::uint64_t> sys_listxattr(Task& task, UserPtr<const char> path, UserPtr<char> into, std::uint64_t size) {
  return list(TRY(by_path(task, path, true)), into, size);
}
Result<std::uint64_t> sys_llistxattr(Task& task, UserPtr<const char> path, UserPtr<char> into, std::uint64_t size) {
  return list(TRY(by_path(task, path, false)), into, size);
}
Result<std::uint64_t> sys_flistxattr(Task& task, Fd fd, UserPtr<char> into, std::uint64_t size) {
  return list(TRY(by_descriptor(task, fd)), into, size);
}
Result<> sys_removexattr(Task& task, UserPtr<const char> path, UserPtr<const char> name) {
  return remove(task, TRY(by_path(task, path, true)), name);
}
Result<> sys_lremovexattr(Task& task, UserPtr<const char> path, UserPtr<const char> name) {
  return remove(task, TRY(by_path(task, path, false)), name);
}
Result<> sys_fremovexattr(Task& task, Fd fd, UserPtr<const char> name) { return remove(task, TRY(by_descriptor(task, fd)), name); }

}  // namespace kernel
