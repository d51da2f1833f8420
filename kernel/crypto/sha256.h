// SHA-256 (FIPS 180-4). Uses the processor's SHA instructions where it has them (set_sha256_hardware), else plain C++.
//
// The compression functions for SHA-NI are objects of intel-ipsec-mb (docs/decisions/sha256.md). Data must be enclave memory: copy
// host data in first. May be called under spinlocks; does not wait.
#ifndef KERNEL_CRYPTO_SHA256_H
#define KERNEL_CRYPTO_SHA256_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace kernel {

using Sha256Digest = std::array<std::byte, 32>;

// Whether the SHA instructions may be used. Once at boot, from CPUID as the kernel has checked it; off until then.
void set_sha256_hardware(bool available);
bool sha256_hardware();

class Sha256 {
 public:
  static constexpr std::size_t kBlock = 64;
  using State = std::array<std::uint32_t, 8>;

  Sha256();
  void update(std::span<const std::byte> data);
  // The digest of everything so far; the object must not be used further.
  Sha256Digest finish();

 private:
  State state_;
  std::array<std::byte, kBlock> buffer_{};
  std::size_t buffered_ = 0;
  std::uint64_t total_ = 0;
};

Sha256Digest sha256(std::span<const std::byte> data);
// SHA-256(prefix || data), as dm-verity salts its blocks.
Sha256Digest sha256(std::span<const std::byte> prefix, std::span<const std::byte> data);
// Two messages of the same prefix and the same length at once (about twice as fast with SHA instructions). Requires equal sizes.
void sha256_pair(std::span<const std::byte> prefix, std::span<const std::byte> a, std::span<const std::byte> b, Sha256Digest& digest_a,
                 Sha256Digest& digest_b);

}  // namespace kernel
#endif  // KERNEL_CRYPTO_SHA256_H
