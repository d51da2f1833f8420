// Random numbers. The processor's generator (RDRAND: a conditioned DRBG inside the trusted package, SDM vol. 1 7.3.17) is the only source
// that the host cannot influence; it is used directly, so there is no seed state to protect, fork or reseed.
#ifndef KERNEL_CRYPTO_RANDOM_H
#define KERNEL_CRYPTO_RANDOM_H

#include <cstddef>
#include <cstdint>
#include <span>

namespace kernel {

// Fills `into`. Waits for the generator if it is drained (others may drain it on purpose: a delay, never weak bytes).
void random_bytes(std::span<std::byte> into);
std::uint64_t random_u64();

}  // namespace kernel
#endif  // KERNEL_CRYPTO_RANDOM_H
