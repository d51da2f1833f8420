#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "host_abi/entry.h"
#include "image/config_blob.h"
#include "image/json_reader.h"
#include "image/little_endian.h"
#include "image/occlum_json.h"
#include "tests/image/fixture.h"

namespace {

using nlohmann::json;

json good() { return json::parse(image::occlum_json_template()); }

std::string error_of(const json& value) {
  const auto config = image::parse_occlum_json(value.dump(), "Occlum.json");
  return config ? "" : config.error();
}

TEST(Sizes, IntegerAndUnit) {
  EXPECT_EQ(image::parse_size("4096B"), 4096U);
  EXPECT_EQ(image::parse_size("192KB"), 192U * 1024);
  EXPECT_EQ(image::parse_size("300MB"), 300ULL << 20);
  EXPECT_EQ(image::parse_size("1GB"), 1ULL << 30);
  EXPECT_EQ(image::parse_size("2TB"), 2ULL << 40);
  for (const char* bad : {"", "300", "300 MB", "1.5GB", "-1MB", "+1MB", "MB", "B", "300mb", "300M", "300MiB", "0x10MB", "99999999999TB", "18446744073709551616B"}) {
    EXPECT_FALSE(image::parse_size(bad).has_value()) << bad;
  }
}

TEST(OcclumJson, TemplateIsGoodAndUsesEdmm) {
  const auto config = image::parse_occlum_json(image::occlum_json_template(), "Occlum.json");
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_TRUE(config->feature.enable_edmm);
  EXPECT_EQ(config->limits.user_space_size, 300ULL << 20);
  EXPECT_EQ(config->limits.elrange_size, 1ULL << 40);
  EXPECT_EQ(config->entry_points, std::vector<std::string>{"/bin"});
  ASSERT_EQ(config->mounts.size(), 4U);
  EXPECT_EQ(config->mounts[0].layers.size(), 2U);
  EXPECT_FALSE(config->metadata.disable_log);
  EXPECT_TRUE(config->warnings.empty());
}

struct Mistake {
  const char* pointer;  // where the value is set
  const char* value;    // JSON text
  const char* path;     // in the message
  const char* part;     // also in the message
};

void PrintTo(const Mistake& mistake, std::ostream* out) { *out << mistake.pointer << " = " << mistake.value; }

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, OneLineNamesFilePathAndExpectation) {
  const Mistake& mistake = GetParam();
  json value = good();
  value[json::json_pointer(mistake.pointer)] = json::parse(mistake.value);
  const std::string error = error_of(value);
  ASSERT_FALSE(error.empty());
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  EXPECT_TRUE(error.starts_with(fmt::format("Occlum.json: {}: expected ", mistake.path))) << error;
  EXPECT_NE(error.find(mistake.part), std::string::npos) << error;
  EXPECT_NE(error.find(", found "), std::string::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(
    Values, Mistakes,
    testing::Values(
        Mistake{"/resource_limits/user_space_size", "\"300\"", "resource_limits.user_space_size", "\"300\""},
        Mistake{"/resource_limits/user_space_size", "300", "resource_limits.user_space_size", "integer and unit"},
        Mistake{"/resource_limits/user_space_size", "\"1KB\"", "resource_limits.user_space_size", "at least 1MB"},
        Mistake{"/resource_limits/user_space_size", "\"1048577B\"", "resource_limits.user_space_size", "multiple of 4KB"},
        Mistake{"/resource_limits/user_space_max_size", "\"100MB\"", "resource_limits.user_space_max_size", "at least user_space_size"},
        Mistake{"/resource_limits/kernel_space_heap_size", "true", "resource_limits.kernel_space_heap_size", "true"},
        Mistake{"/resource_limits/kernel_space_heap_max_size", "\"1MB\"", "resource_limits.kernel_space_heap_max_size", "at least"},
        Mistake{"/resource_limits/kernel_space_stack_size", "\"1GBB\"", "resource_limits.kernel_space_stack_size", "1GBB"},
        Mistake{"/resource_limits/max_num_of_threads", "0", "resource_limits.max_num_of_threads", "from 1"},
        Mistake{"/resource_limits/max_num_of_threads", "-1", "resource_limits.max_num_of_threads", "-1"},
        Mistake{"/resource_limits/max_num_of_threads", "1.5", "resource_limits.max_num_of_threads", "integer"},
        Mistake{"/resource_limits/max_num_of_threads", "\"32\"", "resource_limits.max_num_of_threads", "integer"},
        Mistake{"/resource_limits/init_num_of_threads", "64", "resource_limits.init_num_of_threads", "at most max_num_of_threads"},
        Mistake{"/resource_limits/elrange_size", "\"100GB\"", "resource_limits.elrange_size", "power of two"},
        Mistake{"/resource_limits/user_space", "\"1MB\"", "resource_limits.user_space", "an unknown key"},
        Mistake{"/process/default_stack_size", "\"4mb\"", "process.default_stack_size", "4mb"},
        Mistake{"/process/default_stack_size", "\"32GB\"", "process.default_stack_size", "less than the user space"},
        Mistake{"/process/default_heap_size", "null", "process.default_heap_size", "null"},
        Mistake{"/process/stack", "1", "process.stack", "an unknown key"},
        Mistake{"/entry_points", "\"/bin\"", "entry_points", "array"},
        Mistake{"/entry_points", "[]", "entry_points", "at least one"},
        Mistake{"/entry_points/0", "\"bin\"", "entry_points[0]", "absolute"},
        Mistake{"/entry_points/0", "\"/bin/../etc\"", "entry_points[0]", "absolute path without"},
        Mistake{"/entry_points/0", "7", "entry_points[0]", "a string"},
        Mistake{"/env/default/0", "\"OCCLUM\"", "env.default[0]", "NAME=value"},
        Mistake{"/env/default/0", "\"=x\"", "env.default[0]", "NAME=value"},
        Mistake{"/env/default", "[\"A=1\", \"A=2\"]", "env.default[1]", "once"},
        Mistake{"/env/untrusted/0", "\"A=1\"", "env.untrusted[0]", "without"},
        Mistake{"/env/trusted", "[]", "env.trusted", "an unknown key"},
        Mistake{"/metadata/product_id", "65536", "metadata.product_id", "65535"},
        Mistake{"/metadata/version_number", "\"1\"", "metadata.version_number", "integer"},
        Mistake{"/metadata/debuggable", "1", "metadata.debuggable", "true or false"},
        Mistake{"/metadata/enable_kss", "\"yes\"", "metadata.enable_kss", "true or false"},
        Mistake{"/metadata/family_id/high", "\"12\"", "metadata.family_id.high", "0x"},
        Mistake{"/metadata/ext_prod_id/low", "\"0x11112222333344445\"", "metadata.ext_prod_id.low", "16 hex"},
        Mistake{"/metadata/family_id", "\"0x0\"", "metadata.family_id", "object"},
        Mistake{"/metadata/name", "\"x\"", "metadata.name", "an unknown key"},
        Mistake{"/feature/amx", "3", "feature.amx", "from 0 to 2"},
        Mistake{"/feature/pkru", "true", "feature.pkru", "from 0 to 2"},
        Mistake{"/feature/pkru", "2", "feature.pkru", "0 or 1"}, Mistake{"/metadata/pkru", "2", "feature.pkru", "0 or 1"},
        Mistake{"/feature/io_uring", "17", "feature.io_uring", "from 0 to 16"},
        Mistake{"/feature/enable_edmm", "\"Y\"", "feature.enable_edmm", "true or false"},
        Mistake{"/feature/edmm", "true", "feature.edmm", "an unknown key"},
        Mistake{"/mount", "{}", "mount", "array"},
        Mistake{"/mount/1/type", "\"nfs\"", "mount[1].type", "one of sefs, hostfs"},
        Mistake{"/mount/1/target", "\"host\"", "mount[1].target", "absolute"},
        Mistake{"/mount/1/target", "\"/proc\"", "mount[2].target", "each target once"},
        Mistake{"/mount/1/source", "\"\"", "mount[1].source", "host folder"},
        Mistake{"/mount/2/source", "\"x\"", "mount[2].source", "no source"},
        Mistake{"/mount/2/options", "{\"x\": 1}", "mount[2].options.x", "an unknown key"},
        Mistake{"/mount/2/flags", "1", "mount[2].flags", "an unknown key"},
        Mistake{"/mount/0", "{\"target\": \"/\", \"type\": \"ramfs\"}", "mount[0].type", "unionfs or sefs"},
        Mistake{"/mount/0/options/layers", "[]", "mount[0].options.layers", "exactly two layers"},
        Mistake{"/mount/0/options/layers/1/type", "\"ext2\"", "mount[0].options.layers[1].type", "\"sefs\""},
        Mistake{"/mount/0/options/layers/1/options", "{\"temporary\": 1}", "mount[0].options.layers[1].options.temporary", "true or false"},
        Mistake{"/mount/0/options/layers/1/options", "{\"cache_size\": \"64KB\"}", "mount[0].options.layers[1].options.cache_size", "at least 192KB"},
        Mistake{"/mount/0/options/layers/1/options", "{\"cache_size\": \"64MB\"}", "mount[0].options.layers[1].options.cache_size", "kernel heap"},
        Mistake{"/mount/4", "{\"target\": \"/ext2\", \"type\": \"ext2\", \"source\": \"./run/ext2\"}", "mount[4].options.disk_size", "at least 5GB"},
        Mistake{"/mount/4", "{\"target\": \"/e\", \"type\": \"ext2\", \"options\": {\"disk_size\": \"1GB\"}}", "mount[4].options.disk_size", "1GB"},
        Mistake{"/autokey_policy", "1", "autokey_policy", "an unknown key"}));

TEST(OcclumJson, EveryRequiredKeyIsMissed) {
  for (const char* pointer : {"/resource_limits", "/process", "/entry_points", "/env", "/metadata", "/mount", "/resource_limits/user_space_size",
                              "/resource_limits/kernel_space_heap_size", "/resource_limits/kernel_space_stack_size",
                              "/resource_limits/max_num_of_threads", "/process/default_stack_size", "/process/default_heap_size", "/env/default",
                              "/env/untrusted", "/metadata/product_id", "/metadata/version_number", "/metadata/debuggable"}) {
    json value = good();
    const json::json_pointer where(pointer);
    value[where.parent_pointer()].erase(where.back());
    const std::string error = error_of(value);
    std::string path = std::string(pointer).substr(1);
    std::ranges::replace(path, '/', '.');
    EXPECT_NE(error.find(fmt::format("Occlum.json: {}: expected ", path)), std::string::npos) << error;
    EXPECT_NE(error.find("nothing (the key is missing)"), std::string::npos) << error;
  }
}

TEST(OcclumJson, OptionalKeysMayBeAbsent) {
  json value = good();
  value.erase("feature");
  value["process"].erase("default_mmap_size");
  value["metadata"].erase("family_id");
  value["metadata"].erase("enable_kss");
  EXPECT_EQ(error_of(value), "");
}

TEST(OcclumJson, AllMistakesAreReportedAtOnce) {
  json value = good();
  value["process"]["x"] = 1;
  value["metadata"]["debuggable"] = 1;
  value["feature"]["amx"] = 9;
  const std::string error = error_of(value);
  EXPECT_EQ(std::ranges::count(error, '\n'), 2) << error;
}

TEST(OcclumJson, TextThatIsNotJson) {
  for (const char* text : {"", "{", "[]", "7", "{\"a\": 1 /* no */}", "{} // no", "{\"env\": {}, \"env\": {}}", "\xff\xfe"}) {
    const auto config = image::parse_occlum_json(text, "Occlum.json");
    ASSERT_FALSE(config.has_value()) << text;
    EXPECT_TRUE(config.error().starts_with("Occlum.json: ")) << config.error();
  }
  const auto twice = image::parse_occlum_json("{\"env\": {}, \"env\": {}}", "Occlum.json");
  EXPECT_NE(twice.error().find("the key twice"), std::string::npos) << twice.error();
  const auto line = image::parse_occlum_json("{\n\"a\": ,\n}", "Occlum.json");
  EXPECT_NE(line.error().find("line 2"), std::string::npos) << line.error();
}

TEST(OcclumJson, RandomChangesNeverCrash) {
  const std::string text(image::occlum_json_template());
  std::uint32_t seed = 7;
  for (int round = 0; round < 3000; ++round) {
    std::string changed = text;
    for (int i = 0; i < 2; ++i) {
      seed = seed * 1664525 + 1013904223;
      changed[(seed >> 8) % changed.size()] = static_cast<char>(seed >> 3);
    }
    const auto config = image::parse_occlum_json(changed, "Occlum.json");
    if (!config) EXPECT_FALSE(config.error().empty());
  }
}

TEST(OcclumJson, KeysWithoutEffectAreWarnedOf) {
  json value = good();
  value["feature"]["pkru"] = 1;
  value["feature"]["io_uring"] = 2;
  value["metadata"]["pkru"] = 1;
  value["resource_limits"]["marshal_buffer_size"] = "1MB";
  const auto config = image::parse_occlum_json(value.dump(), "Occlum.json");
  ASSERT_TRUE(config.has_value()) << config.error();
  EXPECT_EQ(config->warnings.size(), 4U);
}

TEST(OcclumJson, LimitsFollowEdmm) {
  json value = good();
  auto config = image::parse_occlum_json(value.dump(), "f");
  EXPECT_EQ(image::user_space_limit(*config), 16ULL << 30);
  EXPECT_EQ(image::kernel_heap_limit(*config), 1ULL << 30);
  value["feature"]["enable_edmm"] = false;
  config = image::parse_occlum_json(value.dump(), "f");
  EXPECT_EQ(image::user_space_limit(*config), 300ULL << 20);
  EXPECT_EQ(image::kernel_heap_limit(*config), 32ULL << 20);
  value["resource_limits"]["user_space_max_size"] = "2TB";
  config = image::parse_occlum_json(value.dump(), "f");
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(image::user_space_limit(*config), 2ULL << 40);
  EXPECT_EQ(config->limits.elrange_size, 4ULL << 40);
}

std::vector<std::string> strings_of(const image::Bytes& blob, const host_abi::StringList& list) {
  std::vector<std::string> strings;
  std::string current;
  for (std::uint32_t i = 0; i < list.bytes; ++i) {
    const char c = static_cast<char>(blob.at(list.offset + i));
    if (c != '\0') {
      current += c;
      continue;
    }
    strings.push_back(current);
    current.clear();
  }
  EXPECT_EQ(strings.size(), list.count);
  return strings;
}

TEST(ConfigBlob, HoldsWhatTheFileSays) {
  json value = good();
  value["metadata"]["enable_kss"] = true;
  value["metadata"]["debuggable"] = false;
  value["feature"]["amx"] = 1;
  value["mount"][0]["options"]["layers"][1]["options"] = {{"temporary", true}};
  const auto config = image::parse_occlum_json(value.dump(), "f");
  ASSERT_TRUE(config.has_value()) << config.error();
  host_abi::VerityParams verity = {};
  verity.data_blocks = 77;
  const image::Bytes blob = image::make_config_blob(*config, verity, 12345);
  const auto header = image::load<host_abi::ConfigHeader>(blob, 0);
  EXPECT_EQ(header.magic, host_abi::kConfigMagic);
  EXPECT_EQ(header.version, 1U);
  EXPECT_EQ(header.total_size, blob.size());
  EXPECT_EQ(header.flags, host_abi::kConfigEdmm | host_abi::kConfigKss | host_abi::kConfigDisableLog);
  EXPECT_EQ(header.ssa_frame_pages, 4U);
  EXPECT_EQ(header.tcs_count, 1U);
  EXPECT_EQ(header.max_threads, 32U);
  EXPECT_EQ(header.kernel_heap_size, 32ULL << 20);
  EXPECT_EQ(header.user_space_size, 300ULL << 20);
  EXPECT_EQ(header.user_space_max_size, 16ULL << 30);
  EXPECT_EQ(header.default_stack_size, 4ULL << 20);
  EXPECT_EQ(header.build_epoch, 12345U);
  EXPECT_EQ(header.image.data_blocks, 77U);
  EXPECT_EQ(strings_of(blob, header.entry_points), std::vector<std::string>{"/bin"});
  EXPECT_EQ(strings_of(blob, header.env_default), std::vector<std::string>{"OCCLUM=yes"});
  EXPECT_EQ(strings_of(blob, header.env_untrusted), std::vector<std::string>{"EXAMPLE"});
  EXPECT_EQ(strings_of(blob, header.mounts),
            (std::vector<std::string>{"unionfs\t/\t\tlower=sefs:./build/mount/__ROOT,upper=sefs:./run/mount/__ROOT,temporary",
                                      "hostfs\t/host\t.\t", "procfs\t/proc\t\t", "devfs\t/dev\t\t"}));
  EXPECT_EQ(blob, image::make_config_blob(*config, verity, 12345));
}

TEST(ConfigBlob, WithoutEdmmEverythingIsCommitted) {
  json value = good();
  value["feature"]["enable_edmm"] = false;
  value["resource_limits"]["user_space_size"] = "1MB";
  value["resource_limits"]["user_space_max_size"] = "512MB";
  value["process"]["default_stack_size"] = "8MB";
  value["resource_limits"]["max_num_of_threads"] = 500;
  const auto config = image::parse_occlum_json(value.dump(), "f");
  ASSERT_TRUE(config.has_value()) << config.error();
  const auto header = image::load<host_abi::ConfigHeader>(image::make_config_blob(*config, {}, 0), 0);
  EXPECT_EQ(header.user_space_size, 512ULL << 20);
  EXPECT_EQ(header.user_space_max_size, 512ULL << 20);
  EXPECT_EQ(header.kernel_heap_size, header.kernel_heap_max);
  EXPECT_EQ(header.tcs_count, host_abi::kMaxVcpus);
  EXPECT_EQ(header.flags & host_abi::kConfigEdmm, 0U);
}

}  // namespace
