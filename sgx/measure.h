// MRENCLAVE: the SHA-256 of what ECREATE, EADD and EEXTEND did, in order (SDM 38.1.2, "MRENCLAVE"). One implementation serves the
// emulator (one call per leaf) and the signer (which replays the load plan).
#ifndef SGX_MEASURE_H
#define SGX_MEASURE_H

#include <cstdint>
#include <memory>
#include <span>

#include "sgx/arch.h"
#include "sgx/result.h"

struct SHA256state_st;  // SHA256_CTX

namespace sgx {

// A running measurement. Not thread safe. A failure of the crypto library is remembered and reported by finish().
class Measurement {
 public:
  // ECREATE: starts the measurement. `elrange_size` is SECS.SIZE.
  Measurement(std::uint32_t ssa_frame_pages, std::uint64_t elrange_size);
  ~Measurement();
  Measurement(Measurement&& other) noexcept;
  Measurement& operator=(Measurement&& other) noexcept;

  // EADD of the page at `offset` from the enclave's base. The record holds the first 48 bytes of SECINFO: flags, then zeros.
  void eadd(std::uint64_t offset, std::uint64_t secinfo_flags);

  // EEXTEND of one 256-byte chunk; `offset` is that of the chunk.
  void eextend(std::uint64_t offset, std::span<const std::uint8_t, kExtendChunk> chunk);

  // EADD and 16 times EEXTEND, as the Linux driver does with SGX_PAGE_MEASURE.
  void add_measured_page(std::uint64_t offset, std::uint64_t secinfo_flags, std::span<const std::uint8_t, kPageSize> page);

  // MRENCLAVE of what was measured so far; the measurement can go on. Error: the crypto library failed.
  Result<Hash> finish() const;

 private:
  void update(const void* data, std::size_t size);

  struct Free {
    void operator()(SHA256state_st* context) const;
  };
  std::unique_ptr<SHA256state_st, Free> context_;
  bool failed_ = false;
};

// SHA-256 of `data`.
Result<Hash> sha256(Bytes data);

}  // namespace sgx
#endif  // SGX_MEASURE_H
