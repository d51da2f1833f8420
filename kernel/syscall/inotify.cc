#include "kernel/syscall/inotify.h"

#include "abi/fs.h"
#include "abi/inotify.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/inotify.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

Result<Ref<Inotify>> instance_of(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (file->kind() != FileKind::inotify) return Errno::inval;
  // SAFETY: only Inotify is of that kind.
  return Ref<Inotify>(static_cast<Inotify&>(*file));
}

}  // namespace

Result<std::int32_t> sys_inotify_init(Task& task) { return sys_inotify_init1(task, 0); }

Result<std::int32_t> sys_inotify_init1(Task& task, std::uint32_t flags) {
  if ((flags & ~(abi::kONonBlock | abi::kOCloExec)) != 0) return Errno::inval;
  const Ref<Inotify> instance = TRY(make_inotify(flags & abi::kONonBlock));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, instance, (flags & abi::kOCloExec) != 0)));
}

Result<std::int32_t> sys_inotify_add_watch(Task& task, Fd fd, UserPtr<const char> path, std::uint32_t mask) {
  constexpr std::uint32_t kOptions = abi::kInOnlyDir | abi::kInDontFollow | abi::kInExclUnlink | abi::kInMaskCreate | abi::kInMaskAdd |
                                     abi::kInOneShot | abi::kInIsDir;
  constexpr std::uint32_t kUnasked = abi::kInUnmount | abi::kInQOverflow | abi::kInIgnored;  // allowed, always reported
  if ((mask & ~(abi::kInAllEvents | kOptions | kUnasked)) != 0 || (mask & (abi::kInAllEvents | kOptions | kUnasked)) == 0) return Errno::inval;
  const RefPtr<OpenFile> any = TRY(files_of(task).get(fd));
  if ((mask & abi::kInMaskAdd) != 0 && (mask & abi::kInMaskCreate) != 0) return Errno::inval;
  const Ref<Inotify> instance = TRY(instance_of(task, fd));
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path));
  const std::uint32_t walk = ((mask & abi::kInDontFollow) != 0 ? 0 : kWalkFollow) | ((mask & abi::kInOnlyDir) != 0 ? kWalkDirectory : 0);
  const Ref<Dentry> found = TRY(lookup_path(task, kAtFdCwd, text, walk));
  TRY(check_access(task, found->existing_inode(), kMayRead));
  return instance->add_watch(found->existing_inode(), mask);
}

Result<> sys_inotify_rm_watch(Task& task, Fd fd, std::int32_t wd) { return TRY(instance_of(task, fd))->remove_watch(wd); }

}  // namespace kernel
