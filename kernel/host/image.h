// The image file, mapped by the host. Bytes are copied in; they mean nothing before the hash tree has been asked.
#ifndef KERNEL_HOST_IMAGE_H
#define KERNEL_HOST_IMAGE_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"

namespace kernel::host {

std::uint64_t image_size();
// EIO if the range is beyond the file or the host cannot deliver it.
Result<> read_image(std::uint64_t offset, std::span<std::byte> into);

}  // namespace kernel::host
#endif  // KERNEL_HOST_IMAGE_H
