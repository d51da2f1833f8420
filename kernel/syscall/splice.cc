#include "kernel/syscall/splice.h"

#include <algorithm>

#include "kernel/syscall/io.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/pipe.h"
#include "kernel/vfs/splice.h"

namespace kernel {
namespace {

constexpr std::uint32_t kSpliceNonBlock = 2, kSpliceFlags = 15;  // SPLICE_F_MOVE, NONBLOCK, MORE, GIFT

// The offset that the program gave for one side. ESPIPE if that is a pipe, EINVAL if it cannot have one.
Result<std::optional<std::uint64_t>> load_offset(const OpenFile& file, UserPtr<FileOffset> user) {
  if (user.is_null()) return std::optional<std::uint64_t>();
  if (file.kind() == FileKind::pipe) return Errno::spipe;
  if (file.is_stream()) return Errno::inval;
  const FileOffset offset = TRY(user.load());
  if (offset < 0) return Errno::inval;
  return std::optional<std::uint64_t>(static_cast<std::uint64_t>(offset));
}

}  // namespace

Result<std::uint64_t> sys_splice(Task& task, Fd in, UserPtr<FileOffset> in_offset, Fd out, UserPtr<FileOffset> out_offset, std::uint64_t count,
                                 std::uint32_t flags) {
  if ((flags & ~kSpliceFlags) != 0) return Errno::inval;
  if (count == 0) return std::uint64_t{0};
  const RefPtr<OpenFile> from = TRY(files_of(task).get(in));
  const RefPtr<OpenFile> to = TRY(files_of(task).get(out));
  if (!from->may_read() || !to->may_write()) return Errno::badf;
  if (from->kind() != FileKind::pipe && to->kind() != FileKind::pipe) return Errno::inval;
  if (to->is_append()) return Errno::inval;
  SpliceSide source{.file = *from, .offset = TRY(load_offset(*from, in_offset))};
  SpliceSide target{.file = *to, .offset = TRY(load_offset(*to, out_offset))};
  const std::uint64_t done = TRY(splice_bytes(source, target, std::min(count, abi::kMaxRwCount), (flags & kSpliceNonBlock) != 0));
  if (source.offset) TRY(in_offset.store(static_cast<FileOffset>(*source.offset)));
  if (target.offset) TRY(out_offset.store(static_cast<FileOffset>(*target.offset)));
  return done;
}

// Pages are not given away: the bytes are copied, which programs cannot tell.
Result<std::uint64_t> sys_vmsplice(Task& task, Fd pipe, UserPtr<const abi::Iovec> vector, std::uint64_t count, std::uint32_t flags) {
  if ((flags & ~kSpliceFlags) != 0) return Errno::inval;
  const RefPtr<OpenFile> file = TRY(files_of(task).get(pipe));
  if (file->kind() != FileKind::pipe) return Errno::badf;
  UserIovec segments;
  TRY(segments.load(vector, count));
  const bool nonblock = (flags & kSpliceNonBlock) != 0 || file->is_nonblocking();
  // SAFETY: kind() says that it is a PipeEnd.
  Pipe& ring = static_cast<PipeEnd&>(*file).pipe();
  if (file->may_write()) {
    IoSource source(segments.segments(), segments.total());
    auto written = ring.write(source, nonblock);
    if (!written.ok() && written.error() == Errno::pipe) raise_signal(task, abi::kSigPipe);
    return std::uint64_t{TRY(written)};
  }
  IoSink sink(segments.segments(), segments.total());
  return std::uint64_t{TRY(ring.read(sink, nonblock))};
}

Result<std::uint64_t> sys_tee(Task& task, Fd in, Fd out, std::uint64_t count, std::uint32_t flags) {
  if ((flags & ~kSpliceFlags) != 0) return Errno::inval;
  if (count == 0) return std::uint64_t{0};
  const RefPtr<OpenFile> from = TRY(files_of(task).get(in));
  const RefPtr<OpenFile> to = TRY(files_of(task).get(out));
  if (!from->may_read() || !to->may_write()) return Errno::badf;
  if (from->kind() != FileKind::pipe || to->kind() != FileKind::pipe) return Errno::inval;
  // SAFETY: kind() says that they are PipeEnds.
  Pipe& source = static_cast<PipeEnd&>(*from).pipe();
  Pipe& target = static_cast<PipeEnd&>(*to).pipe();
  if (&source == &target) return Errno::inval;
  const bool nonblock = (flags & kSpliceNonBlock) != 0;
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(count, Pipe::kAtomic))));
  IoSink sink(buffer.span());
  const std::size_t got = TRY(source.peek(sink, nonblock || from->is_nonblocking()));
  if (got == 0) return std::uint64_t{0};
  IoSource bytes(std::span<const std::byte>(buffer.span()).first(got));
  auto written = target.write(bytes, nonblock || to->is_nonblocking());
  if (!written.ok() && written.error() == Errno::pipe) raise_signal(task, abi::kSigPipe);
  return std::uint64_t{TRY(written)};
}

}  // namespace kernel
