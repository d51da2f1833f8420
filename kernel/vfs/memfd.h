// memfd_create(2): a RAM file without a name, with seals (fcntl(2), "File Sealing").
#ifndef KERNEL_VFS_MEMFD_H
#define KERNEL_VFS_MEMFD_H

#include <atomic>
#include <cstdint>
#include <string_view>

#include "kernel/base/string.h"
#include "kernel/vfs/open_file.h"
#include "kernel/vfs/regular_file.h"

namespace kernel {

// What all open files of one memfd share besides the inode.
class MemoryFileState final : public RefCounted<MemoryFileState> {
 public:
  MemoryFileState(String name, std::uint32_t seals) : name_(std::move(name)), seals_(seals) {}
  std::string_view name() const LIFETIMEBOUND { return name_; }
  std::uint32_t seals() const { return seals_.load(std::memory_order_acquire); }
  // EPERM once F_SEAL_SEAL is set.
  Result<> add(std::uint32_t seals);

 private:
  const String name_;
  std::atomic<std::uint32_t> seals_;
};

class MemoryFd final : public OpenFile {
 public:
  MemoryFd(Ref<RegularFile> file, Ref<MemoryFileState> state, std::uint32_t flags);

  Result<std::size_t> read(IoSink& sink) override { return file_->read(sink); }
  Result<std::size_t> write(IoSource& source) override;
  Result<std::size_t> read_at(IoSink& sink, std::uint64_t offset) override { return file_->read_at(sink, offset); }
  Result<std::size_t> write_at(IoSource& source, std::uint64_t offset) override;
  Result<FileOffset> seek(FileOffset offset, std::uint32_t whence) override { return file_->seek(offset, whence); }
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override { return file_->ioctl(task, request, argument); }
  Result<> sync(bool data_only) override { return file_->sync(data_only); }
  Result<> truncate(std::uint64_t size) override;
  Result<> allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) override;
  Result<Ref<FileBacking>> mapping() override { return file_->mapping(); }
  Result<> on_flags_changed(std::uint32_t flags) override { return file_->set_status_flags(flags); }
  Result<std::uint32_t> seals(bool add, std::uint32_t which) override;
  Result<Ref<OpenFile>> reopen(std::uint32_t flags) override;
  std::size_t describe(std::span<char> into) override;
  bool is_stream() const override { return false; }

 private:
  // EPERM if a seal forbids to write `count` bytes at `offset`.
  Result<> check_write(std::uint64_t offset, std::uint64_t count) const;

  const Ref<RegularFile> file_;
  const Ref<MemoryFileState> state_;
};

// A new empty file. Without `sealable` it gets F_SEAL_SEAL. ENOMEM, ENODEV if there are no RAM files.
Result<Ref<OpenFile>> make_memory_file(std::string_view name, bool sealable, bool executable);

}  // namespace kernel
#endif  // KERNEL_VFS_MEMFD_H
