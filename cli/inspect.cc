#include <openssl/rand.h>

#include <array>
#include <filesystem>

#include "cli/verbs.h"
#include "image/files.h"
#include "image/instance.h"
#include "sgx/enclave_file.h"

namespace cli {
namespace {

int report(const std::string& message) {
  print_error(message);
  return static_cast<int>(Exit::failure);
}

std::string damaged(const std::string& message) { return message + " (run `occlum build` to make it again)"; }

constexpr std::string_view kNotBuilt = "this instance is not built: run `occlum build` first";

}  // namespace

int print_identity(const std::string& what) {
  const image::InstancePaths paths{"."};
  if (const image::Status instance = image::check_instance(paths); !instance) return report(instance.error());
  std::error_code error;
  if (!std::filesystem::exists(paths.enclave_file(), error)) return report(std::string(kNotBuilt));
  const sgx::Result<sgx::EnclaveFileInfo> info = sgx::enclave_file_info(paths.enclave_file().string());
  if (!info) return report(damaged(info.error().message));
  fmt::print("{}\n", image::hex(what == "mrsigner" ? info->mrsigner : info->mrenclave));
  return static_cast<int>(Exit::ok);
}

int status() {
  const image::InstancePaths paths{"."};
  const image::Result<image::BuildState> state = image::build_state(paths);
  if (!state) return report(state.error());
  if (*state == image::BuildState::missing) {
    fmt::print("initialized (not built: run `occlum build`)\n");
    return static_cast<int>(Exit::ok);
  }
  const sgx::Result<sgx::EnclaveFileInfo> info = sgx::enclave_file_info(paths.enclave_file().string());
  if (!info) return report(damaged(info.error().message));
  switch (*state) {
    case image::BuildState::missing:
    case image::BuildState::changed:
      fmt::print("built, but build/ has changed since: run `occlum build`\n");
      break;
    case image::BuildState::stale:
      fmt::print("built, but image/ or Occlum.json has changed since: run `occlum build`\n");
      break;
    case image::BuildState::current:
      fmt::print("built\n");
      break;
  }
  fmt::print("MRENCLAVE  {}\nMRSIGNER   {}\n", image::hex(info->mrenclave), image::hex(info->mrsigner));
  fmt::print("product id {}, version {}\n", info->isv_prod_id, info->isv_svn);
  fmt::print("debuggable {}, KSS {}, EDMM {}\n", info->debuggable, info->kss, info->edmm);
  return static_cast<int>(Exit::ok);
}

int generate_image_key(const std::string& path) {
  if (path.empty()) return report("gen-image-key: PATH is empty");
  std::error_code error;
  const std::string taken = fmt::format("{} exists: a key is never overwritten; choose another name, or remove it if nothing was encrypted with it", path);
  if (std::filesystem::exists(std::filesystem::symlink_status(path, error))) return report(taken);
  std::array<unsigned char, 16> key = {};
  if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1) return report("no random numbers from OpenSSL");
  std::string text;
  for (const unsigned char byte : key) text += fmt::format("{}{:02x}", text.empty() ? "" : "-", byte);
  text += '\n';
  const image::Result<bool> written = image::write_new_file(path, text, 0600);
  if (!written) return report(written.error());
  if (!*written) return report(taken);
  print_notice(fmt::format("wrote a new image key to {} (keep it secret)", path));
  return static_cast<int>(Exit::ok);
}

}  // namespace cli
