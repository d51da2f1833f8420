#include "sgx/enclave_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "host_abi/entry.h"
#include "sgx/measure.h"
#include "tests/sgx/fixture.h"

namespace {

using sgx_test::error_of;
using sgx_test::make_blob;
using sgx_test::make_config;
using sgx_test::make_inputs;

sgx::EnclaveFile build(const sgx::EnclaveFileInputs& inputs) {
  const auto bytes = sgx::build_enclave_file(inputs, sgx_test::load_key("key.pem"));
  if (!bytes) throw std::runtime_error(bytes.error().message);
  auto file = sgx::EnclaveFile::parse(*bytes, "test");
  if (!file) throw std::runtime_error(file.error().message);
  return std::move(*file);
}

std::string build_error(const sgx::EnclaveFileInputs& inputs) {
  return error_of(sgx::build_enclave_file(inputs, sgx_test::load_key("key.pem")));
}

const sgx::Region* region_at(const sgx::EnclaveFile& file, std::uint64_t address) {
  for (const sgx::Region& region : file.regions()) {
    if (region.offset == address) return &region;
  }
  return nullptr;
}

TEST(EnclaveFile, RoundTripThroughAFile) {
  const std::string path = testing::TempDir() + "/round_trip_enclave.bin";
  const sgx::SigningParams params{.debuggable = true, .isv_prod_id = 7, .isv_svn = 3};
  const auto mrenclave = sgx::write_enclave_file(make_inputs(params), sgx_test::load_key("key.pem"), path);
  ASSERT_TRUE(mrenclave.has_value()) << mrenclave.error().message;
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644U);

  const auto info = sgx::enclave_file_info(path);
  ASSERT_TRUE(info.has_value()) << info.error().message;
  EXPECT_EQ(info->mrenclave, *mrenclave);
  EXPECT_EQ(info->mrsigner, *sgx_test::load_key("key.pem").mrsigner());
  EXPECT_TRUE(info->debuggable);
  EXPECT_FALSE(info->kss);
  EXPECT_TRUE(info->edmm);
  EXPECT_EQ(info->isv_prod_id, 7);
  EXPECT_EQ(info->isv_svn, 3);
  EXPECT_EQ(info->date, 0x20231114U);
  EXPECT_EQ(info->tcs_count, 2U);
  EXPECT_EQ(info->attributes.flags, sgx::kAttrMode64 | sgx::kAttrDebug);

  const auto file = sgx::EnclaveFile::open(path);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(*sgx::measure_enclave_file(*file), *mrenclave);
  EXPECT_TRUE(sgx::verify_enclave_file(*file).has_value());
  for (const sgx::Region& region : file->regions()) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region.content.data()) % 4096, 0U);  // the driver wants aligned sources
  }
  std::filesystem::remove(path);
}

TEST(EnclaveFile, BytesAreDeterministic) {
  const auto key = sgx_test::load_key("key.pem");
  const auto a = sgx::build_enclave_file(make_inputs(), key);
  const auto b = sgx::build_enclave_file(make_inputs(), key);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*a, *b);
}

TEST(EnclaveFile, EveryMeasuredInputChangesMrenclave) {
  std::map<sgx::Hash, std::string> seen;
  const auto add = [&](const std::string& name, const sgx::EnclaveFileInputs& inputs) {
    const sgx::Hash hash = build(inputs).sigstruct().enclave_hash;
    const auto [at, fresh] = seen.emplace(hash, name);
    EXPECT_TRUE(fresh) << name << " is like " << at->second;
  };
  add("base", make_inputs());
  auto inputs = make_inputs();
  inputs.kernel_path = sgx_test::data_path("kernel_relr.elf");
  add("kernel", inputs);
  inputs.kernel_path = sgx_test::data_path("kernel_norelro.elf");
  add("kernel without RELRO", inputs);
  inputs.kernel_path = sgx_test::data_path("kernel_gaps.elf");
  add("kernel with gaps", inputs);
  inputs = make_inputs();
  inputs.config.back() ^= 1;
  add("configuration", inputs);
  inputs = make_inputs();
  inputs.boot_heap_size = 512 * 1024;
  add("heap", inputs);
  auto config = make_config();
  config.tcs_count = 3;
  inputs.config = make_blob(config);
  add("tcs count", inputs);
  config = make_config();
  config.elrange_size *= 2;
  inputs.config = make_blob(config);
  add("elrange", inputs);
  config = make_config();
  config.ssa_frame_pages = 4;
  inputs.config = make_blob(config);
  add("ssa frame", inputs);
  // Not measured: what only the SIGSTRUCT says.
  inputs = make_inputs({.isv_svn = 77});
  EXPECT_TRUE(seen.contains(build(inputs).sigstruct().enclave_hash));
}

TEST(EnclaveFile, LayoutTableDescribesThePages) {
  const sgx::EnclaveFile file = build(make_inputs());
  const host_abi::KernelLayout& layout = file.layout();
  const std::uint64_t size = std::uint64_t{1} << 36;
  EXPECT_EQ(layout.elrange_size, size);
  EXPECT_EQ(layout.kernel_base, size - size / 16);
  EXPECT_EQ(layout.image.start, layout.kernel_base);
  EXPECT_EQ(layout.config.start, layout.image.end() + 4096);
  EXPECT_EQ(layout.tcs_count, 2U);
  EXPECT_EQ(layout.tcs_slots, host_abi::kMaxVcpus);
  EXPECT_EQ(layout.user.start, 0x10000U);
  EXPECT_EQ(layout.user_committed, 0U);
  EXPECT_EQ(layout.heap.size, 256U * 1024U);
  EXPECT_EQ(layout.heap_max, 16U << 20);
  EXPECT_TRUE(std::ranges::equal(file.config(), make_inputs().config));

  const sgx::Region* heap = region_at(file, layout.heap.start);
  ASSERT_NE(heap, nullptr);
  EXPECT_FALSE(heap->measured);
  EXPECT_EQ(heap->size, layout.heap.size);
  EXPECT_EQ(heap->secinfo_flags, sgx::kSecinfoRegRw);
  const sgx::Region* text = region_at(file, layout.text.start);
  ASSERT_NE(text, nullptr);
  EXPECT_EQ(text->secinfo_flags, sgx::kSecinfoRegRx);
  EXPECT_TRUE(text->measured);
}

TEST(EnclaveFile, SlotsHaveTcsBlockStacksAndGuards) {
  const sgx::EnclaveFile file = build(make_inputs());
  const host_abi::KernelLayout& layout = file.layout();
  for (std::uint32_t i = 0; i < layout.tcs_count; ++i) {
    const sgx::Region* tcs_region = region_at(file, layout.slot(i));
    ASSERT_NE(tcs_region, nullptr);
    EXPECT_EQ(tcs_region->type(), sgx::PageType::tcs);
    sgx::Tcs tcs{};
    ASSERT_EQ(tcs_region->content.size(), sizeof(tcs));
    std::memcpy(&tcs, tcs_region->content.data(), sizeof(tcs));
    EXPECT_EQ(tcs.ossa, layout.ssa_frame(i, 0));
    EXPECT_EQ(tcs.nssa, 3U);
    EXPECT_EQ(tcs.cssa, 0U);
    EXPECT_EQ(tcs.oentry, layout.entry);
    EXPECT_EQ(tcs.ogsbase, layout.vcpu_block(i));
    EXPECT_EQ(tcs.ofsbase, layout.vcpu_block(i));
    EXPECT_EQ(tcs.gs_limit & 0xfff, 0xfffU);
    EXPECT_EQ(region_at(file, layout.ssa_frame(i, 0))->size, 3U * 4096U);

    host_abi::VcpuSeed seed{};
    std::memcpy(&seed, region_at(file, layout.vcpu_block(i))->content.data(), sizeof(seed));
    EXPECT_EQ(seed.self, layout.vcpu_block(i));
    EXPECT_EQ(seed.index, i);
    EXPECT_EQ(seed.layout, layout.image.end());
    for (const std::uint64_t top : {seed.entry_stack_top, seed.exception_stack_top}) {
      const sgx::Region* stack = region_at(file, top - 32 * 1024);
      ASSERT_NE(stack, nullptr);
      EXPECT_EQ(stack->size, 32U * 1024U);
      // The pages below and above a stack are never added.
      for (const sgx::Region& region : file.regions()) {
        EXPECT_FALSE(region.offset <= top && top < region.offset + region.size);
        const std::uint64_t below = stack->offset - 1;
        EXPECT_FALSE(region.offset <= below && below < region.offset + region.size);
      }
    }
  }
}

TEST(EnclaveFile, WithoutEdmmEverythingIsCommitted) {
  const sgx::EnclaveFile file = build(make_inputs({}, false));
  const host_abi::KernelLayout& layout = file.layout();
  EXPECT_EQ(layout.heap.size, 1U << 20);
  EXPECT_EQ(layout.heap_max, 1U << 20);
  EXPECT_EQ(layout.user_committed, 32U << 20);
  const sgx::Region* user = region_at(file, 0x10000);
  ASSERT_NE(user, nullptr);
  EXPECT_EQ(user->size, 32U << 20);
  EXPECT_EQ(user->secinfo_flags, sgx::kSecinfoRegRwx);
  EXPECT_FALSE(user->measured);
}

TEST(EnclaveFile, BootHeapIsAtMostTheConfiguredHeap) {
  auto inputs = make_inputs();
  inputs.boot_heap_size = std::uint64_t{1} << 60;
  EXPECT_EQ(build(inputs).layout().heap.size, 1U << 20);
  inputs.boot_heap_size = 5000;
  EXPECT_EQ(build(inputs).layout().heap.size, 8192U);
  inputs.boot_heap_size = 0;
  EXPECT_EQ(build(inputs).layout().heap.size, 4096U);
}

TEST(EnclaveFile, SecsForTheMachine) {
  const sgx::EnclaveFile file = build(make_inputs());
  auto secs = sgx::make_secs(file, {.host_xfrm = 0x602e7});
  ASSERT_TRUE(secs.has_value());
  EXPECT_EQ(secs->size, std::uint64_t{1} << 36);
  EXPECT_EQ(secs->base, 0U);
  EXPECT_EQ(secs->ssa_frame_pages, 1U);
  EXPECT_EQ(secs->miscselect, sgx::kMiscExinfo);
  EXPECT_EQ(secs->attributes.flags, sgx::kAttrMode64);
  EXPECT_EQ(secs->attributes.xfrm, 0x2e7U);  // no AMX: one page cannot hold its state
  EXPECT_EQ(sgx::make_secs(file, {.host_xfrm = 0x63})->attributes.xfrm, 0x3U);  // half of AVX-512 is none of it
  EXPECT_NE(error_of(sgx::make_secs(file, {.host_xfrm = 1})).find("requires processor features"), std::string::npos);
  EXPECT_NE(error_of(sgx::make_secs(file, {.config_svn = 1})).find("key separation"), std::string::npos);

  auto inputs = make_inputs({.kss = true});
  auto config = make_config({.kss = true});
  config.ssa_frame_pages = 4;
  inputs.config = make_blob(config);
  secs = sgx::make_secs(build(inputs), {.host_xfrm = 0x602e7, .config_svn = 9});
  ASSERT_TRUE(secs.has_value());
  EXPECT_EQ(secs->attributes.xfrm, 0x602e7U);
  EXPECT_EQ(secs->config_svn, 9);
  inputs.signing.require_amx = true;
  EXPECT_EQ(sgx::make_secs(build(inputs), {.host_xfrm = 0x602e7})->attributes.xfrm, 0x602e7U);
  EXPECT_NE(error_of(sgx::make_secs(build(inputs), {.host_xfrm = 0x2e7})).find("feature.amx"), std::string::npos);
}

TEST(EnclaveFile, BadConfigurationsAreRefusedByName) {
  const auto refused = [](void (*change)(host_abi::ConfigHeader&)) {
    auto inputs = make_inputs();
    auto config = make_config();
    change(config);
    inputs.config = make_blob(config);
    return build_error(inputs);
  };
  using Config = host_abi::ConfigHeader;
  const std::vector<std::pair<const char*, void (*)(Config&)>> cases{
      {"not a configuration", [](Config& c) { c.magic = 1; }},
      {"version 2", [](Config& c) { c.version = 2; }},
      {"elrange_size", [](Config& c) { c.elrange_size += 4096; }},
      {"elrange_size", [](Config& c) { c.elrange_size = std::uint64_t{1} << 35; }},
      {"elrange_size", [](Config& c) { c.elrange_size = std::uint64_t{1} << 47; }},
      {"ssa_frame_pages", [](Config& c) { c.ssa_frame_pages = 0; }},
      {"ssa_frame_pages", [](Config& c) { c.ssa_frame_pages = 5; }},
      {"tcs_count", [](Config& c) { c.tcs_count = 0; }},
      {"tcs_count", [](Config& c) { c.tcs_count = 65; }},
      {"kernel_heap_size", [](Config& c) { c.kernel_heap_size = 0; }},
      {"kernel_heap_size", [](Config& c) { c.kernel_heap_size += 1; }},
      {"kernel_heap_max", [](Config& c) { c.kernel_heap_max = 4096; }},
      {"kernel_heap_max", [](Config& c) { c.kernel_heap_max = ~std::uint64_t{4095}; }},
      {"kernel_heap_max", [](Config& c) { c.kernel_heap_max = std::uint64_t{5} << 30; }},
      {"user_space_size", [](Config& c) { c.user_space_size = 5; }},
      {"user_space_size", [](Config& c) { c.flags = 0; c.user_space_size = c.elrange_size; }},
      {"attributes", [](Config& c) { c.attributes = 0; }},
      {"attributes", [](Config& c) { c.attributes_mask = 0; }},
      {"miscselect", [](Config& c) { c.miscselect = 0; }},
      {"debug and KSS", [](Config& c) { c.flags |= host_abi::kConfigDebuggable; }},
      {"debug and KSS", [](Config& c) { c.flags |= host_abi::kConfigKss; }},
  };
  for (const auto& [expected, change] : cases) {
    const std::string error = refused(change);
    EXPECT_NE(error.find(expected), std::string::npos) << expected << ": " << error;
  }
  auto inputs = make_inputs();
  inputs.config.push_back(0);
  EXPECT_NE(build_error(inputs).find("total_size"), std::string::npos);
  inputs.config.resize(10);
  EXPECT_NE(build_error(inputs).find("not a configuration"), std::string::npos);
}

TEST(EnclaveFile, OtherBadInputs) {
  auto inputs = make_inputs();
  inputs.kernel_path = "/nonexistent/kernel.elf";
  EXPECT_NE(build_error(inputs).find("/nonexistent/kernel.elf"), std::string::npos);
  inputs.kernel_path = sgx_test::data_path("key.pem");
  EXPECT_NE(build_error(inputs).find("key.pem: not a 64-bit"), std::string::npos);
  sgx::SigningParams params;
  params.isv_family_id[0] = 1;
  EXPECT_NE(build_error(make_inputs(params)).find("needs KSS"), std::string::npos);
  EXPECT_NE(error_of(sgx::write_enclave_file(make_inputs(), sgx_test::load_key("key.pem"), "/nonexistent/x")).find("/nonexistent/x"),
            std::string::npos);
  EXPECT_NE(error_of(sgx::EnclaveFile::open("/nonexistent/x")).find("/nonexistent/x"), std::string::npos);
  EXPECT_NE(error_of(sgx::EnclaveFile::open("/tmp")).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of(sgx::EnclaveFile::open(sgx_test::data_path("kernel.elf"))).find("bad magic"), std::string::npos);
}

}  // namespace
