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

void tell_if_broken(Task& task, const Result<std::uint64_t>& outcome) {
  if (!outcome.ok() && outcome.error() == Errno::pipe) raise_signal(task, abi::kSigPipe);
}

}  // namespace

Result<std::uint64_t> sys_splice(Task& task, Fd in, UserPtr<FileOffset> in_offset, Fd out, UserPtr<FileOffset> out_offset, std::uint64_t count,
                                 std::uint32_t flags) {
  if (count == 0) return std::uint64_t{0};  // before the flags are looked at, as Linux does
  if ((flags & ~kSpliceFlags) != 0) return Errno::inval;
  const RefPtr<OpenFile> from = TRY(files_of(task).get(in));
  const RefPtr<OpenFile> to = TRY(files_of(task).get(out));
  if (!from->may_read() || !to->may_write()) return Errno::badf;
  const bool from_pipe = from->kind() == FileKind::pipe, to_pipe = to->kind() == FileKind::pipe;
  if (!from_pipe && !to_pipe) return Errno::inval;
  if (from_pipe && to_pipe && pipe_of(*from).get() == pipe_of(*to).get() && in_offset.is_null() && out_offset.is_null()) return Errno::inval;
  if (!to_pipe && to->is_append()) return Errno::inval;
  SpliceSide source{.file = from.as_ref(), .offset = TRY(load_offset(*from, in_offset))};
  SpliceSide target{.file = to.as_ref(), .offset = TRY(load_offset(*to, out_offset))};
  Result<std::uint64_t> spliced = splice_bytes(source, target, std::min(count, abi::kMaxRwCount), (flags & kSpliceNonBlock) != 0);
  if (to_pipe) tell_if_broken(task, spliced);
  const std::uint64_t done = TRY(spliced);
  if (source.offset) TRY(in_offset.store(static_cast<FileOffset>(*source.offset)));
  if (target.offset) TRY(out_offset.store(static_cast<FileOffset>(*target.offset)));
  return done;
}

namespace {

// What fits now: unlike a write(2) of so many bytes it does not wait for room twice.
Result<std::uint64_t> gift(Pipe& pipe, IoSource& source, bool nonblock) {
  for (;;) {
    TRY(pipe.await_room(nonblock));
    Result<std::size_t> written = pipe.write(source, true);
    if (written.ok()) return std::uint64_t{std::move(written).release()};
    if (written.error() != Errno::again || nonblock) return written.error();
  }
}

}  // namespace

// Pages are not given away: the bytes are copied, which programs cannot tell.
Result<std::uint64_t> sys_vmsplice(Task& task, Fd pipe, UserPtr<const abi::Iovec> vector, std::uint64_t count, std::uint32_t flags) {
  if ((flags & ~kSpliceFlags) != 0) return Errno::inval;
  const RefPtr<OpenFile> file = TRY(files_of(task).get(pipe));
  UserIovec segments;
  TRY(segments.load(vector, count));
  if (segments.total() == 0) return std::uint64_t{0};
  if (file->kind() != FileKind::pipe) return Errno::badf;
  const bool nonblock = (flags & kSpliceNonBlock) != 0;  // O_NONBLOCK says nothing here
  const Ref<Pipe> ring = pipe_of(*file);
  if (file->may_write()) {
    IoSource source(segments.segments(), segments.total());
    Result<std::uint64_t> written = gift(*ring, source, nonblock);
    tell_if_broken(task, written);
    return written;
  }
  IoSink sink(segments.segments(), segments.total());
  return std::uint64_t{TRY(ring->read(sink, nonblock))};
}

Result<std::uint64_t> sys_tee(Task& task, Fd in, Fd out, std::uint64_t count, std::uint32_t flags) {
  if ((flags & ~kSpliceFlags) != 0) return Errno::inval;
  if (count == 0) return std::uint64_t{0};
  const RefPtr<OpenFile> from = TRY(files_of(task).get(in));
  const RefPtr<OpenFile> to = TRY(files_of(task).get(out));
  if (!from->may_read() || !to->may_write()) return Errno::badf;
  if (from->kind() != FileKind::pipe || to->kind() != FileKind::pipe) return Errno::inval;
  if (pipe_of(*from).get() == pipe_of(*to).get()) return Errno::inval;
  Result<std::uint64_t> done = tee_bytes(*from, *to, std::min(count, abi::kMaxRwCount), (flags & kSpliceNonBlock) != 0);
  tell_if_broken(task, done);
  return done;
}

}  // namespace kernel
