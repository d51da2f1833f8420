// inotify(7), as x86-64 Linux has it.
#ifndef ABI_INOTIFY_H
#define ABI_INOTIFY_H

#include <cstdint>
#include <type_traits>

namespace abi {

// Events.
inline constexpr std::uint32_t kInAccess = 1, kInModify = 2, kInAttrib = 4, kInCloseWrite = 8, kInCloseNoWrite = 0x10, kInOpen = 0x20,
                               kInMovedFrom = 0x40, kInMovedTo = 0x80, kInCreate = 0x100, kInDelete = 0x200, kInDeleteSelf = 0x400,
                               kInMoveSelf = 0x800, kInAllEvents = 0xfff;
// What comes unasked.
inline constexpr std::uint32_t kInUnmount = 0x2000, kInQOverflow = 0x4000, kInIgnored = 0x8000, kInIsDir = 0x40000000;
// Options of inotify_add_watch(2).
inline constexpr std::uint32_t kInOnlyDir = 0x01000000, kInDontFollow = 0x02000000, kInExclUnlink = 0x04000000, kInMaskCreate = 0x10000000,
                               kInMaskAdd = 0x20000000, kInOneShot = 0x80000000;

struct InotifyEvent {
  std::int32_t wd;
  std::uint32_t mask, cookie, length;
};
static_assert(sizeof(InotifyEvent) == 16 && std::has_unique_object_representations_v<InotifyEvent>);

}  // namespace abi
#endif  // ABI_INOTIFY_H
