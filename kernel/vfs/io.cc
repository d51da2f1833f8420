#include "kernel/vfs/io.h"

#include <algorithm>
#include <array>

#include "kernel/frame/bytes.h"

namespace kernel {

Result<std::size_t> IoSink::put(std::span<const std::byte> from) {
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(from.size(), remaining_));
  std::size_t done = 0;
  while (done < wanted) {
    const std::span<const std::byte> part = from.subspan(done, wanted - done);
    if (!kernel_.empty()) {
      const std::size_t count = std::min(part.size(), kernel_.size());
      copy_bytes(kernel_, part.first(count));
      kernel_ = kernel_.subspan(count);
      done += count;
      continue;
    }
    if (user_.empty()) {
      if (segments_.empty()) break;
      user_ = segments_.front();
      segments_ = segments_.subspan(1);
      continue;
    }
    const auto asked = static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), user_.size()));
    Result<std::size_t> copied = user_.copy_out(part.first(asked));
    if (!copied.ok()) {
      if (done == 0) return copied.error();
      break;
    }
    const std::size_t count = std::move(copied).release();
    user_ = user_.skip(count);
    done += count;
    if (count < asked) break;
  }
  remaining_ -= done;
  return done;
}

Result<std::size_t> IoSink::put_zeros(std::uint64_t count) {
  static constexpr std::array<std::byte, 512> kZeros{};
  std::size_t done = 0;
  while (done < count && !full()) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count - done, kZeros.size()));
    const std::size_t asked = static_cast<std::size_t>(std::min<std::uint64_t>(part, remaining_));
    Result<std::size_t> put_now = put(std::span(kZeros).first(part));
    if (!put_now.ok()) {
      if (done == 0) return put_now.error();
      break;
    }
    const std::size_t moved = std::move(put_now).release();
    done += moved;
    if (moved < asked) break;
  }
  return done;
}

Result<std::size_t> IoSource::take(std::span<std::byte> into) {
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), remaining_));
  std::size_t done = 0;
  while (done < wanted) {
    const std::span<std::byte> part = into.subspan(done, wanted - done);
    if (!kernel_.empty()) {
      const std::size_t count = std::min(part.size(), kernel_.size());
      copy_bytes(part, kernel_.first(count));
      kernel_ = kernel_.subspan(count);
      done += count;
      continue;
    }
    if (user_.empty()) {
      if (segments_.empty()) break;
      user_ = segments_.front();
      segments_ = segments_.subspan(1);
      continue;
    }
    const auto asked = static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), user_.size()));
    Result<std::size_t> copied = user_.copy_in(part.first(asked));
    if (!copied.ok()) {
      if (done == 0) return copied.error();
      break;
    }
    const std::size_t count = std::move(copied).release();
    user_ = user_.skip(count);
    done += count;
    if (count < asked) break;
  }
  remaining_ -= done;
  return done;
}

}  // namespace kernel
