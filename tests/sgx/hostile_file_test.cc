// Each rule of the reader has a file that breaks only that rule: parse() alone must refuse it, with the message of the rule.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>
#include <functional>

#include "sgx/enclave_file.h"
#include "tests/sgx/fixture.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

// A file as fields that can be changed one by one and put together again.
class Editor {
 public:
  Editor() {
    const auto built = sgx::build_enclave_file(sgx_test::make_inputs(), sgx_test::load_key("key.pem"));
    if (!built) throw std::runtime_error(built.error().message);
    bytes_ = *built;
    std::memcpy(&header, bytes_.data(), sizeof(header));
    regions.resize(header.region_count);
    std::memcpy(regions.data(), bytes_.data() + header.regions_offset, regions.size() * sizeof(sgx::FileRegion));
    std::memcpy(&layout, content(header.layout_address), sizeof(layout));
    std::memcpy(&config, content(layout.config.start), sizeof(config));
  }

  sgx::FileRegion& at(std::uint64_t address) {
    for (sgx::FileRegion& region : regions) {
      if (region.offset == address) return region;
    }
    throw std::runtime_error("no such region");
  }
  std::uint8_t* content(std::uint64_t address) { return bytes_.data() + at(address).file_offset; }
  Bytes& bytes() { return bytes_; }

  std::string error() {
    store(at(layout_address_).file_offset, layout);
    store(at(config_address_).file_offset, config);
    std::memcpy(bytes_.data(), &header, sizeof(header));
    std::memcpy(bytes_.data() + sizeof(header), regions.data(), regions.size() * sizeof(sgx::FileRegion));
    return sgx_test::error_of(sgx::EnclaveFile::parse(bytes_, "hostile.bin"));
  }
  // After one region was taken out of `regions`.
  void drop_last_plan_entry() {
    header.region_count -= 1;
    std::memset(bytes_.data() + sizeof(header) + regions.size() * sizeof(sgx::FileRegion), 0, sizeof(sgx::FileRegion));
  }
  // Gives a measured region without content zero pages as content.
  void insert_content(std::uint64_t address) {
    std::uint64_t place = 0;
    for (sgx::FileRegion& region : regions) {
      if (region.offset == address) {
        region.flags |= sgx::kRegionContent;
        region.file_offset = place;
        bytes_.insert(bytes_.begin() + static_cast<std::ptrdiff_t>(place), region.size, 0);
        header.file_size += region.size;
        place += region.size;
      } else if ((region.flags & sgx::kRegionContent) != 0) {
        if (place > region.file_offset) region.file_offset = place;
        place = region.file_offset + region.size;
      }
    }
  }
  void freeze_places() {
    layout_address_ = header.layout_address;
    config_address_ = layout.config.start;
  }

  sgx::FileHeader header{};
  std::vector<sgx::FileRegion> regions;
  host_abi::KernelLayout layout{};
  host_abi::ConfigHeader config{};

 private:
  template <class T>
  void store(std::uint64_t offset, const T& value) {
    if (offset + sizeof(T) <= bytes_.size()) std::memcpy(bytes_.data() + offset, &value, sizeof(T));
  }

  Bytes bytes_;
  std::uint64_t layout_address_ = 0, config_address_ = 0;
};

struct Case {
  const char* expected;
  std::function<void(Editor&)> change;
};

void run(const std::vector<Case>& cases) {
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Editor editor;
    editor.freeze_places();
    ASSERT_EQ(editor.error(), "(no error)");
    cases[i].change(editor);
    const std::string error = editor.error();
    EXPECT_NE(error.find("enclave file hostile.bin: "), std::string::npos) << i << ": " << error;
    EXPECT_NE(error.find(cases[i].expected), std::string::npos) << i << ": " << error;
  }
}

TEST(HostileFile, Header) {
  run({
      {"version 2", [](Editor& e) { e.header.version = 2; }},
      {"bad header size", [](Editor& e) { e.header.header_size = 64; }},
      {"bad header size", [](Editor& e) { e.header.regions_offset = 4096; }},
      {"its header says", [](Editor& e) { e.header.file_size += 4096; }},
      {"reserved header bytes", [](Editor& e) { e.header.reserved[7] = 1; }},
      {"bad number of regions", [](Editor& e) { e.header.region_count = 0; }},
      {"bad number of regions", [](Editor& e) { e.header.region_count = 5000; }},
      {"not behind the load plan", [](Editor& e) { e.header.sigstruct_offset += 4096; }},
      {"ends before its SIGSTRUCT",
       [](Editor& e) {
         e.header.region_count = sgx::kMaxRegions;
         e.header.sigstruct_offset = (sizeof(e.header) + sgx::kMaxRegions * sizeof(sgx::FileRegion) + 4095) / 4096 * 4096;
         e.bytes().resize(e.header.sigstruct_offset);
         e.header.file_size = e.header.sigstruct_offset;
       }},
      {"not a power of two", [](Editor& e) { e.header.elrange_size -= 1; }},
      {"disagree on ELRANGE", [](Editor& e) { e.header.elrange_size *= 2; }},
      {"disagree on ELRANGE", [](Editor& e) { e.header.ssa_frame_pages = 2; }},
      {"no kernel layout table", [](Editor& e) { e.header.layout_address += 4096; }},
      {"no kernel layout table", [](Editor& e) { e.header.layout_address = e.layout.text.start; }},
  });
}

TEST(HostileFile, Sizes) {
  for (const std::size_t size : {0U, 1U, 127U}) {
    const std::string error = sgx_test::error_of(sgx::EnclaveFile::parse(Bytes(size, 0x43), "hostile.bin"));
    EXPECT_EQ(error, "enclave file hostile.bin: bad size of " + std::to_string(size) + " bytes");
  }
  const std::string path = testing::TempDir() + "/hostile_size.bin";
  std::ofstream(path) << "OCCLENC1";
  EXPECT_EQ(sgx_test::error_of(sgx::EnclaveFile::open(path)), "enclave file " + path + ": bad size of 8 bytes");
  ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(sgx::kMaxFileSize + 4096)), 0);  // a sparse file: nothing is read
  EXPECT_NE(sgx_test::error_of(sgx::EnclaveFile::open(path)).find("bad size of"), std::string::npos);
  unlink(path.c_str());
}

TEST(HostileFile, Regions) {
  run({
      {"not whole pages", [](Editor& e) { e.regions[0].offset += 1; }},
      {"not whole pages", [](Editor& e) { e.regions[0].size = 0; }},
      {"not whole pages", [](Editor& e) { e.regions[0].size += 8; }},
      {"outside ELRANGE", [](Editor& e) { e.regions[0].offset = 0xf000; }},
      {"outside ELRANGE", [](Editor& e) { e.regions[0].offset = e.header.elrange_size; }},
      {"outside ELRANGE", [](Editor& e) { e.at(e.layout.heap.start).size = ~std::uint64_t{4095}; }},
      {"bad SECINFO flags", [](Editor& e) { e.regions[0].secinfo_flags |= sgx::kSecinfoPending; }},
      {"bad SECINFO flags", [](Editor& e) { e.regions[0].secinfo_flags |= 1U << 16; }},
      {"bad page type", [](Editor& e) { e.regions[0].secinfo_flags = 0x001; }},
      {"bad page type", [](Editor& e) { e.regions[0].secinfo_flags = 0x401; }},
      {"a TCS has no permissions", [](Editor& e) { e.at(e.layout.slot(0)).secinfo_flags |= sgx::kSecinfoR; }},
      {"must be readable", [](Editor& e) { e.regions[0].secinfo_flags = 0x202; }},
      {"bad flags", [](Editor& e) { e.regions[0].flags |= 4; }},
      {"bad flags", [](Editor& e) { e.regions[0].reserved = 1; }},
      {"content that is not measured", [](Editor& e) { e.regions[0].flags = sgx::kRegionContent; }},
      {"not where it must be", [](Editor& e) { e.regions[0].file_offset += 4096; }},
      {"not where it must be", [](Editor& e) { e.regions.back().flags = 3; e.regions.back().file_offset = e.header.file_size; }},
      {"a file offset without content", [](Editor& e) { e.regions.back().file_offset = 4096; }},
      {"overlap", [](Editor& e) { e.at(e.layout.heap.start).offset = e.layout.slot(0) - 4096; }},
      {"overlap", [](Editor& e) { e.regions[1].offset = e.regions[0].offset; }},
  });
}

TEST(HostileFile, LayoutAndConfiguration) {
  run({
      {"no kernel layout table", [](Editor& e) { e.layout.magic ^= 1; }},
      {"unsupported kernel layout", [](Editor& e) { e.layout.version = 2; }},
      {"unsupported kernel layout", [](Editor& e) { e.layout.size = 8; }},
      {"behind the kernel layout table", [](Editor& e) { e.content(e.header.layout_address)[4095] = 1; }},
      {"no configuration where", [](Editor& e) { e.layout.config.start += 4096; }},
      {"no configuration where", [](Editor& e) { e.layout.config.size = 1 << 20; }},
      {"behind the configuration", [](Editor& e) { e.content(e.layout.config.start)[e.at(e.layout.config.start).size - 1] = 1; }},
      {"tcs_count", [](Editor& e) { e.config.tcs_count = 0; }},
      {"bad image range", [](Editor& e) { e.layout.image.start += 4096; }},
      {"bad image range", [](Editor& e) { e.layout.image.size -= 4096; }},
      {"does not follow from the configuration", [](Editor& e) { e.layout.kernel_base = 0; }},
      {"does not follow from the configuration", [](Editor& e) { e.layout.guard_size = 0; }},
      {"does not follow from the configuration", [](Editor& e) { e.layout.tcs_stride += 4096; }},
      {"does not follow from the configuration", [](Editor& e) { e.layout.heap_max *= 2; }},
      {"does not follow from the configuration", [](Editor& e) { e.layout.user.start = 0; }},
      {"does not follow from the configuration", [](Editor& e) { e.layout.reserved[3] = 1; }},
      {"does not follow from the configuration", [](Editor& e) { e.config.kernel_heap_max += 4096; }},
      {"does not follow from the configuration", [](Editor& e) { e.config.tcs_count = 3; }},
      {"kernel_heap_max", [](Editor& e) { e.config.kernel_heap_max = std::uint64_t{5} << 30; }},
  });
}

TEST(HostileFile, ImageAndPlannedRegions) {
  run({
      {"does not fit the kernel image", [](Editor& e) { e.at(e.layout.text.start).secinfo_flags = sgx::kSecinfoRegRwx; }},
      {"does not fit the kernel image", [](Editor& e) { e.regions[0].secinfo_flags = sgx::kSecinfoRegRw; }},
      {"parts of the kernel image overlap", [](Editor& e) { e.layout.rodata.size += 4096; }},
      {"lies outside it", [](Editor& e) { e.layout.data.size += 4096; }},
      {"lies outside it", [](Editor& e) { e.layout.data.size = ~std::uint64_t{0} - e.layout.data.start; }},
      {"kernel image is not complete",
       [](Editor& e) {
         std::erase_if(e.regions, [&](const sgx::FileRegion& region) {
           return region.offset > e.layout.data.start && region.offset < e.layout.image.end();  // .bss
         });
         e.drop_last_plan_entry();
       }},
      {"entry point is not in", [](Editor& e) { e.layout.entry = e.layout.data.start; }},
      {"does not follow from the layout", [](Editor& e) { e.at(e.layout.heap.start).secinfo_flags = sgx::kSecinfoRegRwx; }},
      {"does not follow from the layout", [](Editor& e) { e.at(e.layout.heap.start).flags = sgx::kRegionMeasured; }},
      {"does not follow from the layout", [](Editor& e) { e.at(e.layout.heap.start).size += 4096; }},
      {"does not follow from the layout", [](Editor& e) { e.at(e.layout.ssa_frame(0, 0)).flags = 0; }},
      {"does not follow from the layout", [](Editor& e) { e.content(e.layout.slot(1))[8] = 1; }},   // TCS.FLAGS
      {"does not follow from the layout", [](Editor& e) { e.content(e.layout.slot(1))[24] = 1; }},  // TCS.CSSA
      {"does not follow from the layout", [](Editor& e) { e.content(e.layout.slot(0))[33] ^= 1; }},  // TCS.OENTRY
      {"does not follow from the layout", [](Editor& e) { e.content(e.layout.vcpu_block(0))[8] ^= 1; }},
      {"does not follow from the layout", [](Editor& e) { e.content(e.layout.vcpu_block(0))[4000] = 1; }},
      {"does not follow from the layout", [](Editor& e) { e.insert_content(e.layout.ssa_frame(0, 0)); }},
      {"is missing",
       [](Editor& e) {  // the last region, the heap, has no content
         e.regions.pop_back();
         e.drop_last_plan_entry();
       }},
  });
}

TEST(HostileFile, Padding) {
  run({
      {"padding", [](Editor& e) { e.bytes()[e.header.sigstruct_offset - 1] = 1; }},
      {"padding", [](Editor& e) { e.bytes()[e.header.sigstruct_offset + sizeof(sgx::Sigstruct)] = 1; }},
      {"bytes behind the content",
       [](Editor& e) {
         e.bytes().resize(e.bytes().size() + 4096);
         e.header.file_size += 4096;
       }},
      {"not a multiple of 4096",
       [](Editor& e) {
         e.bytes().resize(e.bytes().size() + 8);
         e.header.file_size += 8;
       }},
  });
}

}  // namespace
