// poll(2), select(2), epoll(7).
#ifndef ABI_POLL_H
#define ABI_POLL_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

// struct kcmp_epoll_slot (kcmp(2), KCMP_EPOLL_TFD).
struct KcmpEpollSlot {
  std::uint32_t epoll;
  std::uint32_t target;
  std::uint32_t offset;
};
static_assert(sizeof(KcmpEpollSlot) == 12);

struct PollFd {
  std::int32_t fd;
  std::int16_t events;
  std::int16_t revents;
};
static_assert(sizeof(PollFd) == 8 && std::has_unique_object_representations_v<PollFd>);

// pselect6's sixth argument.
struct SigsetArgument {
  std::uint64_t address;
  std::uint64_t size;
};
static_assert(sizeof(SigsetArgument) == 16);

// Packed on x86-64: data follows events without a gap. `data` is opaque, kept as two halves so that the struct has no padding.
struct EpollEvent {
  std::uint32_t events;
  std::uint32_t data_low;
  std::uint32_t data_high;
};
static_assert(sizeof(EpollEvent) == 12 && std::has_unique_object_representations_v<EpollEvent>);

inline constexpr std::int32_t kEpollCtlAdd = 1, kEpollCtlDel = 2, kEpollCtlMod = 3;
inline constexpr std::uint32_t kEpollExclusive = 1U << 28, kEpollWakeup = 1U << 29, kEpollOneShot = 1U << 30, kEpollEdge = 1U << 31;
inline constexpr std::uint32_t kEpollCloExec = 02000000;

}  // namespace abi
#endif  // ABI_POLL_H
