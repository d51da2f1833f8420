// The identity of the emulated processor: a secret in a file of the user, and what is derived from it.
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emulator/emulator.h"

namespace emulator {

namespace {

constexpr std::size_t kSecretSize = 32;
using Secret = std::array<std::uint8_t, kSecretSize>;

std::mutex g_device_mutex;
std::optional<sgx::Device> g_device;

std::unexpected<std::string> refuse(const std::string& path, const char* what) {
  return std::unexpected(fmt::format("{}: {}: {}", path, what, std::strerror(errno)));
}

// Makes the folders above `path` (0700).
std::expected<void, std::string> make_parents(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    const std::string folder = path.substr(0, at);
    if (access(folder.c_str(), F_OK) == 0 || mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) continue;
    return std::unexpected(fmt::format("{}: cannot make the folder for the emulator's secret: {} (set XDG_CONFIG_HOME to a folder of yours)", folder,
                                       std::strerror(errno)));
  }
  return {};
}

// The home folder: HOME, else what the password database says. Empty if there is none.
std::string home_folder() {
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return home;
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  const bool known = getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known && entry.pw_dir[0] == '/' ? entry.pw_dir : "";
}

std::expected<Secret, std::string> read_secret(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return refuse(path, "cannot open");
  struct stat info{};
  Secret secret{};
  const bool looked = fstat(fd, &info) == 0;
  const ssize_t got = read(fd, secret.data(), secret.size());
  close(fd);
  if (!looked || got != static_cast<ssize_t>(secret.size()) || info.st_size != static_cast<off_t>(kSecretSize)) {
    return std::unexpected(fmt::format("{}: not an emulator secret (want {} bytes); remove it and a new one is made", path, kSecretSize));
  }
  if (info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return std::unexpected(fmt::format("{}: must belong to you with mode 0600: chmod 600 it", path));
  }
  return secret;
}

// Writes a new secret beside `path` and links it there: of several processes one wins, and nobody sees half a file.
std::expected<void, std::string> make_secret(const std::string& path) {
  if (auto made = make_parents(path); !made) return made;
  Secret secret{};
  if (getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) return refuse(path, "no random bytes");
  const std::string temporary = fmt::format("{}.{}", path, getpid());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return refuse(temporary, "cannot create");
  const bool written = write(fd, secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) && fsync(fd) == 0;
  close(fd);
  const bool linked = written && (link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const int reason = errno;
  unlink(temporary.c_str());
  errno = reason;
  if (!linked) return refuse(path, "cannot create");
  return {};
}

}  // namespace

std::expected<sgx::Device, std::string> load_device(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) {
    if (auto made = make_secret(path); !made) return std::unexpected(made.error());
  }
  const auto secret = read_secret(path);
  if (!secret) return std::unexpected(secret.error());
  sgx::Device device{};
  std::memcpy(device.root_key.data(), secret->data(), device.root_key.size());
  // The key id of reports changes with each start of the processor; ours lives as long as the secret, so that reports of several
  // processes of one machine can be compared.
  std::memcpy(device.report_key_id.data(), secret->data() + device.root_key.size(), 16);
  device.cpusvn = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  return device;
}

std::expected<sgx::Device, std::string> load_device() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  std::string folder;
  if (config != nullptr && config[0] == '/') {
    folder = config;
  } else if (const std::string home = home_folder(); !home.empty()) {
    folder = home + "/.config";
  } else {
    return std::unexpected(std::string("neither XDG_CONFIG_HOME nor HOME is set: no place for the emulator's secret"));
  }
  return load_device(folder + "/occlum/emulator-secret");
}

void set_device(const sgx::Device& device) {
  const std::lock_guard guard(g_device_mutex);
  g_device = device;
}

std::expected<sgx::Device, std::string> current_device() {
  const std::lock_guard guard(g_device_mutex);
  if (g_device) return *g_device;
  auto device = load_device();
  if (device) g_device = *device;
  return device;
}

}  // namespace emulator
