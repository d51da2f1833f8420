// Access to measured read-only data behind the kernel image: the layout table and the configuration.
#ifndef KERNEL_FRAME_MEASURED_H
#define KERNEL_FRAME_MEASURED_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/config.h"
#include "kernel/frame/layout.h"

namespace kernel::frame {

// Bytes of the measured configuration area; panics outside of it.
inline std::span<const std::byte> measured_bytes(std::uint64_t address, std::size_t size) {
  const host_abi::LayoutRange& area = layout().config;
  KASSERT(address >= area.start && size <= area.size && address - area.start <= area.size - size);
  // SAFETY: checked to lie in the configuration pages, which are mapped for the life of the enclave.
  UNSAFE_BUFFERS(return {reinterpret_cast<const std::byte*>(address), size};)
}

template <class T>
const T& measured_object(std::uint64_t address) {
  KASSERT(address % alignof(T) == 0 && !measured_bytes(address, sizeof(T)).empty());
  // SAFETY: inside the configuration pages and aligned; T is trivially copyable data written by the image builder.
  return *reinterpret_cast<const T*>(address);
}

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_MEASURED_H
