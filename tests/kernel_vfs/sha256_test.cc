#include "kernel/crypto/sha256.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace {

std::string hex(const kernel::Sha256Digest& digest) {
  std::string text;
  for (const std::byte b : digest) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}
std::string hash(const std::string& text) { return hex(kernel::sha256(std::as_bytes(std::span(text)))); }

// FIPS 180-4 examples (NIST, "SHA256.pdf").
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesPairsAndPrefixesAgree) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> prefix(random() % 65), a(random() % 5000), b(a.size());
    for (auto* bytes : {&prefix, &a, &b})
      for (std::byte& byte : *bytes) byte = static_cast<std::byte>(random());
    std::vector<std::byte> joined = prefix;
    joined.insert(joined.end(), a.begin(), a.end());
    const kernel::Sha256Digest expected = kernel::sha256(joined);
    kernel::Sha256 pieces;
    for (std::size_t at = 0; at < joined.size();) {
      const std::size_t count = std::min<std::size_t>(joined.size() - at, 1 + random() % 200);
      pieces.update(std::span(joined).subspan(at, count));
      at += count;
    }
    EXPECT_EQ(pieces.finish(), expected);
    EXPECT_EQ(kernel::sha256(prefix, a), expected);
    kernel::Sha256Digest first{}, second{};
    kernel::sha256_pair(prefix, a, b, first, second);
    EXPECT_EQ(first, expected);
    EXPECT_EQ(second, kernel::sha256(prefix, b));
  }
}

}  // namespace
