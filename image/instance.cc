#include "image/instance.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "image/config_blob.h"
#include "image/files.h"
#include "image/program_check.h"
#include "image/tree.h"
#include "sgx/enclave_file.h"

namespace image {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// The running builder: another version may make another image of the same input.
constexpr std::string_view kBuilder = "/proc/self/exe";

// Linux allows 255 bytes; mkfs.erofs 1.5 fails on the last one, with a message that names nothing.
constexpr std::size_t kLongestName = 254;

// A digest over names, types, sizes and times below a folder: it changes when a file changes.
// `abandoned` gets the temporary files met: they do not count.
Status digest_folder(const fs::path& folder, const std::string& prefix, std::string& list, std::vector<fs::path>& abandoned) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) entries.push_back(it->path());
  if (error) return fail("{}: {}", folder.string(), error.message());
  std::ranges::sort(entries);
  for (const fs::path& path : entries) {
    if (is_temp_name(path.filename().string())) {
      abandoned.push_back(path);
      continue;
    }
    struct stat info = {};
    if (::lstat(path.c_str(), &info) != 0) return fail("{}: {}", path.string(), errno_text(errno));
    const std::string name = prefix + "/" + path.filename().string();
    if (path.filename().string().size() > kLongestName) return fail("image{}: its name is longer than {} bytes, which mkfs.erofs cannot pack", name, kLongestName);
    list += fmt::format("{}\n{:o} {} {} {}.{} {}.{}\n", name, info.st_mode, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                        info.st_mtim.tv_nsec, info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
    if (S_ISDIR(info.st_mode)) IMAGE_CHECK(digest_folder(path, name, list, abandoned));
  }
  return {};
}

std::string digest_text(const std::string& text) { return hex(sha256(Bytes(text.begin(), text.end()))); }

Result<std::string> digest_image_folder(const fs::path& folder, std::vector<fs::path>& abandoned) {
  std::string list;
  IMAGE_CHECK(digest_folder(folder, "", list, abandoned));
  return digest_text(list);
}

// Size, time and inode of a file: enough to see that a product is the one that the last build wrote.
std::string file_mark(const fs::path& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return "none";
  return fmt::format("{} {} {}.{}", info.st_size, info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

json load_stamp(const InstancePaths& paths) {
  const Result<std::string> text = read_text(paths.stamp());
  if (!text) return json::object();
  json stamp = json::parse(*text, nullptr, false);
  return stamp.is_object() ? stamp : json::object();
}

std::string stamp_text(const json& stamp, const char* key) {
  const auto found = stamp.find(key);
  return found != stamp.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t stamp_number(const json& stamp, const char* key) {
  const auto found = stamp.find(key);
  return found != stamp.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::array<std::uint8_t, 32> parse_hash(const std::string& text) {
  std::array<std::uint8_t, 32> hash = {};
  for (std::size_t i = 0; i < hash.size() && 2 * i + 2 <= text.size(); ++i) {
    hash.at(i) = static_cast<std::uint8_t>(std::strtoul(text.substr(2 * i, 2).c_str(), nullptr, 16));
  }
  return hash;
}

void save_image_stamp(json& stamp, const ImageResult& result) {
  stamp["root_hash"] = hex(result.verity.root_hash);
  stamp["salt"] = hex(result.verity.salt);
  stamp["salt_size"] = result.verity.salt_size;
  stamp["data_blocks"] = result.verity.data_blocks;
  stamp["hash_offset"] = result.verity.hash_offset;
  stamp["patch_offset"] = result.verity.patch_offset;
  stamp["patch_size"] = result.verity.patch_size;
  stamp["erofs_size"] = result.stats.erofs_size;
  stamp["image_size"] = result.stats.image_size;
  stamp["elf_files"] = result.stats.elf_files;
  stamp["patched_sites"] = result.stats.patched_sites;
  stamp["trapping_sites"] = result.stats.trapping_sites;
}

ImageResult load_image_stamp(const json& stamp) {
  ImageResult result = {};
  result.verity.root_hash = parse_hash(stamp_text(stamp, "root_hash"));
  result.verity.salt = parse_hash(stamp_text(stamp, "salt"));
  result.verity.salt_size = static_cast<std::uint32_t>(stamp_number(stamp, "salt_size"));
  result.verity.data_blocks = stamp_number(stamp, "data_blocks");
  result.verity.hash_offset = stamp_number(stamp, "hash_offset");
  result.verity.patch_offset = stamp_number(stamp, "patch_offset");
  result.verity.patch_size = stamp_number(stamp, "patch_size");
  result.stats.erofs_size = stamp_number(stamp, "erofs_size");
  result.stats.image_size = stamp_number(stamp, "image_size");
  result.stats.elf_files = static_cast<std::uint32_t>(stamp_number(stamp, "elf_files"));
  result.stats.patched_sites = stamp_number(stamp, "patched_sites");
  result.stats.trapping_sites = stamp_number(stamp, "trapping_sites");
  return result;
}

// Holds the instance for one build.
Result<Fd> lock_instance(const InstancePaths& paths) {
  IMAGE_CHECK(make_folders(paths.state()));
  Fd lock = IMAGE_TRY(open_file(paths.lock(), O_RDWR | O_CREAT, 0644));
  static_cast<void>(::fchmod(lock.get(), 0644));  // whatever the umask; only its owner may, and need
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return fail("{}: another occlum command is building this instance: wait for its end", paths.root.string());
  return fail("{}: {}", paths.lock().string(), errno_text(errno));
}

Status write_bill(const InstancePaths& paths, const ImageResult& image, const BuildResult& result) {
  nlohmann::ordered_json bill;
  bill["version"] = 1;
  bill["image.bin"] = {{"sha256", hex(IMAGE_TRY(sha256_file(paths.image_file())))},
                       {"root_hash", hex(image.verity.root_hash)},
                       {"erofs_size", image.stats.erofs_size},
                       {"programs", image.stats.elf_files},
                       {"patched_sites", image.stats.patched_sites},
                       {"trapping_sites", image.stats.trapping_sites}};
  bill["enclave.bin"] = {{"sha256", hex(IMAGE_TRY(sha256_file(paths.enclave_file())))},
                         {"mrenclave", result.mrenclave},
                         {"mrsigner", result.mrsigner}};
  return write_text(paths.bill(), bill.dump(2) + "\n");
}

// What the image depends on.
Result<std::string> image_inputs(const InstancePaths& paths, std::uint64_t epoch, bool keep_modes, std::vector<fs::path>& abandoned) {
  return fmt::format("{} {} {} {}", file_mark(kBuilder), epoch, keep_modes, IMAGE_TRY(digest_image_folder(paths.image(), abandoned)));
}

// What builds that were killed have left in build/. Only for who holds the instance: then none of it is in use.
void remove_leftovers(const InstancePaths& paths) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator it(paths.build(), error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with(kTempPrefix)) leftovers.push_back(it->path());
  }
  for (const fs::path& path : leftovers) fs::remove(path, error);
}

// Products under temporary names. They get their own together, when all are complete: a build that fails or is killed on its way leaves
// what ran before.
struct Staged {
  explicit Staged(const InstancePaths& paths) : image(paths.image_file()), enclave(paths.enclave_file()) {}
  TempFile image;
  TempFile enclave;
};

// Copies what programs in image/ need from this machine. Existing files are never replaced.
Status copy_missing(const InstancePaths& paths, const BuildOptions& options) {
  ImageTree tree(paths.image(), {.keep_existing = true, .log = options.progress});
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(paths.image(), error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) files.push_back(it->path());
  }
  std::ranges::sort(files);
  for (const fs::path& file : files) IMAGE_CHECK(tree.copy_dependencies(file, "/" + file.lexically_relative(paths.image()).string()));
  return {};
}

// Says which programs miss something.
Status warn_of_missing(const InstancePaths& paths, const BuildOptions& options) {
  const std::vector<std::string> missing = IMAGE_TRY(missing_dependencies(paths));
  constexpr std::size_t kShown = 10;
  for (std::size_t i = 0; i < missing.size() && i < kShown; ++i) options.warn(missing[i]);
  if (missing.size() > kShown) options.warn(fmt::format("... and {} more such files", missing.size() - kShown));
  return {};
}

Result<ImageResult> update_image(const InstancePaths& paths, const BuildOptions& options, const fs::path& output, json& stamp, bool& was_current) {
  if (options.autodep) IMAGE_CHECK(copy_missing(paths, options));
  std::vector<fs::path> abandoned;
  const std::string inputs = IMAGE_TRY(image_inputs(paths, options.epoch, options.keep_modes, abandoned));
  for (const fs::path& path : abandoned) remove_if_abandoned(path);
  was_current = !options.force && stamp_text(stamp, "image_inputs") == inputs && stamp_text(stamp, "image_mark") == file_mark(paths.image_file());
  if (was_current) return load_image_stamp(stamp);
  IMAGE_CHECK(warn_of_missing(paths, options));
  const ImageResult result =
      IMAGE_TRY(build_image(paths.image(), output, {.epoch = options.epoch, .keep_modes = options.keep_modes, .progress = options.progress}));
  stamp["image_inputs"] = inputs;
  stamp["image_epoch"] = options.epoch;
  stamp["image_keep_modes"] = options.keep_modes;
  stamp["image_mark"] = file_mark(output);
  save_image_stamp(stamp, result);
  return result;
}

struct EnclaveInputs {
  const OcclumConfig& config;
  const ImageResult& image;
  const sgx::SigningKey& key;
};

Status update_enclave(const InstancePaths& paths, const BuildOptions& options, const EnclaveInputs& from, const fs::path& output, json& stamp,
                      BuildResult& result) {
  const Bytes blob = make_config_blob(from.config, from.image.verity, options.epoch);
  const sgx::Result<sgx::Hash> mrsigner = from.key.mrsigner();
  if (!mrsigner) return fail("{}", mrsigner.error().message);
  result.mrsigner = hex(*mrsigner);
  const std::string inputs = fmt::format("{} {} {} {}", file_mark(kBuilder), hex(sha256(blob)), hex(IMAGE_TRY(sha256_file(options.kernel))), result.mrsigner);
  result.enclave_was_current =
      !options.force && stamp_text(stamp, "enclave_inputs") == inputs && stamp_text(stamp, "enclave_mark") == file_mark(paths.enclave_file());
  result.mrenclave = stamp_text(stamp, "mrenclave");
  if (result.enclave_was_current) return {};
  options.progress("measuring and signing the enclave");
  const sgx::EnclaveFileInputs enclave = {.kernel_path = options.kernel.string(), .config = blob, .signing = signing_params(from.config)};
  const sgx::Result<sgx::Hash> mrenclave = sgx::write_enclave_file(enclave, from.key, output.string());
  if (!mrenclave) return fail("{}", mrenclave.error().message);
  result.mrenclave = hex(*mrenclave);
  stamp["enclave_inputs"] = inputs;
  stamp["enclave_mark"] = file_mark(output);
  stamp["mrenclave"] = result.mrenclave;
  return {};
}

}  // namespace

Status check_instance(const InstancePaths& paths) {
  std::error_code error;
  if (fs::is_regular_file(paths.config(), error)) return {};
  return fail("{} is not an Occlum instance (it has no Occlum.json): change to one, or make one with `occlum new DIR`",
              fs::absolute(paths.root, error).lexically_normal().string());
}

namespace {

Status fill_instance(const InstancePaths& paths) {
  std::error_code error;
  IMAGE_CHECK(make_folders(paths.root));
  for (fs::directory_iterator it(paths.root, error), end; !error && it != end; it.increment(error)) remove_if_abandoned(it->path());
  TempFile image(paths.image());
  IMAGE_CHECK(make_folders(image.path()));
  ImageTree tree(image.path(), {});
  IMAGE_CHECK(fill_skeleton(tree));
  TempFile config(paths.config());
  IMAGE_CHECK(write_text(config.path(), occlum_json_template()));
  // Of several who make an instance here at once, the one whose image gets its name owns the folder: the others leave it alone.
  IMAGE_CHECK(image.commit());
  // Last, the file that makes the folder an instance; without it the rest goes again.
  Status done = make_folders(paths.root / "run");
  if (done) done = config.commit();
  if (!done) {
    fs::remove_all(paths.image(), error);
    fs::remove(paths.root / "run", error);
  }
  return done;
}

}  // namespace

Status init_instance(const InstancePaths& paths) {
  std::error_code error;
  for (const fs::path& taken : {paths.config(), paths.image(), paths.build()}) {
    if (fs::exists(fs::symlink_status(taken, error))) {
      return fail("{} exists: this folder holds an instance already (remove it, or use another folder)", taken.string());
    }
  }
  const bool was_there = fs::exists(paths.root, error);
  const Status made = fill_instance(paths);
  if (!made && !was_there) fs::remove(paths.root, error);  // if it is empty: whatever came there meanwhile stays
  return made;
}

Result<BuildResult> build_instance(const InstancePaths& paths, const BuildOptions& options) {
  IMAGE_CHECK(check_instance(paths));
  OcclumConfig config = IMAGE_TRY(load_occlum_json(paths.config()));
  if (options.enable_edmm && *options.enable_edmm != config.feature.enable_edmm) {
    config.feature.enable_edmm = *options.enable_edmm;
  }
  for (const std::string& line : config.warnings) options.warn(line);
  std::error_code error;
  if (!fs::is_directory(paths.image(), error)) {
    return fail("{}: the image folder is missing: fill it by hand or with `occlum copy_bom`", paths.image().string());
  }
  const sgx::Result<sgx::SigningKey> key = sgx::SigningKey::load(options.signing_key.string());
  if (!key) return fail("{}", key.error().message);
  const Fd lock = IMAGE_TRY(lock_instance(paths));
  IMAGE_CHECK(make_folders(paths.build()));
  if (::access(paths.build().c_str(), W_OK) != 0) return fail("{}: cannot be written: {}", paths.build().string(), errno_text(errno));
  remove_leftovers(paths);
  json stamp = load_stamp(paths);
  BuildResult result;
  Staged staged(paths);
  const ImageResult image = IMAGE_TRY(update_image(paths, options, staged.image.path(), stamp, result.image_was_current));
  result.stats = image.stats;
  IMAGE_CHECK(update_enclave(paths, options, {config, image, *key}, staged.enclave.path(), stamp, result));
  if (!result.image_was_current) IMAGE_CHECK(staged.image.commit());
  if (!result.enclave_was_current) IMAGE_CHECK(staged.enclave.commit());
  if (!result.image_was_current || !result.enclave_was_current || !fs::exists(paths.bill(), error)) IMAGE_CHECK(write_bill(paths, image, result));
  stamp["config"] = IMAGE_TRY(read_text(paths.config()));  // whole: comparing needs no hash library at each run
  IMAGE_CHECK(write_text(paths.stamp(), stamp.dump(2) + "\n"));
  return result;
}

bool config_is_built(const InstancePaths& paths) {
  const std::string built = stamp_text(load_stamp(paths), "config");
  const Result<std::string> text = read_text(paths.config());
  return built.empty() || (text && *text == built);
}

Result<BuildState> build_state(const InstancePaths& paths) {
  IMAGE_CHECK(check_instance(paths));
  std::error_code error;
  if (!fs::exists(paths.enclave_file(), error) || !fs::exists(paths.image_file(), error)) return BuildState::missing;
  const json stamp = load_stamp(paths);
  if (stamp.empty()) return BuildState::current;  // deployed without the state folder: what is there is meant
  const bool untouched = stamp_text(stamp, "image_mark") == file_mark(paths.image_file()) && stamp_text(stamp, "enclave_mark") == file_mark(paths.enclave_file());
  if (!untouched) return BuildState::changed;
  if (!config_is_built(paths)) return BuildState::stale;
  if (!fs::is_directory(paths.image(), error)) return BuildState::current;
  const auto keep = stamp.find("image_keep_modes");
  const bool keep_modes = keep != stamp.end() && keep->is_boolean() && keep->get<bool>();
  std::vector<fs::path> ignored;
  const std::string inputs = IMAGE_TRY(image_inputs(paths, stamp_number(stamp, "image_epoch"), keep_modes, ignored));
  return stamp_text(stamp, "image_inputs") == inputs ? BuildState::current : BuildState::stale;
}

}  // namespace image
