#include "image/occlum_json.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <set>

#include "image/files.h"
#include "image/json_reader.h"

namespace image {
namespace {

using Need = JsonObject::Need;
using nlohmann::json;

constexpr std::uint64_t kKb = 1024;
constexpr std::uint64_t kMb = 1024 * kKb;
constexpr std::uint64_t kGb = 1024 * kMb;
constexpr std::uint64_t kTb = 1024 * kGb;
constexpr std::uint64_t kPage = 4 * kKb;
constexpr std::uint64_t kDefaultElrange = kTb;
constexpr std::uint64_t kEdmmUserMax = 16 * kGb;  // upstream's limits with EDMM when the file names none
constexpr std::uint64_t kEdmmHeapMax = kGb;

constexpr std::string_view kTemplate = R"json({
    "resource_limits": {
        "kernel_space_heap_size": "32MB",
        "kernel_space_stack_size": "1MB",
        "user_space_size": "300MB",
        "max_num_of_threads": 32
    },
    "process": {
        "default_stack_size": "4MB",
        "default_heap_size": "32MB",
        "default_mmap_size": "100MB"
    },
    "entry_points": [
        "/bin"
    ],
    "env": {
        "default": [
            "OCCLUM=yes"
        ],
        "untrusted": [
            "EXAMPLE"
        ]
    },
    "metadata": {
        "product_id": 0,
        "version_number": 0,
        "debuggable": true,
        "enable_kss": false,
        "family_id": {
            "high": "0x0",
            "low": "0x0"
        },
        "ext_prod_id": {
            "high": "0x0",
            "low": "0x0"
        }
    },
    "feature": {
        "amx": 0,
        "pkru": 0,
        "io_uring": 0,
        "enable_edmm": true,
        "enable_posix_shm": false
    },
    "mount": [
        {
            "target": "/",
            "type": "unionfs",
            "options": {
                "layers": [
                    {
                        "target": "/",
                        "type": "sefs",
                        "source": "./build/mount/__ROOT",
                        "options": {
                            "MAC": ""
                        }
                    },
                    {
                        "target": "/",
                        "type": "sefs",
                        "source": "./run/mount/__ROOT"
                    }
                ]
            }
        },
        {
            "target": "/host",
            "type": "hostfs",
            "source": "."
        },
        {
            "target": "/proc",
            "type": "procfs"
        },
        {
            "target": "/dev",
            "type": "devfs"
        }
    ]
}
)json";

bool has_control_characters(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// True for an absolute path without "..", "." and empty parts (a trailing slash is tolerated).
bool is_clean_absolute(std::string_view path) {
  if (!path.starts_with('/') || has_control_characters(path)) return false;
  const std::filesystem::path parsed(path);
  return std::ranges::none_of(parsed, [](const auto& part) { return part == ".." || part == "."; }) &&
         path.find("//") == std::string_view::npos;
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

ResourceLimits parse_limits(const json& value, JsonErrors& errors, std::vector<std::string>& warnings) {
  JsonObject object(value, "resource_limits", errors);
  ResourceLimits limits;
  const SizeRange heap = {.minimum = kMb, .maximum = kTb, .multiple = kPage};
  const SizeRange user = {.minimum = kMb, .maximum = 32 * kTb, .multiple = kPage};
  limits.kernel_space_heap_size = object.size("kernel_space_heap_size", Need::required, heap).value_or(0);
  limits.kernel_space_heap_max_size = object.size("kernel_space_heap_max_size", Need::optional, heap);
  limits.kernel_space_stack_size =
      object.size("kernel_space_stack_size", Need::required, {.minimum = 16 * kKb, .maximum = kGb, .multiple = kPage}).value_or(0);
  limits.user_space_size = object.size("user_space_size", Need::required, user).value_or(0);
  limits.user_space_max_size = object.size("user_space_max_size", Need::optional, user);
  limits.max_num_of_threads = static_cast<std::uint32_t>(object.number("max_num_of_threads", Need::required, 1, 65536).value_or(0));
  if (const auto count = object.number("init_num_of_threads", Need::optional, 1, 65536)) {
    limits.init_num_of_threads = static_cast<std::uint32_t>(*count);
    if (limits.max_num_of_threads != 0 && *count > limits.max_num_of_threads) {
      errors.add(object.path_of("init_num_of_threads"), fmt::format("at most max_num_of_threads ({})", limits.max_num_of_threads),
                 std::to_string(*count));
    }
  }
  if (object.size("marshal_buffer_size", Need::optional)) {
    warnings.push_back(fmt::format("{}: resource_limits.marshal_buffer_size has no effect here", errors.file()));
  }
  limits.elrange_size = object.size("elrange_size", Need::optional, {.minimum = 64 * kGb, .maximum = 64 * kTb}).value_or(0);
  if (limits.elrange_size != 0 && !std::has_single_bit(limits.elrange_size)) {
    errors.add(object.path_of("elrange_size"), "a power of two from 64GB to 64TB", format_size(limits.elrange_size));
  }
  object.finish();
  return limits;
}

ProcessDefaults parse_process(const json& value, JsonErrors& errors) {
  JsonObject object(value, "process", errors);
  ProcessDefaults process;
  const SizeRange range = {.minimum = 64 * kKb, .maximum = 32 * kTb, .multiple = kPage};
  process.stack_size = object.size("default_stack_size", Need::required, range).value_or(0);
  process.heap_size = object.size("default_heap_size", Need::required, range).value_or(0);
  process.mmap_size = object.size("default_mmap_size", Need::optional, range).value_or(100 * kMb);
  object.finish();
  return process;
}

KssId parse_kss_id(JsonObject& parent, std::string_view key) {
  KssId id;
  if (const json* value = parent.object(key, Need::optional)) {
    JsonObject object(*value, parent.path_of(key), parent.errors());
    id.high = object.hex_number("high", Need::required).value_or(0);
    id.low = object.hex_number("low", Need::required).value_or(0);
    object.finish();
  }
  return id;
}

Metadata parse_metadata(const json& value, JsonErrors& errors, std::optional<std::uint64_t>& old_pkru) {
  JsonObject object(value, "metadata", errors);
  Metadata metadata;
  constexpr std::uint64_t kU16 = std::numeric_limits<std::uint16_t>::max();
  metadata.product_id = static_cast<std::uint16_t>(object.number("product_id", Need::required, 0, kU16).value_or(0));
  metadata.version_number = static_cast<std::uint16_t>(object.number("version_number", Need::required, 0, kU16).value_or(0));
  metadata.debuggable = object.boolean("debuggable", Need::required).value_or(true);
  metadata.disable_log = object.boolean("disable_log", Need::optional).value_or(!metadata.debuggable);
  metadata.enable_kss = object.boolean("enable_kss", Need::optional).value_or(false);
  metadata.family_id = parse_kss_id(object, "family_id");
  metadata.ext_prod_id = parse_kss_id(object, "ext_prod_id");
  old_pkru = object.number("pkru", Need::optional, 0, 2);
  object.finish();
  return metadata;
}

Features parse_features(const json& value, JsonErrors& errors, std::vector<std::string>& warnings) {
  JsonObject object(value, "feature", errors);
  Features feature;
  feature.amx = static_cast<Use>(object.number("amx", Need::optional, 0, 2).value_or(0));
  feature.pkru = static_cast<Use>(object.number("pkru", Need::optional, 0, 2).value_or(0));
  feature.io_uring = static_cast<std::uint32_t>(object.number("io_uring", Need::optional, 0, 16).value_or(0));
  feature.enable_edmm = object.boolean("enable_edmm", Need::optional).value_or(false);
  feature.enable_posix_shm = object.boolean("enable_posix_shm", Need::optional).value_or(false);
  if (feature.io_uring != 0) warnings.push_back(fmt::format("{}: feature.io_uring has no effect here", errors.file()));
  object.finish();
  return feature;
}

std::vector<std::string> parse_entry_points(JsonObject& root) {
  std::vector<std::string> all = root.strings("entry_points", Need::required);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!is_clean_absolute(all[i])) {
      root.errors().add_value(fmt::format("entry_points[{}]", i), "an absolute path without \"..\", like \"/bin\"", json(all[i]));
    }
    all[i] = without_trailing_slash(all[i]);
  }
  if (root.has("entry_points") && root.errors().empty() && all.empty()) {
    root.errors().add("entry_points", "at least one path, else no program can be started", "none");
  }
  return all;
}

void parse_env(const json& value, JsonErrors& errors, OcclumConfig& config) {
  JsonObject object(value, "env", errors);
  config.env_default = object.strings("default", Need::required);
  config.env_untrusted = object.strings("untrusted", Need::required);
  object.finish();
  std::set<std::string> names;
  for (std::size_t i = 0; i < config.env_default.size(); ++i) {
    const std::string& entry = config.env_default[i];
    const std::size_t equals = entry.find('=');
    const std::string path = fmt::format("env.default[{}]", i);
    if (equals == std::string::npos || equals == 0 || entry.find('\0') != std::string::npos) {
      errors.add_value(path, "\"NAME=value\"", json(entry));
    } else if (!names.insert(entry.substr(0, equals)).second) {
      errors.add_value(path, "each variable once", json(entry));
    }
  }
  for (std::size_t i = 0; i < config.env_untrusted.size(); ++i) {
    const std::string& name = config.env_untrusted[i];
    if (name.empty() || name.find('=') != std::string::npos || has_control_characters(name)) {
      errors.add_value(fmt::format("env.untrusted[{}]", i), "the name of a variable, without \"=\"", json(name));
    }
  }
}

struct MountContext {
  JsonErrors& errors;
  std::uint64_t kernel_heap;  // bytes, 0 if unknown
};

Mount parse_mount(const json& value, const std::string& path, const MountContext& context, bool is_layer);

void parse_layers(JsonObject& options, const MountContext& context, Mount& mount) {
  const json* layers = options.array("layers", Need::required);
  if (layers == nullptr) return;
  const std::string path = options.path_of("layers");
  for (std::size_t i = 0; i < layers->size(); ++i) {
    mount.layers.push_back(parse_mount((*layers)[i], fmt::format("{}[{}]", path, i), context, true));
  }
  if (layers->size() != 2) {
    context.errors.add(path, "exactly two layers of type sefs: the image, then the container", fmt::format("{} layers", layers->size()));
  }
}

void parse_mount_options(const json& value, const std::string& path, const MountContext& context, bool is_layer, Mount& mount) {
  JsonObject options(value, path, context.errors);
  if (mount.type == "unionfs") parse_layers(options, context, mount);
  if (mount.type == "sefs") {
    mount.mac = options.string("MAC", Need::optional).value_or("");
    mount.temporary = options.boolean("temporary", Need::optional).value_or(false);
    if (is_layer) options.number("index", Need::optional, 0, 15);
  }
  if (mount.type == "sefs" || mount.type == "ext2") {
    mount.cache_size = options.size("cache_size", Need::optional, {.minimum = 192 * kKb, .multiple = kPage});
    if (mount.cache_size && context.kernel_heap != 0 && *mount.cache_size > context.kernel_heap) {
      context.errors.add(options.path_of("cache_size"), fmt::format("at most the kernel heap ({})", format_size(context.kernel_heap)),
                         format_size(*mount.cache_size));
    }
  }
  if (mount.type == "ext2") mount.disk_size = options.size("disk_size", Need::required, {.minimum = 5 * kGb, .multiple = kPage});
  options.finish();
}

Mount parse_mount(const json& value, const std::string& path, const MountContext& context, bool is_layer) {
  JsonObject object(value, path, context.errors);
  Mount mount;
  mount.type = object.string("type", Need::required).value_or("");
  mount.target = object.string("target", Need::required).value_or("/");
  const bool has_source = object.has("source");
  mount.source = object.string("source", Need::optional).value_or("");
  const json* options = object.object("options", Need::optional);
  object.finish();
  static const std::set<std::string> kTypes = {"sefs", "hostfs", "ramfs", "unionfs", "devfs", "procfs", "ext2"};
  if (object.has("type") && (!kTypes.contains(mount.type) || (is_layer && mount.type != "sefs"))) {
    context.errors.add_value(object.path_of("type"), is_layer ? "\"sefs\"" : "one of sefs, hostfs, ramfs, unionfs, devfs, procfs, ext2",
                       json(mount.type));
    return mount;
  }
  if (!is_clean_absolute(mount.target)) {
    context.errors.add_value(object.path_of("target"), "an absolute path without \"..\"", json(mount.target));
  }
  mount.target = without_trailing_slash(mount.target);
  const bool may_have_source = mount.type == "sefs" || mount.type == "hostfs" || mount.type == "ext2";
  if (has_source && !may_have_source) {
    context.errors.add_value(object.path_of("source"), fmt::format("no source for type {}", mount.type), json(mount.source));
  }
  if (has_control_characters(mount.source)) context.errors.add_value(object.path_of("source"), "a path", json(mount.source));
  if (mount.type == "hostfs" && mount.source.empty()) {
    context.errors.add(object.path_of("source"), "the host folder to show, like \".\"", has_source ? "\"\"" : "nothing (the key is missing)");
  }
  if (options != nullptr || mount.type == "unionfs" || mount.type == "ext2") {
    static const json kNone = json::object();
    parse_mount_options(options != nullptr ? *options : kNone, object.path_of("options"), context, is_layer, mount);
  }
  return mount;
}

std::vector<Mount> parse_mounts(const json& value, const MountContext& context) {
  std::vector<Mount> mounts;
  std::set<std::string> targets;
  int ext2_count = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string path = fmt::format("mount[{}]", i);
    Mount mount = parse_mount(value[i], path, context, false);
    if (!targets.insert(mount.target).second) context.errors.add_value(path + ".target", "each target once", json(mount.target));
    if (mount.target == "/" && mount.type != "unionfs" && mount.type != "sefs" && !mount.type.empty()) {
      context.errors.add_value(path + ".type", "unionfs or sefs for the root \"/\"", json(mount.type));
    }
    if (mount.type == "ext2" && ++ext2_count > 1) context.errors.add(path + ".type", "at most one ext2 mount", "a second one");
    mounts.push_back(std::move(mount));
  }
  if (!targets.contains("/")) context.errors.add("mount", "an entry with target \"/\" (the root file system)", "none");
  return mounts;
}

// Relations between keys, checked when each key by itself is right.
void check_relations(const OcclumConfig& config, JsonErrors& errors) {
  const ResourceLimits& limits = config.limits;
  if (limits.kernel_space_heap_max_size && *limits.kernel_space_heap_max_size < limits.kernel_space_heap_size) {
    errors.add("resource_limits.kernel_space_heap_max_size",
               fmt::format("at least kernel_space_heap_size ({})", format_size(limits.kernel_space_heap_size)),
               format_size(*limits.kernel_space_heap_max_size));
  }
  if (limits.user_space_max_size && *limits.user_space_max_size < limits.user_space_size) {
    errors.add("resource_limits.user_space_max_size", fmt::format("at least user_space_size ({})", format_size(limits.user_space_size)),
               format_size(*limits.user_space_max_size));
  }
  const std::uint64_t user = user_space_limit(config);
  if (config.process.stack_size >= user) {
    errors.add("process.default_stack_size", fmt::format("less than the user space ({})", format_size(user)),
               format_size(config.process.stack_size));
  }
  if (user > limits.elrange_size / 4 * 3) {
    errors.add("resource_limits.user_space_size",
               fmt::format("at most three quarters of elrange_size ({})", format_size(limits.elrange_size)), format_size(user));
  }
  if (kernel_heap_limit(config) > limits.elrange_size / 32) {
    errors.add("resource_limits.kernel_space_heap_size", fmt::format("at most 1/32 of elrange_size ({})", format_size(limits.elrange_size)),
               format_size(kernel_heap_limit(config)));
  }
}

void parse_root(const json& value, JsonErrors& errors, OcclumConfig& config) {
  JsonObject root(value, "", errors);
  std::optional<std::uint64_t> old_pkru;
  if (const json* part = root.object("resource_limits", Need::required)) config.limits = parse_limits(*part, errors, config.warnings);
  if (const json* part = root.object("process", Need::required)) config.process = parse_process(*part, errors);
  config.entry_points = parse_entry_points(root);
  if (const json* part = root.object("env", Need::required)) parse_env(*part, errors, config);
  if (const json* part = root.object("metadata", Need::required)) config.metadata = parse_metadata(*part, errors, old_pkru);
  if (const json* part = root.object("feature", Need::optional)) config.feature = parse_features(*part, errors, config.warnings);
  if (old_pkru) {
    if (config.feature.pkru == Use::off) config.feature.pkru = static_cast<Use>(*old_pkru);
    config.warnings.push_back(fmt::format("{}: metadata.pkru is an old place: use feature.pkru", errors.file()));
  }
  // What is required and cannot be had is an error, not a remark.
  if (config.feature.pkru == Use::required) errors.add("feature.pkru", "0 or 1 (protection keys are not supported yet)", "2");
  if (config.feature.pkru == Use::optional) config.warnings.push_back(fmt::format("{}: feature.pkru has no effect yet", errors.file()));
  const std::uint64_t heap = config.limits.kernel_space_heap_max_size.value_or(config.limits.kernel_space_heap_size);
  if (const json* part = root.array("mount", Need::required)) config.mounts = parse_mounts(*part, {errors, heap});
  root.finish();
}

}  // namespace

std::uint64_t user_space_limit(const OcclumConfig& config) {
  const ResourceLimits& limits = config.limits;
  if (limits.user_space_max_size) return *limits.user_space_max_size;
  return config.feature.enable_edmm ? std::max(limits.user_space_size, kEdmmUserMax) : limits.user_space_size;
}

std::uint64_t kernel_heap_limit(const OcclumConfig& config) {
  const ResourceLimits& limits = config.limits;
  if (limits.kernel_space_heap_max_size) return *limits.kernel_space_heap_max_size;
  return config.feature.enable_edmm ? std::max(limits.kernel_space_heap_size, kEdmmHeapMax) : limits.kernel_space_heap_size;
}

Result<OcclumConfig> parse_occlum_json(std::string_view text, std::string_view file) {
  JsonErrors errors{std::string(file)};
  OcclumConfig config;
  const std::optional<json> value = parse_json(text, errors);
  if (value && errors.empty()) parse_root(*value, errors, config);
  if (config.limits.elrange_size == 0) {
    config.limits.elrange_size = kDefaultElrange;
    while (config.limits.elrange_size < 64 * kTb && user_space_limit(config) > config.limits.elrange_size / 4 * 3) {
      config.limits.elrange_size *= 2;
    }
  }
  if (errors.empty()) check_relations(config, errors);
  if (!errors.empty()) return std::unexpected(errors.text());
  return config;
}

Result<OcclumConfig> load_occlum_json(const std::filesystem::path& path) {
  const std::string text = IMAGE_TRY(read_text(path));
  return parse_occlum_json(text, path.filename().string());
}

std::string_view occlum_json_template() { return kTemplate; }

}  // namespace image
