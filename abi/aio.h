// Linux AIO (io_submit(2)).
#ifndef ABI_AIO_H
#define ABI_AIO_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

// iocb
struct IoControlBlock {
  std::uint64_t data;
  std::uint32_t key;
  std::uint32_t rw_flags;
  std::uint16_t opcode;
  std::int16_t priority;
  std::uint32_t fd;
  std::uint64_t buffer;
  std::uint64_t size;
  std::int64_t offset;
  std::uint64_t reserved;
  std::uint32_t flags;
  std::uint32_t result_fd;
};
static_assert(sizeof(IoControlBlock) == 64 && offsetof(IoControlBlock, key) == 8 && offsetof(IoControlBlock, buffer) == 24 &&
              offsetof(IoControlBlock, flags) == 56);

struct IoEvent {
  std::uint64_t data;
  std::uint64_t object;  // address of the iocb
  std::int64_t result;
  std::int64_t result2;
};
static_assert(sizeof(IoEvent) == 32 && std::has_unique_object_representations_v<IoEvent>);

// aio_ring: what lies at the address that is the context's id. Libraries read events from it if they know the magic number.
struct AioRing {
  std::uint32_t id;
  std::uint32_t count;
  std::uint32_t head, tail;
  std::uint32_t magic;
  std::uint32_t compatible, incompatible;
  std::uint32_t header_size;
};
static_assert(sizeof(AioRing) == 32 && std::has_unique_object_representations_v<AioRing>);

inline constexpr std::uint16_t kIocbPread = 0, kIocbPwrite = 1, kIocbFsync = 2, kIocbFdsync = 3, kIocbPoll = 5, kIocbPreadv = 7, kIocbPwritev = 8;
inline constexpr std::uint32_t kIocbFlagResultFd = 1, kIocbFlagPriority = 2;

}  // namespace abi
#endif  // ABI_AIO_H
