// The expected hashes were computed outside this code, with Python's struct and hashlib, from the record layouts of the SDM.
#include "sgx/measure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

namespace {

constexpr std::uint64_t kSize = std::uint64_t{1} << 36;
constexpr const char* kCreateOnly = "1d37d14f06f5905f2b592ec03541d7c13951e2d94673d836948b00579e69552c";
constexpr const char* kOneUnmeasured = "0444f91d9bb9cc0d75394dd6dcba3509c254f053d4c31fea8b89c6d5935a7cd9";
constexpr const char* kOneMeasured = "63d1c51684a3ad51a6094c20f2625904429b7576dac38f246f4d95ab43ec9591";

std::string hex(const sgx::Measurement& measurement) {
  const auto hash = measurement.finish();
  return hash ? fmt::format("{:02x}", fmt::join(*hash, "")) : hash.error().message;
}

std::array<std::uint8_t, 4096> pattern() {
  std::array<std::uint8_t, 4096> page{};
  for (std::size_t i = 0; i < page.size(); ++i) page.at(i) = static_cast<std::uint8_t>(i * 7 + (i >> 8));
  return page;
}

TEST(Measure, Vectors) {
  sgx::Measurement m(1, kSize);
  EXPECT_EQ(hex(m), kCreateOnly);
  m.eadd(0x10000, 0x203);
  EXPECT_EQ(hex(m), kOneUnmeasured);  // finish() does not end the measurement
  m.add_measured_page(0xf00012000, 0x205, pattern());
  EXPECT_EQ(hex(m), kOneMeasured);
}

TEST(Measure, ChunkByChunkIsTheSame) {
  sgx::Measurement m(1, kSize);
  m.eadd(0x10000, 0x203);
  const auto page = pattern();
  m.eadd(0xf00012000, 0x205);
  for (std::size_t at = 0; at < page.size(); at += 256) {
    m.eextend(0xf00012000 + at, std::span(page).subspan(at).first<256>());
  }
  EXPECT_EQ(hex(m), kOneMeasured);
}

TEST(Measure, EveryInputMatters) {
  const auto measure = [](std::uint32_t frame, std::uint64_t size, std::uint64_t offset, std::uint64_t flags, bool measured) {
    sgx::Measurement m(frame, size);
    if (measured) {
      m.add_measured_page(offset, flags, pattern());
    } else {
      m.eadd(offset, flags);
    }
    return hex(m);
  };
  const std::string base = measure(1, kSize, 0x10000, 0x203, true);
  EXPECT_EQ(base, measure(1, kSize, 0x10000, 0x203, true));
  EXPECT_NE(base, measure(4, kSize, 0x10000, 0x203, true));
  EXPECT_NE(base, measure(1, kSize * 2, 0x10000, 0x203, true));
  EXPECT_NE(base, measure(1, kSize, 0x11000, 0x203, true));
  EXPECT_NE(base, measure(1, kSize, 0x10000, 0x205, true));
  EXPECT_NE(base, measure(1, kSize, 0x10000, 0x203, false));
}

TEST(Measure, OrderMatters) {
  sgx::Measurement a(1, kSize);
  a.eadd(0x10000, 0x203);
  a.eadd(0x11000, 0x203);
  sgx::Measurement b(1, kSize);
  b.eadd(0x11000, 0x203);
  b.eadd(0x10000, 0x203);
  EXPECT_NE(hex(a), hex(b));
}

TEST(Measure, MovedFromReportsAnError) {
  sgx::Measurement a(1, kSize);
  const sgx::Measurement b(std::move(a));
  EXPECT_EQ(hex(b), kCreateOnly);
  a.eadd(0x10000, 0x203);  // NOLINT(bugprone-use-after-move): the point of the test
  EXPECT_FALSE(a.finish().has_value());
}

TEST(Measure, Sha256Vector) {
  const std::string text = "abc";
  const auto hash = sgx::sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  ASSERT_TRUE(hash.has_value());
  EXPECT_EQ(fmt::format("{:02x}", fmt::join(*hash, "")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
