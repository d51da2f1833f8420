#include "cli/installation.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "cli/console.h"
#include "image/files.h"
#include "sgx/sigstruct.h"

namespace cli {
namespace fs = std::filesystem;

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

image::Result<fs::path> home_folder() {
  const std::string home = environment("HOME");
  if (!home.empty()) return fs::path(home);
  struct passwd entry = {};
  struct passwd* found = nullptr;
  std::array<char, 4096> buffer = {};
  if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return fs::path(found->pw_dir);
  return image::fail("HOME is not set, so there is no place for ~/.config/occlum: set it, or give --sign-key");
}

}  // namespace

image::Result<fs::path> executable_folder() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (error) return image::fail("/proc/self/exe: {}", error.message());
  return self.parent_path();
}

image::Result<fs::path> find_kernel() {
  const std::string given = environment("OCCLUM_KERNEL");
  std::error_code error;
  if (!given.empty()) {
    if (fs::is_regular_file(given, error)) return fs::path(given);
    return image::fail("OCCLUM_KERNEL={}: no such file", given);
  }
  const fs::path folder = IMAGE_TRY(executable_folder());
  const fs::path installed = folder.parent_path() / "lib" / "occlum" / "occlum-kernel.elf";
  const fs::path built = folder.parent_path() / "kernel" / "occlum-kernel.elf";
  for (const fs::path& candidate : {installed, built}) {
    if (fs::is_regular_file(candidate, error)) return candidate;
  }
  return image::fail("the kernel is missing: {} does not exist (broken installation: run `make install` again)", installed.string());
}

fs::path template_folder() {
  const image::Result<fs::path> folder = executable_folder();
  if (!folder) return {};
  std::error_code error;
  const fs::path installed = folder->parent_path() / "etc" / "template";
  return fs::is_directory(installed, error) ? installed : fs::path();
}

image::Result<fs::path> user_folder() {
  const std::string xdg = environment("XDG_CONFIG_HOME");
  const fs::path base = fs::path(xdg).is_absolute() ? fs::path(xdg) : IMAGE_TRY(home_folder()) / ".config";
  const fs::path folder = base / "occlum";
  std::error_code error;
  if (fs::is_directory(folder, error)) return folder;
  IMAGE_CHECK(image::make_folders(base));
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return image::fail("{}: cannot make the folder: {}", folder.string(), image::errno_text(errno));
  }
  if (::chmod(folder.c_str(), 0700) != 0) return image::fail("{}: {}", folder.string(), image::errno_text(errno));  // whatever the umask
  return folder;
}

namespace {

image::Result<fs::path> own_key(const fs::path& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return image::fail("{}: {}", path.string(), image::errno_text(errno));
  if (info.st_uid == ::geteuid() && (info.st_mode & 077) == 0) return path;
  return image::fail("{}: must belong to you with mode 0600: others could sign in your name (chmod 600 it, or give another with --sign-key)", path.string());
}

}  // namespace

image::Result<fs::path> signing_key(const std::string& given) {
  std::error_code error;
  if (!given.empty()) {
    if (fs::is_regular_file(given, error)) return fs::path(given);
    return image::fail("--sign-key {}: no such file (make one with `openssl genrsa -3 -out {} 3072`)", given, given);
  }
  const fs::path path = IMAGE_TRY(user_folder()) / "signing-key.pem";
  if (fs::exists(fs::symlink_status(path, error))) return own_key(path);
  const sgx::Result<sgx::SigningKey> key = sgx::SigningKey::generate();
  if (!key) return image::fail("{}", key.error().message);
  const sgx::Result<std::string> pem = key->to_pem();
  if (!pem) return image::fail("{}", pem.error().message);
  // Another build may have made one meanwhile: then that is the key, here too.
  if (!IMAGE_TRY(image::write_new_file(path, *pem, 0600))) return own_key(path);
  print_notice(fmt::format("made a signing key of your own: {} (keep it secret; --sign-key takes another one)", path.string()));
  return path;
}

}  // namespace cli
