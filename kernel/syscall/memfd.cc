#include "kernel/syscall/memfd.h"

#include "abi/fs.h"
#include "kernel/fs/ram/ram_fs.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/memfd.h"
#include "kernel/vfs/path.h"

namespace kernel {
namespace {

constexpr std::uint32_t kCloExec = 1, kAllowSealing = 2, kNoExecSeal = 8, kExec = 16;
constexpr std::size_t kLongestName = 249;

}  // namespace

Result<std::int32_t> sys_memfd_create(Task& task, UserPtr<const char> name, std::uint32_t flags) {
  // MFD_HUGETLB is not supported: there are no huge pages.
  if ((flags & ~(kCloExec | kAllowSealing | kNoExecSeal | kExec)) != 0) return Errno::inval;
  if ((flags & kNoExecSeal) != 0 && (flags & kExec) != 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  auto loaded = buffer.load(name, true);
  if (!loaded.ok()) return loaded.error() == Errno::nametoolong ? Errno::inval : loaded.error();
  const std::string_view view = std::move(loaded).release();
  if (view.size() > kLongestName) return Errno::inval;
  const bool sealable = (flags & (kAllowSealing | kNoExecSeal)) != 0;
  const Credentials& who = task.credentials();
  const Ref<RamFile> inode = TRY(make_unnamed_ram_file({.uid = who.fsuid, .gid = who.fsgid}));
  if ((flags & kNoExecSeal) != 0) TRY(inode->change_attributes({.mode = 0666, .uid = {}, .gid = {}, .atime = {}, .mtime = {}}));
  if (sealable) inode->allow_seals((flags & kNoExecSeal) != 0 ? abi::kSealExec : 0);
  const Ref<MemoryFileName> label = TRY(make_ref<MemoryFileName>(TRY(String::from(view))));
  const Ref<OpenFile> file = TRY(open_memory_file(*inode, abi::kORdWr | abi::kOLargeFile, label));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, file, (flags & kCloExec) != 0)));
}

}  // namespace kernel
