// A model of what lies under mm/: page leaves and host calls with the rules of the EPCM, over memory at a fixed address of the test
// process; locks; user-window numbers. Every broken rule is counted in `violations` and named.
#ifndef TESTS_KERNEL_MM_FAKE_ENCLAVE_H
#define TESTS_KERNEL_MM_FAKE_ENCLAVE_H

#include <cstdint>
#include <string>
#include <vector>

namespace kernel {
class AddressSpace;
}

namespace kernel_mm_test {

#if __has_feature(address_sanitizer)
inline constexpr std::uint64_t kUserBegin = 0x2000'0000'0000;  // outside its shadow
#else
inline constexpr std::uint64_t kUserBegin = 0x20'0000'0000;
#endif
inline constexpr std::uint64_t kUserSize = std::uint64_t{4} << 30;

// Maps the window anew (once per process) and boots mm/. `limit`: bytes of program memory.
void boot(bool edmm, std::uint64_t limit);

extern std::vector<std::string> violations;
extern std::uint64_t host_calls;
// The next calls of this many to the host fail; negative: none.
extern int host_calls_until_failure;
// What the scheduler does: from now on `space` runs; its pages are put in place. Only this one may be asked to change then.
void run(kernel::AddressSpace& space);
// Pages that exist in the model.
std::uint64_t pages_in_enclave();
// EPCM permissions (R 1, W 2, X 4) of a page that is accepted, else -1.
int epcm(std::uint64_t page);

}  // namespace kernel_mm_test

#endif  // TESTS_KERNEL_MM_FAKE_ENCLAVE_H
