#include "kernel/fs/dev/devfs.h"

#include <array>
#include <string_view>

#include "abi/fs.h"
#include "kernel/fs/dev/memory_device.h"
#include "kernel/fs/tty/devpts.h"
#include "kernel/fs/tty/terminal.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/pipe.h"

namespace kernel {
namespace {

struct Node {
  std::string_view name;
  Mode mode;
  std::uint32_t major, minor;
};
constexpr Mode kCharacter = mode_of(FileType::character);
constexpr std::array<Node, 9> kNodes{{{"null", kCharacter | 0666, kMemoryMajor, kNullMinor},
                                      {"zero", kCharacter | 0666, kMemoryMajor, kZeroMinor},
                                      {"full", kCharacter | 0666, kMemoryMajor, kFullMinor},
                                      {"random", kCharacter | 0666, kMemoryMajor, kRandomMinor},
                                      {"urandom", kCharacter | 0666, kMemoryMajor, kUrandomMinor},
                                      {"kmsg", kCharacter | 0644, kMemoryMajor, kKmsgMinor},
                                      {"tty", kCharacter | 0666, kTerminalMajor, kTtyMinor},
                                      {"console", kCharacter | 0600, kTerminalMajor, kConsoleMinor},
                                      {"ptmx", kCharacter | 0666, kTerminalMajor, kPtmxMinor}}};

struct Link {
  std::string_view name, target;
};
constexpr std::array<Link, 4> kLinks{
    {{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}}};

constexpr std::array<std::string_view, 3> kDirectories{"pts", "shm", "mqueue"};

Result<Ref<Superblock>> make_devfs(std::string_view source, std::string_view) {
  const Ref<Superblock> superblock = TRY(make_file_system("ramfs", source, {}));
  const Ref<Inode> root = superblock->root();
  const LockGuard guard(root->directory_mutex());
  for (const Node& node : kNodes) TRY(root->create(node.name, node.mode, abi::make_device(node.major, node.minor), {}));
  for (const Link& link : kLinks) TRY(root->make_symlink(link.name, link.target, {}));
  for (const std::string_view name : kDirectories)
    TRY(root->make_directory(name, mode_of(FileType::directory) | (name == "pts" ? 0755 : 01777), {}));
  return superblock;
}

}  // namespace

Result<> register_device_file_systems() {
  register_fifo(open_fifo);
  TRY(register_character_device(kMemoryMajor, open_memory_device));
  TRY(register_character_device(kTerminalMajor, open_terminal_device));
  TRY(register_character_device(kPtySlaveMajor, open_foreign_slave));
  TRY(register_file_system({.name = "devfs", .make = make_devfs}));
  TRY(register_file_system({.name = "devtmpfs", .make = make_devfs}));
  return register_file_system({.name = "devpts", .make = make_devpts});
}

}  // namespace kernel
