// Seeded mistakes: each is made once by the test and must end the kernel with a report that names it (tests/asan).
#ifndef KERNEL_ASAN_MISTAKES_H
#define KERNEL_ASAN_MISTAKES_H

#include <cstdint>

namespace kernel::asan {

inline constexpr std::uint64_t kMistakeCall = 0x6e617361;  // "asan", far from every number of Linux

// False if there is no such mistake; true if it was made and nobody noticed.
bool make_mistake(std::uint64_t which);

}  // namespace kernel::asan
#endif  // KERNEL_ASAN_MISTAKES_H
