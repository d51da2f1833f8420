#include "kernel/crypto/sha256.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "kernel/base/config.h"
#include "kernel/frame/bytes.h"
#ifdef OCCLUM_KERNEL
#include "kernel/frame/vector.h"
#endif

// The round constants under the name that the objects of intel-ipsec-mb want.
extern "C" {
__attribute__((visibility("hidden"))) extern const std::array<std::uint32_t, 64> K256;
}
alignas(64) const std::array<std::uint32_t, 64> K256{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

namespace kernel {

namespace {

// Arguments of the objects of intel-ipsec-mb: a row of state per lane, then a data pointer per lane (SHA256_ARGS of its
// ipsec_ooo_mgr.h, 16 lanes).
struct LaneArguments {
  std::array<Sha256::State, 16> digest;
  std::array<const std::byte*, 16> data;
};
static_assert(sizeof(LaneArguments) == 512 + 128);

extern "C" {
void sha256_ni_x1(LaneArguments* arguments, std::uint64_t blocks, std::uint64_t lane);
void sha256_ni(LaneArguments* arguments, std::uint64_t blocks);  // lanes 0 and 1
}

constexpr Sha256::State kInitial{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

constinit std::atomic<bool> hardware{false};  // NOLINT: a fact about the processor

std::uint32_t load_be32(std::span<const std::byte, 4> from) {
  return (std::to_integer<std::uint32_t>(from[0]) << 24) | (std::to_integer<std::uint32_t>(from[1]) << 16) |
         (std::to_integer<std::uint32_t>(from[2]) << 8) | std::to_integer<std::uint32_t>(from[3]);
}

void compress_scalar(Sha256::State& state, std::span<const std::byte, Sha256::kBlock> block) {
  std::array<std::uint32_t, 64> w;
  for (std::size_t i = 0; i < 16; ++i) w[i] = load_be32(block.subspan(i * 4).first<4>());
  for (std::size_t i = 16; i < 64; ++i) {
    const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + K256[i] + w[i];
    const std::uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const Sha256::State after{a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < state.size(); ++i) state[i] += after[i];
}

// `data` is a whole number of blocks.
void compress(Sha256::State& state, std::span<const std::byte> data) {
#ifdef OCCLUM_KERNEL
  if (hardware.load(std::memory_order_relaxed)) {
    [[clang::uninitialized]] LaneArguments lanes;
    lanes.digest[0] = state;
    lanes.data[0] = data.data();
    {
      const frame::VectorScope scope;
      sha256_ni_x1(&lanes, data.size() / Sha256::kBlock, 0);
    }
    state = lanes.digest[0];
    return;
  }
#endif
  for (; !data.empty(); data = data.subspan(Sha256::kBlock)) compress_scalar(state, data.first<Sha256::kBlock>());
}

void compress_two(Sha256::State& state_a, Sha256::State& state_b, std::span<const std::byte> a, std::span<const std::byte> b) {
#ifdef OCCLUM_KERNEL
  if (hardware.load(std::memory_order_relaxed)) {
    [[clang::uninitialized]] LaneArguments lanes;
    lanes.digest[0] = state_a;
    lanes.digest[1] = state_b;
    lanes.data[0] = a.data();
    lanes.data[1] = b.data();
    {
      const frame::VectorScope scope;
      sha256_ni(&lanes, a.size() / Sha256::kBlock);
    }
    state_a = lanes.digest[0];
    state_b = lanes.digest[1];
    return;
  }
#endif
  compress(state_a, a);
  compress(state_b, b);
}

void store_be32(std::span<std::byte, 4> into, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) into[i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

Sha256Digest digest_of(const Sha256::State& state) {
  Sha256Digest digest{};
  for (std::size_t i = 0; i < state.size(); ++i) store_be32(std::span(digest).subspan(i * 4).first<4>(), state[i]);
  return digest;
}

// The last one or two blocks of a message: `rest` (less than a block), the bit 1, zeros, the length in bits.
struct Tail {
  Tail(std::span<const std::byte> rest, std::uint64_t total) {
    copy_bytes(bytes, rest);
    bytes[rest.size()] = std::byte{0x80};
    size = rest.size() + 9 <= Sha256::kBlock ? Sha256::kBlock : 2 * Sha256::kBlock;
    const std::uint64_t bits = total * 8;
    const std::span<std::byte> length = std::span(bytes).subspan(size - 8);
    store_be32(length.first<4>(), static_cast<std::uint32_t>(bits >> 32));
    store_be32(length.subspan(4).first<4>(), static_cast<std::uint32_t>(bits));
  }
  std::span<const std::byte> span() const LIFETIMEBOUND { return std::span(bytes).first(size); }
  std::array<std::byte, 2 * Sha256::kBlock> bytes{};
  std::size_t size;
};

}  // namespace

void set_sha256_hardware(bool available) { hardware.store(available, std::memory_order_relaxed); }
bool sha256_hardware() { return hardware.load(std::memory_order_relaxed); }

Sha256::Sha256() : state_(kInitial) {}

void Sha256::update(std::span<const std::byte> data) {
  total_ += data.size();
  if (buffered_ != 0) {
    const std::size_t count = std::min(data.size(), kBlock - buffered_);
    copy_bytes(std::span(buffer_).subspan(buffered_), data.first(count));
    buffered_ += count;
    data = data.subspan(count);
    if (buffered_ < kBlock) return;
    compress(state_, buffer_);
    buffered_ = 0;
  }
  const std::size_t whole = data.size() / kBlock * kBlock;
  if (whole != 0) compress(state_, data.first(whole));
  data = data.subspan(whole);
  copy_bytes(buffer_, data);
  buffered_ = data.size();
}

Sha256Digest Sha256::finish() {
  const Tail tail(std::span(buffer_).first(buffered_), total_);
  compress(state_, tail.span());
  return digest_of(state_);
}

Sha256Digest sha256(std::span<const std::byte> data) {
  Sha256 hash;
  hash.update(data);
  return hash.finish();
}

Sha256Digest sha256(std::span<const std::byte> prefix, std::span<const std::byte> data) {
  Sha256 hash;
  hash.update(prefix);
  hash.update(data);
  return hash.finish();
}

void sha256_pair(std::span<const std::byte> prefix, std::span<const std::byte> a, std::span<const std::byte> b, Sha256Digest& digest_a,
                 Sha256Digest& digest_b) {
  KASSERT(a.size() == b.size());
  constexpr std::size_t kBlock = Sha256::kBlock;
  if (prefix.size() > kBlock || a.size() < kBlock) {
    digest_a = sha256(prefix, a);
    digest_b = sha256(prefix, b);
    return;
  }
  const std::uint64_t total = prefix.size() + a.size();
  Sha256::State state_a = kInitial, state_b = kInitial;
  std::size_t at = 0;
  if (!prefix.empty()) {
    // The block that holds the prefix and the start of the data.
    at = kBlock - prefix.size();
    std::array<std::byte, kBlock> first_a{}, first_b{};
    copy_bytes(first_a, prefix);
    copy_bytes(first_b, prefix);
    copy_bytes(std::span(first_a).subspan(prefix.size()), a.first(at));
    copy_bytes(std::span(first_b).subspan(prefix.size()), b.first(at));
    compress_two(state_a, state_b, first_a, first_b);
  }
  const std::size_t whole = (a.size() - at) / kBlock * kBlock;
  if (whole != 0) compress_two(state_a, state_b, a.subspan(at, whole), b.subspan(at, whole));
  const Tail tail_a(a.subspan(at + whole), total);
  const Tail tail_b(b.subspan(at + whole), total);
  compress_two(state_a, state_b, tail_a.span(), tail_b.span());
  digest_a = digest_of(state_a);
  digest_b = digest_of(state_b);
}

}  // namespace kernel
