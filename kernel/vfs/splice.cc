#include "kernel/vfs/splice.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/poll.h"

namespace kernel {
namespace {

constexpr std::uint64_t kChunk = 64 * 1024;  // what a pipe takes by default

// Waits until the pipe is ready, or EAGAIN.
Result<> await_pipe(OpenFile& pipe, std::uint32_t events, bool nonblock) {
  constexpr std::uint32_t kAlways = kPollErr | kPollHup;
  if ((pipe.readiness() & (events | kAlways)) != 0) return {};
  if (nonblock || pipe.is_nonblocking()) return Errno::again;
  return pipe.wait_queue()->wait([&] { return (pipe.readiness() & (events | kAlways)) != 0; });
}

Result<std::size_t> read_side(SpliceSide& side, IoSink& sink) {
  return side.offset ? side.file.read_at(sink, *side.offset) : side.file.read(sink);
}

// All of `bytes`, unless the output ends (a signal, an error): how many went out.
Result<std::size_t> write_side(SpliceSide& side, std::span<const std::byte> bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    IoSource source(bytes.subspan(written));
    auto put = side.offset ? side.file.write_at(source, *side.offset) : side.file.write(source);
    if (!put.ok()) return written != 0 ? Result<std::size_t>(written) : Result<std::size_t>(put.error());
    const std::size_t count = std::move(put).release();
    if (count == 0) break;
    written += count;
    if (side.offset) *side.offset += count;
  }
  return written;
}

}  // namespace

Result<std::uint64_t> splice_bytes(SpliceSide& in, SpliceSide& out, std::uint64_t count, bool nonblock) {
  const bool from_pipe = in.file.kind() == FileKind::pipe, to_pipe = out.file.kind() == FileKind::pipe;
  if (to_pipe) TRY(await_pipe(out.file, kPollOut, nonblock));
  if (from_pipe) TRY(await_pipe(in.file, kPollIn, nonblock));
  // What is read has to be written: never take more than a pipe on the other side has room for at once. A pipe that is writable takes
  // PIPE_BUF without waiting.
  constexpr std::uint64_t kPipeBuf = 4096;
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min(count, to_pipe ? kPipeBuf : kChunk))));
  std::uint64_t done = 0;
  while (done < count) {
    if (done != 0 && to_pipe && (out.file.readiness() & kPollOut) == 0) break;
    if (done != 0 && from_pipe && (in.file.readiness() & kPollIn) == 0) break;
    IoSink sink(buffer.span().first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), count - done))));
    auto got = read_side(in, sink);
    if (!got.ok()) return done != 0 ? Result<std::uint64_t>(done) : Result<std::uint64_t>(got.error());
    const std::size_t read = std::move(got).release();
    if (read == 0) break;
    if (in.offset) *in.offset += read;
    auto put = write_side(out, std::span<const std::byte>(buffer.span()).first(read));
    if (!put.ok()) return done != 0 ? Result<std::uint64_t>(done) : Result<std::uint64_t>(put.error());
    const std::size_t written = std::move(put).release();
    done += written;
    if (written < read) break;
    if (in.file.is_stream() && !from_pipe) break;  // a socket or terminal: what came is enough
  }
  return done;
}

}  // namespace kernel
