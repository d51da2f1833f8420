// POSIX message queues (mq_overview(7)).
#ifndef ABI_MQUEUE_H
#define ABI_MQUEUE_H

#include <array>
#include <cstdint>

namespace abi {

struct MqAttr {
  std::int64_t flags, maxmsg, msgsize, curmsgs;
  std::array<std::int64_t, 4> reserved;
};
static_assert(sizeof(MqAttr) == 64);

inline constexpr std::uint32_t kMqPrioMax = 32768;

}  // namespace abi
#endif  // ABI_MQUEUE_H
