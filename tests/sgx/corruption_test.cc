// A damaged or hostile enclave file is refused, whichever byte it is, and never crashes the reader.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "sgx/enclave_file.h"
#include "tests/sgx/fixture.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

const Bytes& good() {
  static const Bytes bytes = [] {
    auto built = sgx::build_enclave_file(sgx_test::make_inputs(), sgx_test::load_key("key.pem"));
    if (!built) throw std::runtime_error(built.error().message);
    return *built;
  }();
  return bytes;
}

// Nothing if a loader would go on to run it.
std::string refusal(const Bytes& bytes) {
  const auto file = sgx::EnclaveFile::parse(bytes, "test.bin");
  if (!file) return file.error().message;
  const auto verified = sgx::verify_enclave_file(*file);
  return verified ? "" : verified.error().message;
}

TEST(Corruption, TheGoodFileIsGood) { EXPECT_EQ(refusal(good()), ""); }

TEST(Corruption, TwoHundredSeededBytesAnywhere) {
  std::mt19937_64 random(20231114);
  for (int seed = 0; seed < 200; ++seed) {
    Bytes bytes = good();
    const std::size_t at = random() % bytes.size();
    bytes[at] ^= static_cast<std::uint8_t>(1 + random() % 255);
    const std::string error = refusal(bytes);
    EXPECT_NE(error.find("test.bin"), std::string::npos) << "byte " << at << ": " << error;
  }
}

TEST(Corruption, EveryByteOfHeaderAndPlan) {
  const std::size_t plan_end = 4096;
  Bytes bytes = good();
  for (std::size_t at = 0; at < plan_end; ++at) {
    bytes[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
    EXPECT_NE(refusal(bytes), "") << "byte " << at;
    bytes[at] = good()[at];
  }
}

TEST(Corruption, EveryLength) {
  for (std::size_t size = 0; size < good().size(); size += size < 9000 ? 61 : 4096) {
    EXPECT_NE(refusal(Bytes(good().begin(), good().begin() + static_cast<std::ptrdiff_t>(size))), "") << size;
  }
  Bytes longer = good();
  longer.resize(longer.size() + 4096);
  EXPECT_NE(refusal(longer), "");
}

// Whole fields with values that invite overflow, in header, plan, layout table and configuration.
TEST(Corruption, HostileWords) {
  const std::vector<std::uint64_t> values{0,          1,          0xfff,       0x1000,      0x7fffffff, 0xffffffff, std::uint64_t{1} << 36,
                                          ~0ULL << 12, ~0ULL,     1ULL << 63,  0xf00000000, 8,          0x10000,    1ULL << 47};
  sgx::FileHeader header{};
  std::memcpy(&header, good().data(), sizeof(header));
  const auto file = sgx::EnclaveFile::parse(good(), "good");
  ASSERT_TRUE(file.has_value());
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < header.regions_offset + header.region_count * sizeof(sgx::FileRegion); i += 8) places.push_back(i);
  std::size_t layout_at = 0;
  std::size_t content_at = header.sigstruct_offset + 4096;
  for (const sgx::Region& region : file->regions()) {
    if (region.offset == header.layout_address) layout_at = content_at;
    content_at += region.content.size();
  }
  ASSERT_NE(layout_at, 0U);
  for (std::size_t i = 0; i < sizeof(host_abi::KernelLayout); i += 8) places.push_back(layout_at + i);
  for (std::size_t i = 0; i < sizeof(host_abi::ConfigHeader); i += 8) places.push_back(layout_at + 4096 + i);
  for (const std::size_t place : places) {
    for (const std::uint64_t value : values) {
      Bytes bytes = good();
      std::memcpy(bytes.data() + place, &value, sizeof(value));
      if (bytes == good()) continue;
      // Parsing alone must be safe; a change that parses would change the measurement.
      const auto parsed = sgx::EnclaveFile::parse(bytes, "test.bin");
      if (parsed) EXPECT_NE(*sgx::measure_enclave_file(*parsed), file->sigstruct().enclave_hash) << place;
    }
  }
}

TEST(Corruption, MessagesNameTheCause) {
  const auto after = [](const std::function<void(Bytes&)>& change) {
    Bytes bytes = good();
    change(bytes);
    return refusal(bytes);
  };
  sgx::FileHeader header{};
  std::memcpy(&header, good().data(), sizeof(header));
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(has(after([](Bytes& b) { b[0] ^= 1; }), "bad magic"));
  EXPECT_TRUE(has(after([](Bytes& b) { b[8] = 9; }), "version 9"));
  EXPECT_TRUE(has(after([](Bytes& b) { b.resize(b.size() - 4096); }), "its header says"));
  EXPECT_TRUE(has(after([&](Bytes& b) { b[header.sigstruct_offset + 600] ^= 1; }), "signature is not valid"));
  EXPECT_TRUE(has(after([&](Bytes& b) { b[header.sigstruct_offset] ^= 1; }), "SIGSTRUCT is malformed"));
  EXPECT_TRUE(has(after([&](Bytes& b) { b[header.sigstruct_offset + 1900] = 1; }), "padding"));
  EXPECT_TRUE(has(after([&](Bytes& b) { b[header.sigstruct_offset + 4096 + 64] ^= 1; }), "changed after signing"));
}

// A well-formed file signed for other pages: the reader takes it, the measurement does not.
TEST(Corruption, SwappedSigstruct) {
  auto other = sgx_test::make_inputs();
  other.config.back() ^= 1;
  const auto built = sgx::build_enclave_file(other, sgx_test::load_key("other_key.pem"));
  ASSERT_TRUE(built.has_value());
  Bytes bytes = good();
  sgx::FileHeader header{};
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::memcpy(bytes.data() + header.sigstruct_offset, built->data() + header.sigstruct_offset, sizeof(sgx::Sigstruct));
  EXPECT_NE(refusal(bytes).find("changed after signing"), std::string::npos);
}

}  // namespace
