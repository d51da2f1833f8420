// Copies from descriptor to descriptor inside the kernel: sendfile(2), copy_file_range(2).
#include <algorithm>

#include "kernel/mm/address_space.h"
#include "kernel/syscall/io.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/notify.h"

namespace kernel {

namespace {

constexpr std::size_t kChunk = 16 * 1024;

// Where one side of a copy is: at an offset of its own, or at the file's position.
struct Side {
  OpenFile& file;
  std::optional<std::uint64_t> offset;

  Result<std::size_t> read(IoSink& sink) const { return offset ? file.read_at(sink, *offset) : file.read(sink); }
  Result<std::size_t> write(IoSource& source) const { return offset ? file.write_at(source, *offset) : file.write(source); }
  void advance(std::size_t count) {
    if (offset) *offset += count;
  }
  // Gives back bytes that were read from the position but could not be written.
  Result<> unread(std::size_t count) const {
    if (count == 0 || offset) return {};
    TRY(file.seek(-static_cast<FileOffset>(count), abi::kSeekCur));
    return {};
  }
};

Result<std::uint64_t> copy(Side& in, Side& out, std::uint64_t count) {
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(count, kChunk))));
  std::uint64_t done = 0;
  while (done < count) {
    IoSink sink(buffer.span().first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), count - done))));
    const Result<std::size_t> got = in.read(sink);
    if (!got.ok()) return done != 0 ? Result<std::uint64_t>(done) : Result<std::uint64_t>(got.error());
    const std::size_t read = Result<std::size_t>(got).release();
    if (read == 0) break;
    std::size_t written = 0;
    Result<> failed;
    while (written < read) {
      IoSource source(std::span<const std::byte>(buffer.span()).subspan(written, read - written));
      const Result<std::size_t> put = out.write(source);
      if (!put.ok()) {
        failed = put.error();
        break;
      }
      const std::size_t now = Result<std::size_t>(put).release();
      if (now == 0) break;
      written += now;
      out.advance(now);
    }
    notify_file(in.file.dentry().get(), in.file.inode().get(), abi::kInAccess);
    if (written != 0) notify_file(out.file.dentry().get(), out.file.inode().get(), abi::kInModify);
    TRY(in.unread(read - written));
    in.advance(written);
    done += written;
    if (written < read) {
      if (done == 0 && !failed.ok()) return failed.error();
      break;
    }
    if (signal_pending()) break;
    preemption_point();
  }
  return done;
}

Result<std::optional<std::uint64_t>> load_offset(UserPtr<FileOffset> user) {
  if (user.is_null()) return std::optional<std::uint64_t>();
  const FileOffset offset = TRY(user.load());
  if (offset < 0) return Errno::inval;
  return std::optional<std::uint64_t>(static_cast<std::uint64_t>(offset));
}

Result<> store_offset(UserPtr<FileOffset> user, const Side& side) {
  if (!side.offset) return {};
  return user.store(static_cast<FileOffset>(*side.offset));
}

}  // namespace

Result<std::uint64_t> sys_sendfile(Task& task, Fd out_fd, Fd in_fd, UserPtr<FileOffset> offset, std::uint64_t count) {
  const RefPtr<OpenFile> in_file = TRY(files_of(task).get(in_fd));
  const RefPtr<OpenFile> out_file = TRY(files_of(task).get(out_fd));
  if (!in_file->may_read() || !out_file->may_write()) return Errno::badf;
  const std::optional<std::uint64_t> start = TRY(load_offset(offset));
  if (start && !in_file->has_offsets()) return Errno::spipe;
  // Only moving data is refused where the source has a position, or where a pipe takes it.
  if (count == 0 && (in_file->is_event_file() || out_file->kind() == FileKind::pipe)) return std::uint64_t{0};
  if (in_file->is_stream()) return Errno::inval;
  if (out_file->kind() == FileKind::pipe && (out_file->readiness() & kPollErr) != 0) {
    raise_signal(task, abi::kSigPipe);  // before it is known whether there is anything to move
    return Errno::pipe;
  }
  if (out_file->is_append()) return Errno::inval;
  Side in{.file = *in_file, .offset = start};
  Side out{.file = *out_file, .offset = std::nullopt};
  const std::uint64_t done = TRY(copy(in, out, std::min(count, abi::kMaxRwCount)));
  TRY(store_offset(offset, in));
  return done;
}

Result<std::uint64_t> sys_copy_file_range(Task& task, Fd in_fd, UserPtr<FileOffset> in_offset, Fd out_fd, UserPtr<FileOffset> out_offset,
                                          std::uint64_t count, std::uint32_t flags) {
  const RefPtr<OpenFile> in_file = TRY(files_of(task).get(in_fd));
  const RefPtr<OpenFile> out_file = TRY(files_of(task).get(out_fd));
  Side in{.file = *in_file, .offset = TRY(load_offset(in_offset))};
  Side out{.file = *out_file, .offset = TRY(load_offset(out_offset))};
  if (flags != 0) return Errno::inval;
  for (const OpenFile* file : {in_file.get(), out_file.get()}) {
    if (file->inode() && file->inode()->is_directory()) return Errno::isdir;
    if (file->is_stream()) return Errno::inval;
  }
  if (!in_file->may_read() || !out_file->may_write() || out_file->is_append()) return Errno::badf;
  // What lies behind the end of the source does not count, not even as an overlap.
  const std::uint64_t from = in.offset ? *in.offset : static_cast<std::uint64_t>(TRY(in_file->seek(0, abi::kSeekCur)));
  const std::uint64_t size = TRY(in_file->attributes()).size;
  count = std::min({count, abi::kMaxRwCount, size > from ? size - from : 0});
  if (in_file->inode() == out_file->inode()) {
    const std::uint64_t to = out.offset ? *out.offset : static_cast<std::uint64_t>(TRY(out_file->seek(0, abi::kSeekCur)));
    if (from < to + count && to < from + count) return Errno::inval;  // they overlap
  }
  const std::uint64_t done = TRY(copy(in, out, count));
  TRY(store_offset(in_offset, in));
  TRY(store_offset(out_offset, out));
  return done;
}

}  // namespace kernel
