#include "kernel/crypto/random.h"

#include <algorithm>

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"

namespace kernel {

std::uint64_t random_u64() {
  for (;;) {
    auto value = frame::hardware_random();
    if (value.ok()) return std::move(value).release();
  }
}

void random_bytes(std::span<std::byte> into) {
  while (!into.empty()) {
    const std::uint64_t value = random_u64();
    const std::size_t count = std::min(into.size(), sizeof(value));
    copy_bytes(into, std::as_bytes(std::span<const std::uint64_t, 1>(&value, 1)).first(count));
    into = into.subspan(count);
  }
}

}  // namespace kernel
