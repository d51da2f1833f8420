#include "image/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>

#include "image/files.h"

namespace image {
namespace fs = std::filesystem;

namespace {

constexpr int kMostLinks = 40;

// True if both are regular files with the same size, time and mode: then the content is taken to be the same, as rsync does.
bool looks_equal(const struct stat& from, const fs::path& to) {
  struct stat info = {};
  if (::lstat(to.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  return info.st_size == from.st_size && info.st_mode == from.st_mode && info.st_mtim.tv_sec == from.st_mtim.tv_sec &&
         info.st_mtim.tv_nsec == from.st_mtim.tv_nsec;
}

Status copy_bytes(const Fd& from, const Fd& to, const std::string& name) {
  std::vector<std::uint8_t> buffer(1 << 20);
  for (;;) {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("{}: {}", name, errno_text(errno));
    if (got == 0) return {};
    std::span<const std::uint8_t> rest(buffer.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const ssize_t put = ::write(to.get(), rest.data(), rest.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail("{}: {}", name, errno_text(errno));
      rest = rest.subspan(static_cast<std::size_t>(put));
    }
  }
}

}  // namespace

ImageTree::ImageTree(fs::path root, Options options) : root_(std::move(root)), options_(std::move(options)) {}

Result<fs::path> ImageTree::locate(std::string_view path) const {
  std::deque<std::string> rest;
  for (const fs::path& part : fs::path(path).relative_path()) rest.push_back(part.string());
  fs::path inside;  // relative to the root, without links
  int links = 0;
  while (!rest.empty()) {
    const std::string part = std::move(rest.front());
    rest.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      inside = inside.parent_path();
      continue;
    }
    std::error_code error;
    const fs::path next = root_ / inside / part;
    if (!rest.empty() && fs::is_symlink(next, error)) {
      if (++links > kMostLinks) return fail("{}: too many symbolic links in the image", path);
      const fs::path content = fs::read_symlink(next, error);
      if (error) return fail("{}: {}", next.string(), error.message());
      if (content.is_absolute()) inside.clear();
      const fs::path relative = content.relative_path();
      rest.insert(rest.begin(), relative.begin(), relative.end());
      continue;
    }
    inside /= part;
  }
  return root_ / inside;
}

Status ImageTree::make_folder(std::string_view path) {
  const fs::path place = IMAGE_TRY(locate(fmt::format("{}/.", path)));
  std::error_code error;
  if (fs::is_directory(place, error)) return {};
  options_.log(fmt::format("mkdir {}", path));
  return options_.dry_run ? Status{} : make_folders(place);
}

Status ImageTree::copy_file(const fs::path& host, std::string_view path) {
  const Fd from = IMAGE_TRY(open_file(host, O_RDONLY | O_NONBLOCK));
  struct stat info = {};
  if (::fstat(from.get(), &info) != 0) return fail("{}: {}", host.string(), errno_text(errno));
  if (!S_ISREG(info.st_mode)) return fail("{}: not a regular file", host.string());
  const fs::path place = IMAGE_TRY(locate(path));
  if (looks_equal(info, place)) return {};
  std::error_code error;
  if (options_.keep_existing && fs::exists(place, error)) return {};
  options_.log(fmt::format("copy {} -> {}", host.string(), path));
  if (options_.dry_run) return {};
  if (fs::is_directory(fs::symlink_status(place, error))) return fail("{}: is a folder in the image, cannot copy {} there", path, host.string());
  IMAGE_CHECK(make_folders(place.parent_path()));
  TempFile temp(place);
  {
    const Fd to = IMAGE_TRY(open_file(temp.path(), O_WRONLY | O_CREAT | O_EXCL, 0600));
    IMAGE_CHECK(copy_bytes(from, to, host.string()));
    const std::array<struct timespec, 2> times = {info.st_mtim, info.st_mtim};
    if (::fchmod(to.get(), info.st_mode & 07777) != 0 || ::futimens(to.get(), times.data()) != 0) {
      return fail("{}: {}", temp.path().string(), errno_text(errno));
    }
  }
  return temp.commit();
}

Status ImageTree::copy_entry(const fs::directory_entry& entry, const std::string& path, const fs::path& top, const Excluded& excluded) {
  std::error_code error;
  const fs::path& host = entry.path();
  if (entry.is_symlink(error)) {
    const fs::path content = fs::read_symlink(host, error);
    if (error) return fail("{}: {}", host.string(), error.message());
    // A link that stays inside the copied folder is kept; any other one is replaced by what it points to.
    const fs::path goal = (host.parent_path() / content).lexically_normal().lexically_relative(top);
    if (content.is_relative() && !goal.empty() && *goal.begin() != "..") return make_link(content.string(), path);
    if (!fs::exists(host, error)) return make_link(content.string(), path);
  }
  if (fs::is_directory(host, error)) return copy_folder(host, path, excluded);
  if (fs::is_regular_file(host, error)) return copy_file(host, path);
  options_.log(fmt::format("skip {} (neither file, folder nor link)", host.string()));
  return {};
}

Status ImageTree::copy_folder(const fs::path& host, std::string_view path, const Excluded& excluded) {
  std::error_code error;
  const fs::path real = fs::canonical(host, error);
  if (error) return fail("{}: {}", host.string(), error.message());
  // Both would go on for ever, the second one from run to run.
  if (std::ranges::find(copying_, real) != copying_.end()) return fail("{}: this link leads back to {}, which is being copied: name it in excludes", host.string(), real.string());
  if (real == fs::weakly_canonical(root_, error)) return fail("{}: is the image folder itself: name it in excludes", host.string());
  copying_.push_back(real);
  Status copied = copy_entries(host, path, excluded);
  copying_.pop_back();
  return copied;
}

Status ImageTree::copy_entries(const fs::path& host, std::string_view path, const Excluded& excluded) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(host, error), end; !error && it != end; it.increment(error)) entries.push_back(*it);
  if (error) return fail("{}: {}", host.string(), error.message());
  std::ranges::sort(entries, {}, [](const fs::directory_entry& entry) { return entry.path(); });
  IMAGE_CHECK(make_folder(path));
  for (const fs::directory_entry& entry : entries) {
    if (excluded(entry.path())) continue;
    const std::string target = fmt::format("{}/{}", path == "/" ? "" : path, entry.path().filename().string());
    IMAGE_CHECK(copy_entry(entry, target, host, excluded));
  }
  return {};
}

Status ImageTree::make_link(const std::string& content, std::string_view path) {
  const fs::path place = IMAGE_TRY(locate(path));
  std::error_code error;
  const fs::file_status status = fs::symlink_status(place, error);
  if (fs::is_symlink(status)) {
    if (fs::read_symlink(place, error) == content) return {};
  } else if (fs::is_directory(status)) {
    return fail("{}: is a folder in the image, cannot make the link there", path);
  }
  options_.log(fmt::format("link {} -> {}", path, content));
  if (options_.dry_run) return {};
  IMAGE_CHECK(make_folders(place.parent_path()));
  TempFile temp(place);
  if (::symlink(content.c_str(), temp.path().c_str()) != 0) return fail("{}: {}", temp.path().string(), errno_text(errno));
  return temp.commit();
}

Status ImageTree::write_text(std::string_view text, std::string_view path) {
  const fs::path place = IMAGE_TRY(locate(path));
  if (options_.dry_run) return {};
  IMAGE_CHECK(make_folders(place.parent_path()));
  return image::write_text(place, text);
}

Status ImageTree::copy_dependencies(const fs::path& host, std::string_view path) {
  if (!resolved_.insert(fmt::format("{}\n{}", host.string(), path)).second) return {};
  const std::vector<Dependency> needs = IMAGE_TRY(resolver_.resolve(host, path));
  for (const Dependency& need : needs) IMAGE_CHECK(copy_file(need.host, need.target.string()));
  return {};
}

namespace {

constexpr std::array<std::string_view, 19> kFolders = {"/bin",  "/sbin", "/lib",     "/lib64",   "/usr/bin", "/usr/lib", "/usr/sbin",
                                                       "/etc",  "/root", "/host",    "/tmp",     "/dev",     "/proc",    "/sys",
                                                       "/opt",  "/var",  "/var/tmp", "/run",     "/ext2"};

constexpr std::array<std::string_view, 13> kLibraries = {
    "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1",
    "libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libanl.so.1"};

constexpr std::string_view kLoader = "/lib64/ld-linux-x86-64.so.2";

constexpr std::array<std::array<std::string_view, 2>, 6> kEtcFiles = {{
    {"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
    {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"},
    {"/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
    {"/etc/hostname", "occlum\n"},
    {"/etc/host.conf", "multi on\n"},
}};

}  // namespace

Status fill_skeleton(ImageTree& tree) {
  for (const std::string_view folder : kFolders) IMAGE_CHECK(tree.make_folder(folder));
  for (const auto& [path, text] : kEtcFiles) IMAGE_CHECK(tree.write_text(text, path));
  std::error_code error;
  // The loader looks into these folders without a cache file, so everything goes where the host has it.
  for (const std::string_view name : kLibraries) {
    const fs::path host = tree.resolver().find_default(std::string(name), kLoader);
    if (host.empty()) continue;  // a host without that library has no program that needs it
    IMAGE_CHECK(tree.copy_file(host, host.string()));
    IMAGE_CHECK(tree.copy_dependencies(host, host.string()));
  }
  if (fs::exists(kLoader, error)) IMAGE_CHECK(tree.copy_file(kLoader, kLoader));
  if (fs::exists("/etc/localtime", error)) IMAGE_CHECK(tree.copy_file("/etc/localtime", "/etc/localtime"));
  if (fs::exists("/etc/protocols", error)) IMAGE_CHECK(tree.copy_file("/etc/protocols", "/etc/protocols"));
  if (fs::exists("/etc/services", error)) IMAGE_CHECK(tree.copy_file("/etc/services", "/etc/services"));
  return {};
}

}  // namespace image
