// Small types of the file layer: kinds of files, attributes, who asks, what a directory lists.
#ifndef KERNEL_VFS_TYPES_H
#define KERNEL_VFS_TYPES_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/base/types.h"

namespace kernel {

// S_IF* >> 12, which is also DT_* of readdir(3).
enum class FileType : std::uint8_t { none = 0, fifo = 1, character = 2, directory = 4, block = 6, regular = 8, symlink = 10, socket = 12 };

inline constexpr Mode kModeTypeMask = 0170000, kModePermMask = 07777;
inline constexpr Mode kModeSetUid = 04000, kModeSetGid = 02000, kModeSticky = 01000;
constexpr FileType type_of(Mode mode) { return static_cast<FileType>((mode & kModeTypeMask) >> 12); }
constexpr Mode mode_of(FileType type) { return static_cast<Mode>(type) << 12; }

inline constexpr std::size_t kNameMax = 255;   // bytes of one component
inline constexpr std::size_t kPathMax = 4096;  // bytes of a path with its NUL
inline constexpr unsigned kMaxSymlinks = 40;   // in one walk

// Nanoseconds since 1970, as inodes keep them (years 1678 to 2262).
using FileTime = std::int64_t;

// What stat tells; a snapshot.
struct Attributes {
  std::uint64_t device = 0;  // number of the file system, as makedev() codes it
  std::uint64_t ino = 0;
  Mode mode = 0;
  std::uint32_t nlink = 1;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;  // of 512 bytes
  std::uint32_t block_size = 4096;
  FileTime atime = 0, mtime = 0, ctime = 0, btime = 0;
};

// What to change; absent = leave. The caller has checked permissions.
struct AttributeChange {
  std::optional<Mode> mode = std::nullopt;  // permission bits only
  std::optional<std::uint32_t> uid = std::nullopt, gid = std::nullopt;
  std::optional<FileTime> atime = std::nullopt, mtime = std::nullopt;
};

// What statfs tells.
struct FsStatistics {
  std::uint64_t type = 0;  // magic number
  std::uint64_t block_size = 4096;
  std::uint64_t blocks = 0, free_blocks = 0, available_blocks = 0;
  std::uint64_t files = 0, free_files = 0;
  std::uint64_t fsid = 0;
  std::uint64_t name_max = kNameMax;
  std::uint64_t flags = 0;  // ST_*
};

// Who asks for a file: file-system ids and the capabilities that matter here. See access.h.
struct Identity {
  std::uint32_t uid = 0, gid = 0;
  std::span<const std::uint32_t> groups;
  std::uint64_t capabilities = ~std::uint64_t{0};  // bit n = CAP_n effective
};
inline constexpr unsigned kCapChown = 0, kCapDacOverride = 1, kCapDacReadSearch = 2, kCapFowner = 3, kCapFsetid = 4, kCapSysChroot = 18,
                          kCapSysAdmin = 21, kCapMknod = 27;
inline bool has_capability(const Identity& who, unsigned capability) { return ((who.capabilities >> capability) & 1) != 0; }

// Owner of a new inode.
struct Owner {
  std::uint32_t uid = 0, gid = 0;
};

inline constexpr unsigned kMayExec = 1, kMayWrite = 2, kMayRead = 4;  // as the bits of a mode

struct DirectoryEntry {
  std::string_view name;  // valid during the call only
  std::uint64_t ino;
  FileType type;
  std::uint64_t next;  // offset (telldir) of the entry after this one
};

// Takes entries of a directory until it is full. Called under the directory's mutex: kernel memory only.
class DirectorySink {
 public:
  virtual bool add(const DirectoryEntry& entry) = 0;  // false: full, the entry was not taken

 protected:
  ~DirectorySink() = default;
};

}  // namespace kernel
#endif  // KERNEL_VFS_TYPES_H
