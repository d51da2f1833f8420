// Open files of memfd_create(2): a file without a name in the tree that has one in /proc/PID/fd. Seals are the inode's business.
#ifndef KERNEL_VFS_MEMFD_H
#define KERNEL_VFS_MEMFD_H

#include <cstdint>

#include "kernel/base/string.h"
#include "kernel/vfs/regular_file.h"

namespace kernel {

// The name that memfd_create was given.
class MemoryFileName final : public RefCounted<MemoryFileName> {
 public:
  explicit MemoryFileName(String text) : text_(std::move(text)) {}
  std::string_view text() const LIFETIMEBOUND { return text_; }

 private:
  const String text_;
};

class MemoryFd final : public RegularFile {
 public:
  MemoryFd(Inode& inode, std::uint32_t flags, Ref<MemoryFileName> name) : RegularFile(inode, flags), name_(name) {}
  Result<Ref<OpenFile>> reopen(std::uint32_t flags) override;
  std::size_t describe(std::span<char> into) override;

 private:
  const Ref<MemoryFileName> name_;
};

// Opens `inode`, a regular file. ENOMEM, ETXTBSY.
Result<Ref<OpenFile>> open_memory_file(Inode& inode, std::uint32_t flags, Ref<MemoryFileName> name);

}  // namespace kernel
#endif  // KERNEL_VFS_MEMFD_H
