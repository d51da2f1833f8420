#include "kernel/fs/dev/memory_device.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "abi/fs.h"
#include "kernel/crypto/random.h"
#include "kernel/frame/bytes.h"
#include "kernel/host/log.h"
#include "kernel/task/thread.h"

namespace kernel {
namespace {

constexpr std::size_t kRandomPiece = 256;
constexpr std::uint64_t kPreemptBytes = 64 * 1024;  // work between two preemption points
// random(4): what an ioctl on an initialised pool says. RNDGETENTCNT, RNDADDTOENTCNT.
constexpr std::uint32_t kRndGetEntCnt = 0x80045200, kRndAddToEntCnt = 0x40045201;
constexpr std::int32_t kPoolBits = 256;

// mmap of /dev/zero: pages of zeros; a shared mapping keeps what is written in pages of its own as long as it lives.
class ZeroPages final : public FileBacking {
 public:
  Result<> read_page(std::uint64_t, PageView into) override {
    zero_bytes(into);
    return {};
  }
  std::uint64_t size() override { return std::uint64_t{1} << 46; }
  Result<> write_page(std::uint64_t, ConstPageView) override { return {}; }
  std::uint64_t inode_number() const override { return kZeroMinor; }
};

// Offsets mean nothing to these devices: pread and pwrite work like read and write, lseek says 0.
class MemoryDevice : public OpenFile {
 public:
  Result<std::size_t> read_at(IoSink& sink, std::uint64_t) final { return read(sink); }
  Result<std::size_t> write_at(IoSource& source, std::uint64_t) final { return write(source); }
  Result<FileOffset> seek(FileOffset, std::uint32_t) final { return FileOffset{0}; }
  Result<> truncate(std::uint64_t) final { return Errno::inval; }

 protected:
  MemoryDevice(Dentry& where, Inode& inode, std::uint32_t flags) : OpenFile(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags) {}
};

Result<std::size_t> swallow(IoSource& source) { return static_cast<std::size_t>(source.remaining()); }

class NullDevice final : public MemoryDevice {
 public:
  NullDevice(Dentry& where, Inode& inode, std::uint32_t flags) : MemoryDevice(where, inode, flags) {}
  Result<std::size_t> read(IoSink&) override { return std::size_t{0}; }
  Result<std::size_t> write(IoSource& source) override { return swallow(source); }
};

// /dev/zero, and /dev/full, which differs in writing.
class ZeroDevice final : public MemoryDevice {
 public:
  ZeroDevice(Dentry& where, Inode& inode, std::uint32_t flags, bool full) : MemoryDevice(where, inode, flags), full_(full) {}
  Result<std::size_t> read(IoSink& sink) override {
    std::size_t total = 0;
    while (!sink.full()) {
      const std::uint64_t piece = std::min(sink.remaining(), kPreemptBytes);
      auto put = sink.put_zeros(piece);
      if (!put.ok()) {
        if (total != 0) break;
        return put.error();
      }
      const std::size_t count = std::move(put).release();
      total += count;
      if (count < piece) break;
      if (sink.full()) break;
      preemption_point();
      if (signal_pending()) break;
    }
    return total;
  }
  Result<std::size_t> write(IoSource& source) override {
    if (full_) return Errno::nospc;
    return swallow(source);
  }
  Result<Ref<FileBacking>> mapping() override {
    if (full_) return Errno::nodev;
    return Ref<FileBacking>(TRY(make_ref<ZeroPages>()));
  }

 private:
  const bool full_;
};

class RandomDevice final : public MemoryDevice {
 public:
  RandomDevice(Dentry& where, Inode& inode, std::uint32_t flags) : MemoryDevice(where, inode, flags) {}
  Result<std::size_t> read(IoSink& sink) override {
    std::array<std::byte, kRandomPiece> buffer;
    std::size_t total = 0;
    while (!sink.full()) {
      const std::span<std::byte> piece = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), sink.remaining())));
      random_bytes(piece);
      auto put = sink.put(piece);
      if (!put.ok()) {
        if (total != 0) break;
        return put.error();
      }
      const std::size_t count = std::move(put).release();
      total += count;
      if (count < piece.size()) break;
      if (total % kPreemptBytes == 0) {
        preemption_point();
        if (signal_pending()) break;
      }
    }
    zero_bytes(buffer);
    return total;
  }
  // Programs may stir the pool; the processor's generator needs nothing of them.
  Result<std::size_t> write(IoSource& source) override { return swallow(source); }
  Result<std::uint64_t> ioctl(Task&, std::uint32_t request, std::uint64_t argument) override {
    if (request == kRndGetEntCnt) {
      TRY(UserPtr<std::int32_t>(argument).store(kPoolBits));
      return std::uint64_t{0};
    }
    if (request == kRndAddToEntCnt) {
      TRY(UserPtr<const std::int32_t>(argument).load());
      return std::uint64_t{0};
    }
    return Errno::inval;  // random(4) says EINVAL here, not ENOTTY
  }
};

// /dev/kmsg: what is written goes to the log; there is nothing to read.
class KmsgDevice final : public MemoryDevice {
 public:
  KmsgDevice(Dentry& where, Inode& inode, std::uint32_t flags) : MemoryDevice(where, inode, flags) {}
  Result<std::size_t> read(IoSink&) override { return Errno::again; }
  Result<std::size_t> write(IoSource& source) override {
    std::array<char, 256> text;
    const auto total = static_cast<std::size_t>(source.remaining());
    const std::size_t count = TRY(source.take(std::as_writable_bytes(std::span(text))));
    LOG(info) << "kmsg: " << std::string_view(text.data(), count);
    return total;
  }
};

}  // namespace

Result<Ref<OpenFile>> open_memory_device(Dentry& where, Inode& inode, std::uint32_t flags) {
  switch (abi::device_minor(inode.attributes().rdev)) {
    case kNullMinor: return Ref<OpenFile>(TRY(make_ref<NullDevice>(where, inode, flags)));
    case kZeroMinor: return Ref<OpenFile>(TRY(make_ref<ZeroDevice>(where, inode, flags, false)));
    case kFullMinor: return Ref<OpenFile>(TRY(make_ref<ZeroDevice>(where, inode, flags, true)));
    case kRandomMinor:
    case kUrandomMinor: return Ref<OpenFile>(TRY(make_ref<RandomDevice>(where, inode, flags)));
    case kKmsgMinor: return Ref<OpenFile>(TRY(make_ref<KmsgDevice>(where, inode, flags)));
    default: return Errno::nxio;
  }
}

}  // namespace kernel
