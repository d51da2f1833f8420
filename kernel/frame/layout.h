// The kernel's view of the measured layout and of its own code ranges.
#ifndef KERNEL_FRAME_LAYOUT_H
#define KERNEL_FRAME_LAYOUT_H

#include <cstdint>

#include "host_abi/kernel_layout.h"

namespace kernel::frame {

namespace detail {
extern constinit const host_abi::KernelLayout* the_layout;
}
// The measured table (valid from the first instruction of C++ on).
inline const host_abi::KernelLayout& layout() { return *detail::the_layout; }

// Records the geometry for the checks below; called once at boot by the first vCPU.
void layout_init(const host_abi::KernelLayout& layout);

inline bool in_user_window(std::uint64_t address) {
  const host_abi::LayoutRange& user = layout().user;
  return address >= user.start && address < user.end();
}

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_LAYOUT_H
