#include "image/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace image {
namespace fs = std::filesystem;

std::string errno_text(int code) { return std::generic_category().message(code); }

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (number_ >= 0) ::close(number_);
    number_ = std::exchange(other.number_, -1);
  }
  return *this;
}

Fd::~Fd() {
  if (number_ >= 0) ::close(number_);
}

Result<Fd> open_file(const fs::path& path, int flags, mode_t mode) {
  const int number = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (number < 0) return fail("{}: {}", path.string(), errno_text(errno));
  return Fd(number);
}

Result<Bytes> read_file(const fs::path& path) {
  const Fd file = IMAGE_TRY(open_file(path, O_RDONLY | O_NONBLOCK));  // a FIFO is refused, not waited for
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return fail("{}: {}", path.string(), errno_text(errno));
  if (!S_ISREG(info.st_mode)) return fail("{}: not a regular file", path.string());
  Bytes data(static_cast<std::size_t>(info.st_size));
  IMAGE_CHECK(read_at(file, 0, data, path.string()));
  return data;
}

Result<std::string> read_text(const fs::path& path) {
  const Bytes data = IMAGE_TRY(read_file(path));
  return std::string(data.begin(), data.end());
}

Status read_at(const Fd& file, std::uint64_t offset, std::span<std::uint8_t> data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t got = ::pread(file.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("{}: {}", name, errno_text(errno));
    if (got == 0) return fail("{}: the file is shorter than expected", name);
    data = data.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

Status write_at(const Fd& file, std::uint64_t offset, std::span<const std::uint8_t> data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(file.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail("{}: {}", name, errno_text(errno));
    data = data.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Status write_file(const fs::path& path, std::span<const std::uint8_t> data, mode_t mode) {
  TempFile temp(path);
  {
    const Fd file = IMAGE_TRY(open_file(temp.path(), O_WRONLY | O_CREAT | O_EXCL, mode));
    if (::fchmod(file.get(), mode) != 0) return fail("{}: {}", temp.path().string(), errno_text(errno));
    IMAGE_CHECK(write_at(file, 0, data, path.string()));
  }
  return temp.commit();
}

Status write_text(const fs::path& path, std::string_view text, mode_t mode) {
  const Bytes data(text.begin(), text.end());
  return write_file(path, data, mode);
}

Status make_folders(const fs::path& path) {
  std::error_code error;
  if (path.empty() || fs::is_directory(path, error)) return {};
  if (path.has_parent_path()) IMAGE_CHECK(make_folders(path.parent_path()));
  if (::mkdir(path.c_str(), 0755) != 0) {
    if (errno == EEXIST && fs::is_directory(path, error)) return {};
    return fail("{}: cannot make the folder: {}", path.string(), errno_text(errno));
  }
  if (::chmod(path.c_str(), 0755) != 0) return fail("{}: {}", path.string(), errno_text(errno));
  return {};
}

Result<bool> write_new_file(const fs::path& path, std::string_view text, mode_t mode) {
  TempFile temp(path);
  const Bytes data(text.begin(), text.end());
  const Fd file = IMAGE_TRY(open_file(temp.path(), O_WRONLY | O_CREAT | O_EXCL, mode));
  if (::fchmod(file.get(), mode) != 0) return fail("{}: {}", path.string(), errno_text(errno));
  IMAGE_CHECK(write_at(file, 0, data, path.string()));
  if (::fsync(file.get()) != 0) return fail("{}: {}", path.string(), errno_text(errno));
  return temp.commit_new();
}

// The name is not made from the target's: that may be as long as a name can be.
TempFile::TempFile(const fs::path& target) : target_(target) {
  static std::atomic<unsigned> counter = 0;
  path_ = target.parent_path() / fmt::format("{}{}-{}.tmp", kTempPrefix, ::getpid(), counter++);
}

TempFile::~TempFile() {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
}

Result<bool> TempFile::commit_new() {
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) == 0) {
    path_.clear();
    return true;
  }
  // Not every file system can do that; then a second name for the file, and the first one goes with this object.
  if (errno == EINVAL && ::link(path_.c_str(), target_.c_str()) == 0) return true;
  if (errno == EEXIST) return false;
  return fail("{}: cannot rename the finished file: {}", target_.string(), errno_text(errno));
}

bool is_temp_name(std::string_view name) {
  constexpr std::string_view kEnd = ".tmp";
  if (!name.starts_with(kTempPrefix) || !name.ends_with(kEnd) || name.size() <= kTempPrefix.size() + kEnd.size()) return false;
  const std::string_view middle = name.substr(kTempPrefix.size(), name.size() - kTempPrefix.size() - kEnd.size());
  const std::size_t dash = middle.find('-');
  const auto is_number = [](std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos; };
  return dash != std::string_view::npos && is_number(middle.substr(0, dash)) && is_number(middle.substr(dash + 1));
}

void remove_if_abandoned(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!is_temp_name(name)) return;
  const auto process = static_cast<pid_t>(std::strtol(name.c_str() + kTempPrefix.size(), nullptr, 10));
  if (process <= 0 || ::kill(process, 0) == 0 || errno != ESRCH) return;
  std::error_code error;
  fs::remove_all(path, error);
}

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return result;
}

Status TempFile::commit() {
  if (::rename(path_.c_str(), target_.c_str()) != 0) {
    return fail("{}: cannot rename the finished file: {}", target_.string(), errno_text(errno));
  }
  path_.clear();
  return {};
}

Result<MappedFile> MappedFile::open(const fs::path& path) {
  const Fd file = IMAGE_TRY(open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return fail("{}: {}", path.string(), errno_text(errno));
  if (!S_ISREG(info.st_mode)) return fail("{}: not a regular file", path.string());
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) return MappedFile({});
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) return fail("{}: mmap: {}", path.string(), errno_text(errno));
  return MappedFile({static_cast<const std::uint8_t*>(address), size});
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!data_.empty()) ::munmap(const_cast<std::uint8_t*>(data_.data()), data_.size());
}

Sha256 sha256(std::span<const std::uint8_t> data) {
  Sha256 digest = {};
  EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  return digest;
}

Result<Sha256> sha256_file(const fs::path& path) {
  const MappedFile file = IMAGE_TRY(MappedFile::open(path));
  return sha256(file.data());
}

std::string hex(std::span<const std::uint8_t> data) {
  std::string text;
  for (const std::uint8_t byte : data) text += fmt::format("{:02x}", byte);
  return text;
}

namespace {

Result<std::string> drain(int pipe_end) {
  std::string output;
  std::array<char, 4096> buffer = {};
  for (;;) {
    const ssize_t got = ::read(pipe_end, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("read from a child program: {}", errno_text(errno));
    if (got == 0) return output;
    output.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::vector<char*> c_strings(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<ChildResult> run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  std::vector<std::string> argument_copy = arguments;
  std::vector<std::string> environment_copy = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC"};
  environment_copy.insert(environment_copy.end(), environment.begin(), environment.end());
  std::string program = arguments.at(0);
  for (const char* folder : {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    const std::string candidate = fmt::format("{}/{}", folder, arguments.at(0));
    if (program.find('/') == std::string::npos && ::access(candidate.c_str(), X_OK) == 0) program = candidate;
  }
  if (program.find('/') == std::string::npos) return fail("program '{}' is not installed on this machine", program);
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail("pipe: {}", errno_text(errno));
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, writer.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, writer.get(), 2);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, program.c_str(), &actions, nullptr, c_strings(argument_copy).data(),
                                  c_strings(environment_copy).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail("{}: cannot start: {}", program, errno_text(error));
  writer = Fd();
  Result<std::string> output = drain(reader.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return ChildResult{status, IMAGE_TRY(std::move(output))};
}

}  // namespace image
