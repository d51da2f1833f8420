#include "kernel/syscall/directory.h"

#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

// Records of getdents in a kernel buffer.
class RecordSink final : public DirectorySink {
 public:
  RecordSink(std::span<std::byte> buffer, bool new_form) : buffer_(buffer), new_form_(new_form) {}

  bool add(const DirectoryEntry& entry) override {
    const std::size_t name_at = new_form_ ? abi::kDirent64NameOffset : abi::kDirentNameOffset;
    // The old form keeps the type in the record's last byte.
    const std::size_t size = round_up(name_at + entry.name.size() + (new_form_ ? 1 : 2), 8);
    if (size > buffer_.size() - used_) {
      overflowed_ = true;
      return false;
    }
    const std::span<std::byte> record = buffer_.subspan(used_, size);
    zero_bytes(record);
    store_bytes(record, 0, entry.ino);
    store_bytes(record, 8, entry.next);
    store_bytes(record, 16, static_cast<std::uint16_t>(size));
    if (new_form_) record[18] = static_cast<std::byte>(entry.type);
    copy_bytes(record.subspan(name_at), bytes_of(entry.name));
    if (!new_form_) record[size - 1] = static_cast<std::byte>(entry.type);
    used_ += size;
    return true;
  }
  std::span<const std::byte> records() const LIFETIMEBOUND { return buffer_.first(used_); }
  bool overflowed() const { return overflowed_; }

 private:
  std::span<std::byte> buffer_;
  std::size_t used_ = 0;
  bool new_form_;
  bool overflowed_ = false;
};

constexpr std::uint32_t kMostAtOnce = 32 * 1024;

Result<std::uint64_t> list(Task& task, Fd fd, UserPtr<std::byte> into, std::uint32_t size, bool new_form) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (!file->inode() || !file->inode()->is_directory()) return Errno::notdir;
  const std::uint32_t room = std::min(size, kMostAtOnce);
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(room));
  const FileOffset before = TRY(file->seek(0, abi::kSeekCur));
  RecordSink sink(buffer.span(), new_form);
  TRY(file->read_directory(sink));
  if (sink.records().empty()) return sink.overflowed() ? Result<std::uint64_t>(Errno::inval) : Result<std::uint64_t>(std::uint64_t{0});
  notify_file(file->dentry().get(), file->inode().get(), abi::kInAccess);
  const Result<> copied = into.store_all(sink.records());
  if (!copied.ok()) {
    TRY(file->seek(before, abi::kSeekSet));
    return copied.error();
  }
  return std::uint64_t{sink.records().size()};
}

Result<Ref<Dentry>> searchable_directory(Task& task, UserPtr<const char> path) {
  [[clang::uninitialized]] PathBuffer buffer;
  Ref<Dentry> found = TRY(lookup_path(task, kAtFdCwd, TRY(buffer.load(path)), kWalkFollow | kWalkDirectory));
  TRY(check_access(task, found->existing_inode(), kMayExec));
  return found;
}

}  // namespace

Result<std::uint64_t> sys_getdents(Task& task, Fd fd, UserPtr<std::byte> into, std::uint32_t size) {
  return list(task, fd, into, size, false);
}

Result<std::uint64_t> sys_getdents64(Task& task, Fd fd, UserPtr<std::byte> into, std::uint32_t size) {
  return list(task, fd, into, size, true);
}

Result<std::uint64_t> sys_getcwd(Task& task, UserPtr<char> into, std::uint64_t size) {
  const Own<PathPage> page = TRY(make_own<PathPage>());
  const std::span<char> room(page->bytes);
  const Ref<Dentry> here = fs_of(task).working_directory();
  const PathText path = TRY(path_seen_by(task, *here, room.first(room.size() - 1)));
  if (path.deleted) return Errno::noent;
  room[room.size() - 1] = '\0';
  // getcwd(2): outside the root the path starts with "(unreachable)".
  constexpr std::string_view kUnreachable = "(unreachable)";
  std::size_t start = room.size() - 1 - path.text.size();
  if (!path.reachable) {
    if (start < kUnreachable.size()) return Errno::nametoolong;
    start -= kUnreachable.size();
    std::copy(kUnreachable.begin(), kUnreachable.end(), room.subspan(start).begin());
  }
  const std::span<const char> result = room.subspan(start);
  if (result.size() > size) return Errno::range;
  TRY(into.store_all(result));
  return std::uint64_t{result.size()};
}

Result<> sys_chdir(Task& task, UserPtr<const char> path) {
  fs_of(task).set_working_directory(TRY(searchable_directory(task, path)));
  return {};
}

Result<> sys_fchdir(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get_any(fd));
  if (!file->dentry() || !file->inode()->is_directory()) return Errno::notdir;
  TRY(check_access(task, *file->inode(), kMayExec));
  fs_of(task).set_working_directory(file->dentry().as_ref());
  return {};
}

Result<> sys_chroot(Task& task, UserPtr<const char> path) {
  Ref<Dentry> found = TRY(searchable_directory(task, path));
  if (!has_capability(identity_of(task), kCapSysChroot)) return Errno::perm;
  fs_of(task).set_root(found);
  return {};
}

Result<Mode> sys_umask(Task& task, Mode mask) { return fs_of(task).exchange_umask(mask); }

}  // namespace kernel
