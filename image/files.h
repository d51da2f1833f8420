// Small file helpers: whole reads, atomic writes, hashes, temporary files, child programs.
#ifndef IMAGE_FILES_H
#define IMAGE_FILES_H

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "image/result.h"

namespace image {

using Bytes = std::vector<std::uint8_t>;
using Sha256 = std::array<std::uint8_t, 32>;

// The text of an errno value.
std::string errno_text(int code);

// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int number = -1) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();
  int get() const { return number_; }

 private:
  int number_;
};

// Opens a file; `flags` as open(2) (O_CLOEXEC is added). The error names the path and the reason.
Result<Fd> open_file(const std::filesystem::path& path, int flags, mode_t mode = 0644);

// Reads a whole regular file.
Result<Bytes> read_file(const std::filesystem::path& path);
Result<std::string> read_text(const std::filesystem::path& path);

// Reads or writes exactly `data.size()` bytes at `offset`; `name` appears in errors.
Status read_at(const Fd& file, std::uint64_t offset, std::span<std::uint8_t> data, std::string_view name);
Status write_at(const Fd& file, std::uint64_t offset, std::span<const std::uint8_t> data, std::string_view name);

// Writes a file under a temporary name in the same folder and renames it over `path`; the mode is set whatever the umask.
Status write_file(const std::filesystem::path& path, std::span<const std::uint8_t> data, mode_t mode = 0644);
Status write_text(const std::filesystem::path& path, std::string_view text, mode_t mode = 0644);

// Makes a folder and its parents; an existing folder is fine. New folders have mode 0755 whatever the umask.
Status make_folders(const std::filesystem::path& path);

// Writes a file that must not be there yet, and its content to the disk. False if there is one: then nothing was changed.
Result<bool> write_new_file(const std::filesystem::path& path, std::string_view text, mode_t mode);

// A name for a temporary file or folder beside `path`; what it names is removed when the object dies unless it was renamed.
class TempFile {
 public:
  explicit TempFile(const std::filesystem::path& target);
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  ~TempFile();
  const std::filesystem::path& path() const { return path_; }
  // Gives the file its final name.
  Status commit();
  // The same, but false if the final name is taken.
  Result<bool> commit_new();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
};

// A command that is killed leaves its temporary names behind. They begin with this, end in ".tmp" and name the process.
inline constexpr std::string_view kTempPrefix = ".occlum-";
bool is_temp_name(std::string_view name);
// The same as an extended regular expression over paths.
inline constexpr std::string_view kTempPattern = R"((^|/)\.occlum-[0-9]+-[0-9]+\.tmp$)";
// Removes a file or folder with a temporary name if the process that it names is gone.
void remove_if_abandoned(const std::filesystem::path& path);

// Text with control characters written as \xNN: names come from anywhere and must not break lines or move the cursor.
std::string printable(std::string_view text);

// A read-only mapping of a file; empty files give an empty span.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept : data_(std::exchange(other.data_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  std::span<const std::uint8_t> data() const { return data_; }

 private:
  explicit MappedFile(std::span<const std::uint8_t> data) : data_(data) {}
  std::span<const std::uint8_t> data_;
};

Sha256 sha256(std::span<const std::uint8_t> data);
Result<Sha256> sha256_file(const std::filesystem::path& path);
std::string hex(std::span<const std::uint8_t> data);

// The outcome of a child program: exit status as wait(2) gave it, and what it wrote to stdout and stderr together.
struct ChildResult {
  int status;
  std::string output;
};

// Runs a program found through PATH (also /usr/sbin and /sbin) with the given arguments; `environment` entries are added to a
// minimal one (PATH, LC_ALL=C, TZ=UTC). Waits for its end.
Result<ChildResult> run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

}  // namespace image
#endif  // IMAGE_FILES_H
