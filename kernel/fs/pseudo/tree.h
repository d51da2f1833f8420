// Directories and files of a fixed shape, described by one table of paths: most of /sys, /proc/sys and what lies beside the processes in
// /proc. A component "cpu#" stands for cpu0, cpu1 and so on, one for each virtual CPU.
#ifndef KERNEL_FS_PSEUDO_TREE_H
#define KERNEL_FS_PSEUDO_TREE_H

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/fs/pseudo/pseudo.h"

namespace kernel {

// Writes a file's text; `cpu` is the number that '#' stood for.
using TreeShow = Result<> (*)(Text& out, std::uint32_t cpu);
// What a program wrote. Errors as that file gives them.
using TreeStore = Result<> (*)(std::string_view text);

struct TreeEntry {
  std::string_view path;       // without a leading slash; a directory is there if entries lie below it
  TreeShow show = nullptr;
  std::string_view text = {};  // instead of `show`: content that never changes (a newline is added), or a link's target
  TreeStore store = nullptr;   // makes the file writable by root
  FileType type = FileType::regular;  // or symlink, or directory (for empty ones)
  Mode mode = 0444;
};
using TreeTable = std::span<const TreeEntry>;

// The child `name` of the directory `prefix` ("" = top). ENOENT.
Result<Ref<Inode>> tree_lookup(Ref<Superblock> superblock, TreeTable tree, std::string_view prefix, std::optional<std::uint32_t> cpu, std::string_view name);
// Gives the children of `prefix` from directory offset `offset` on; their offsets are below `kTreeOffsetEnd`. False: the sink is full.
inline constexpr std::uint64_t kTreeOffsetEnd = 1 << 20;
Result<bool> tree_list(TreeTable tree, std::string_view prefix, std::uint64_t offset, DirectorySink& sink);
// The directory `prefix` itself.
Result<Ref<Inode>> tree_directory(Ref<Superblock> superblock, TreeTable tree, std::string_view prefix, std::optional<std::uint32_t> cpu = {});

}  // namespace kernel
#endif  // KERNEL_FS_PSEUDO_TREE_H
