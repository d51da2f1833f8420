#include "kernel/vfs/splice.h"

#include <algorithm>

#include "kernel/base/vec.h"
#include "kernel/vfs/pipe.h"

namespace kernel {
namespace {

constexpr std::uint64_t kChunk = 64 * 1024;  // what a pipe takes by default

Result<Vec<std::byte>> chunk_for(std::uint64_t count) {
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min(count, kChunk))));
  return buffer;
}

// What was done before an error counts, the error does not.
Result<std::uint64_t> partial(std::uint64_t done, Errno error) {
  if (done != 0) return done;
  return error;
}

// All of `bytes`, unless the output ends (a signal, an error): how many went out.
Result<std::size_t> write_side(SpliceSide& side, std::span<const std::byte> bytes) {
  const Ref<OpenFile> file = side.file;
  std::size_t written = 0;
  while (written < bytes.size()) {
    IoSource source(bytes.subspan(written));
    auto put = side.offset ? file->write_at(source, *side.offset) : file->write(source);
    if (!put.ok()) return written != 0 ? Result<std::size_t>(written) : Result<std::size_t>(put.error());
    const std::size_t count = std::move(put).release();
    if (count == 0) break;
    written += count;
    if (side.offset) *side.offset += count;
  }
  return written;
}

// One pass from pipe to pipe, which waits for nobody. 0: nothing there, or no room.
Result<std::uint64_t> pass_once(Pipe& in, Pipe& out, std::uint64_t count, std::span<std::byte> buffer, bool keep) {
  Pipe::Front front(in);
  Pipe::Back back(out);
  TRY(back.prepare());
  std::uint64_t done = 0;
  while (done < count) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>({buffer.size(), count - done, back.room()}));
    const std::size_t got = front.copy(keep ? done : 0, buffer.first(most));
    if (got == 0) break;
    back.put(buffer.first(got));
    if (!keep) front.take(got);
    done += got;
  }
  return done;
}

// Somebody else may be faster than we after each wait: only a pipe without writers is at its end.
Result<std::uint64_t> pass_on(Pipe& in, Pipe& out, std::uint64_t count, bool nonblock, bool keep) {
  Vec<std::byte> buffer = TRY(chunk_for(count));
  for (;;) {
    TRY(in.await_data(nonblock));
    TRY(out.await_room(nonblock));
    const std::uint64_t done = TRY(pass_once(in, out, count, buffer.span(), keep));
    if (done != 0 || in.at_end()) return done;
    if (nonblock) return Errno::again;
  }
}

// Other readers of the pipe wait while the output does, as on Linux: what it does not take must still be there for them. `raced`: nothing was
// there, so if the pipe is not at its end somebody else was faster.
Result<std::uint64_t> drain(Pipe& pipe, SpliceSide& out, std::uint64_t count, std::span<std::byte> buffer, bool& raced) {
  Pipe::Front front(pipe);
  std::uint64_t done = 0;
  while (done < count) {
    const std::size_t got = front.copy(0, buffer.first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), count - done))));
    raced = got == 0 && done == 0;
    if (got == 0) break;
    auto put = write_side(out, buffer.first(got));
    if (!put.ok()) return partial(done, put.error());
    const std::size_t written = std::move(put).release();
    front.take(written);
    done += written;
    if (written < got) break;
  }
  return done;
}

Result<std::uint64_t> pipe_to_file(Pipe& pipe, SpliceSide& out, std::uint64_t count, bool nonblock) {
  Vec<std::byte> buffer = TRY(chunk_for(count));
  for (;;) {
    TRY(pipe.await_data(nonblock));
    bool raced = false;
    const std::uint64_t done = TRY(drain(pipe, out, count, buffer.span(), raced));
    if (!raced || pipe.at_end()) return done;
    if (nonblock) return Errno::again;
  }
}

Result<std::uint64_t> fill(SpliceSide& in, Pipe& pipe, std::uint64_t count, std::span<std::byte> buffer, bool& raced) {
  const Ref<OpenFile> file = in.file;
  Pipe::Back back(pipe);
  TRY(back.prepare());
  std::uint64_t done = 0;
  raced = back.room() == 0;
  while (done < count) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>({buffer.size(), count - done, back.room()}));
    if (most == 0) break;
    IoSink sink(buffer.first(most));
    auto got = in.offset ? file->read_at(sink, *in.offset) : file->read(sink);
    if (!got.ok()) return partial(done, got.error());
    const std::size_t read = std::move(got).release();
    if (read == 0) break;
    back.put(buffer.first(read));
    if (in.offset) *in.offset += read;
    done += read;
    if (file->is_stream()) break;  // a socket or terminal: what came is enough
  }
  return done;
}

Result<std::uint64_t> file_to_pipe(SpliceSide& in, Pipe& pipe, std::uint64_t count, bool nonblock) {
  Vec<std::byte> buffer = TRY(chunk_for(count));
  for (;;) {
    TRY(pipe.await_room(nonblock));
    bool raced = false;
    const std::uint64_t done = TRY(fill(in, pipe, count, buffer.span(), raced));
    if (!raced) return done;
  }
}

}  // namespace

// SAFETY: kind() says that the file is a PipeEnd.
Ref<Pipe> pipe_of(OpenFile& file) { return Ref<Pipe>(static_cast<PipeEnd&>(file).pipe()); }

Result<std::uint64_t> splice_bytes(SpliceSide& in, SpliceSide& out, std::uint64_t count, bool nonblock) {
  const Ref<OpenFile> from = in.file, to = out.file;
  const bool from_pipe = from->kind() == FileKind::pipe, to_pipe = to->kind() == FileKind::pipe;
  if (from_pipe) nonblock = nonblock || from->is_nonblocking();
  if (to_pipe) nonblock = nonblock || to->is_nonblocking();
  if (!to_pipe) {
    const Ref<Pipe> source = pipe_of(*from);
    return pipe_to_file(*source, out, count, nonblock);
  }
  const Ref<Pipe> target = pipe_of(*to);
  if (!from_pipe) return file_to_pipe(in, *target, count, nonblock);
  const Ref<Pipe> source = pipe_of(*from);
  return pass_on(*source, *target, count, nonblock, false);
}

Result<std::uint64_t> tee_bytes(OpenFile& in, OpenFile& out, std::uint64_t count, bool nonblock) {
  const Ref<Pipe> source = pipe_of(in), target = pipe_of(out);
  return pass_on(*source, *target, count, nonblock || in.is_nonblocking() || out.is_nonblocking(), true);
}

}  // namespace kernel
