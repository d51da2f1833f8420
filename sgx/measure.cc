#include "sgx/measure.h"

#include <openssl/sha.h>

#include <array>
#include <cstring>
#include <utility>

// The low-level SHA-256 of OpenSSL: its general interface loads and searches the tables of a provider first, a millisecond of every start.
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

namespace sgx {
namespace {

// Tags of the records: the leaf's name as little-endian ASCII.
constexpr std::uint64_t kTagEcreate = 0x0045544145524345;
constexpr std::uint64_t kTagEadd = 0x0000000044444145;
constexpr std::uint64_t kTagEextend = 0x00444e4554584545;

struct EcreateRecord {
  std::uint64_t tag = kTagEcreate;
  std::uint32_t ssa_frame_pages = 0;
  std::uint32_t size_low = 0;  // SECS.SIZE stands unaligned at byte 12
  std::uint32_t size_high = 0;
  std::array<std::uint8_t, 44> zero{};
};
struct EaddRecord {
  std::uint64_t tag = kTagEadd;
  std::uint64_t offset = 0;
  std::uint64_t secinfo_flags = 0;
  std::array<std::uint8_t, 40> zero{};
};
struct EextendRecord {
  std::uint64_t tag = kTagEextend;
  std::uint64_t offset = 0;
  std::array<std::uint8_t, 48> zero{};
};
static_assert(sizeof(EcreateRecord) == 64 && sizeof(EaddRecord) == 64 && sizeof(EextendRecord) == 64);

}  // namespace

void Measurement::Free::operator()(SHA256state_st* context) const { delete context; }

Measurement::Measurement(std::uint32_t ssa_frame_pages, std::uint64_t elrange_size) : context_(new SHA256_CTX) {
  failed_ = SHA256_Init(context_.get()) != 1;
  const EcreateRecord record{.ssa_frame_pages = ssa_frame_pages,
                             .size_low = static_cast<std::uint32_t>(elrange_size),
                             .size_high = static_cast<std::uint32_t>(elrange_size >> 32)};
  update(&record, sizeof(record));
}

Measurement::~Measurement() = default;
Measurement::Measurement(Measurement&& other) noexcept = default;
Measurement& Measurement::operator=(Measurement&& other) noexcept = default;

void Measurement::update(const void* data, std::size_t size) {
  if (failed_ || context_ == nullptr) return;
  failed_ = SHA256_Update(context_.get(), data, size) != 1;
}

void Measurement::eadd(std::uint64_t offset, std::uint64_t secinfo_flags) {
  const EaddRecord record{.offset = offset, .secinfo_flags = secinfo_flags};
  update(&record, sizeof(record));
}

void Measurement::eextend(std::uint64_t offset, std::span<const std::uint8_t, kExtendChunk> chunk) {
  const EextendRecord record{.offset = offset};
  update(&record, sizeof(record));
  update(chunk.data(), chunk.size());
}

void Measurement::add_measured_page(std::uint64_t offset, std::uint64_t secinfo_flags,
                                    std::span<const std::uint8_t, kPageSize> page) {
  eadd(offset, secinfo_flags);
  for (std::uint64_t at = 0; at < kPageSize; at += kExtendChunk) {
    eextend(offset + at, page.subspan(at).first<kExtendChunk>());
  }
}

Result<Hash> Measurement::finish() const {
  if (failed_ || context_ == nullptr) return fail("SHA-256 of the measurement failed in the crypto library");
  SHA256_CTX copy = *context_;
  Hash hash{};
  if (SHA256_Final(hash.data(), &copy) != 1) return fail("SHA-256 of the measurement failed in the crypto library");
  return hash;
}

Result<Hash> sha256(Bytes data) {
  SHA256_CTX context;  // SHA256() itself takes the general interface
  Hash hash{};
  if (SHA256_Init(&context) != 1 || SHA256_Update(&context, data.data(), data.size()) != 1 || SHA256_Final(hash.data(), &context) != 1) {
    return fail("SHA-256 failed in the crypto library");
  }
  return hash;
}

}  // namespace sgx
