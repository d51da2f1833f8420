#include "kernel/vfs/memfd.h"

#include <algorithm>

#include "abi/fs.h"

namespace kernel {

Result<Ref<OpenFile>> MemoryFd::reopen(std::uint32_t flags) {
  const bool writes = (flags & abi::kOAccMode) != abi::kORdOnly;
  if (writes && (flags & abi::kOTrunc) != 0) TRY(inode()->truncate(0));
  return open_memory_file(*inode(), flags & (abi::kOAccMode | abi::kSettableFlags | abi::kOLargeFile), name_);
}

std::size_t MemoryFd::describe(std::span<char> into) {
  std::size_t used = 0;
  for (const std::string_view part : {std::string_view("/memfd:"), name_->text(), std::string_view(" (deleted)")}) {
    const std::size_t count = std::min(part.size(), into.size() - used);
    std::copy_n(part.begin(), count, into.subspan(used).begin());
    used += count;
  }
  return used;
}

Result<Ref<OpenFile>> open_memory_file(Inode& inode, std::uint32_t flags, Ref<MemoryFileName> name) {
  const Ref<MemoryFd> file = TRY(make_ref<MemoryFd>(inode, flags, name));
  TRY(file->start());
  return Ref<OpenFile>(file);
}

}  // namespace kernel
