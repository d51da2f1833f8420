// A file, and a program's view of memory, for tests of AddressSpace.
#ifndef TESTS_KERNEL_MM_SPACE_HELPERS_H
#define TESTS_KERNEL_MM_SPACE_HELPERS_H

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <vector>

#define abi linux_abi  // libstdc++ has a namespace abi of its own
#include "abi/mm.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "tests/kernel_mm/fake_enclave.h"

namespace kernel_mm_test {

using kernel::Access;
using kernel::AddressSpace;
using kernel::Errno;
using kernel::FileBacking;
using kernel::kPageSize;
using kernel::MapRequest;
using kernel::Placement;
using kernel::Ref;
using kernel::RefPtr;
using kernel::Result;
inline constexpr std::uint64_t kPage = 4096;
inline constexpr std::uint32_t kNone = 0, kR = 1, kRW = 3, kRX = 5, kRWX = 7;

class TestFile final : public FileBacking {
 public:
  explicit TestFile(std::size_t size, unsigned char tag) : bytes(size) {
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(tag + i / kPageSize * 3 + i % 251);
  }
  Result<> read_page(std::uint64_t index, kernel::PageView into) override {
    ++reads;
    if (fail_page == static_cast<long>(index)) return Errno::io;
    std::memset(into.data(), 0, into.size());
    const std::size_t at = index * kPageSize;
    if (at < bytes.size()) std::memcpy(into.data(), bytes.data() + at, std::min<std::size_t>(kPageSize, bytes.size() - at));
    return {};
  }
  Result<> write_page(std::uint64_t index, kernel::ConstPageView from) override {
    ++writes;
    const std::size_t at = index * kPageSize;
    if (at < bytes.size()) std::memcpy(bytes.data() + at, from.data(), std::min<std::size_t>(kPageSize, bytes.size() - at));
    return {};
  }
  std::uint64_t size() override { return bytes.size(); }
  bool is_immutable() const override { return immutable; }
  std::vector<unsigned char> bytes;
  bool immutable = false;
  long fail_page = -1;
  std::atomic<int> reads = 0, writes = 0;
};

inline Ref<TestFile> make_file(std::size_t size, unsigned char tag) {
  auto made = kernel::make_ref<TestFile>(size, tag);
  return std::move(made).release();
}
inline Ref<AddressSpace> make_space() {
  auto made = AddressSpace::create();
  return std::move(made).release();
}

// A byte access as the program does it: the processor checks the EPCM, a fault goes to populate(). The error, or 0.
inline Errno user_access(AddressSpace& space, std::uint64_t address, Access access) {
  const auto allowed = [&] {
    const int permissions = epcm(address & ~std::uint64_t{4095});
    if (permissions < 0) return false;
    return (permissions & (access == Access::write ? 2 : access == Access::execute ? 4 : 1)) != 0;
  };
  for (int tries = 0; tries < 3; ++tries) {
    if (allowed()) return Errno{};
    if (const auto populated = space.populate(address, access); !populated.ok()) return populated.error();
  }
  return Errno::deadlk;
}
inline unsigned char& user_byte(std::uint64_t address) { return *reinterpret_cast<unsigned char*>(address); }
// The byte, or -errno.
inline int load(AddressSpace& space, std::uint64_t address) {
  const Errno error = user_access(space, address, Access::read);
  return error == Errno{} ? user_byte(address) : -static_cast<int>(error);
}
inline int store(AddressSpace& space, std::uint64_t address, unsigned char value) {
  const Errno error = user_access(space, address, Access::write);
  if (error != Errno{}) return -static_cast<int>(error);
  user_byte(address) = value;
  return 0;
}

inline std::uint64_t map_anonymous(AddressSpace& space, std::uint64_t size, std::uint32_t prot = kRW) {
  MapRequest request;
  request.size = size;
  request.prot = prot;
  return space.map(request).value_or(0);
}
inline Result<std::uint64_t> map_fixed(AddressSpace& space, std::uint64_t address, std::uint64_t size, std::uint32_t prot = kRW,
                                       Placement placement = Placement::fixed) {
  MapRequest request;
  request.address = address;
  request.size = size;
  request.prot = prot;
  request.placement = placement;
  return space.map(request);
}
inline Result<std::uint64_t> map_file(AddressSpace& space, const Ref<TestFile>& file, std::uint64_t size, std::uint32_t prot,
                                      bool shared = false, std::uint64_t offset = 0) {
  MapRequest request;
  request.size = size;
  request.prot = prot;
  request.shared = shared;
  request.file = Ref<FileBacking>(file);
  request.offset = offset;
  return space.map(request);
}

#define EXPECT_NO_VIOLATIONS()                                                                            \
  do {                                                                                                    \
    EXPECT_TRUE(kernel_mm_test::violations.empty()) << kernel_mm_test::violations.front() << " (and more)"; \
    kernel_mm_test::violations.clear();                                                                   \
  } while (false)

}  // namespace kernel_mm_test

#endif  // TESTS_KERNEL_MM_SPACE_HELPERS_H
