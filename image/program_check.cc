#include "image/program_check.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "image/elf_file.h"
#include "image/tree.h"

namespace image {
namespace fs = std::filesystem;

namespace {

ProgramCheck refuse(ProgramVerdict verdict, std::string message) { return {verdict, std::move(message)}; }

// The interpreter that a `#!` line names, empty if there is none.
std::string script_interpreter(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < 3 || bytes[0] != '#' || bytes[1] != '!') return {};
  const auto end = std::ranges::find(bytes, std::uint8_t{'\n'});
  std::string line(bytes.begin() + 2, end);
  const std::size_t start = line.find_first_not_of(" \t");
  if (start == std::string::npos) return {};
  return line.substr(start, line.find_first_of(" \t", start) - start);
}

Result<ProgramCheck> check_content(const ErofsReader& image, const ErofsInode& file, const std::string& path, int depth) {
  constexpr std::uint64_t kEnough = 64 * 1024;  // headers and the interpreter's name lie at the start
  const Bytes start = IMAGE_TRY(image.read_start(file, kEnough));
  std::string interpreter = script_interpreter(start);
  const bool script = !interpreter.empty();
  if (!script && !ElfFile::is_program(start)) {
    return refuse(ProgramVerdict::not_allowed, fmt::format("{} is neither an x86-64 ELF program nor a script with a #! line", path));
  }
  if (!script) interpreter = ElfFile::interpreter_of(start);
  if (interpreter.empty()) return ProgramCheck{ProgramVerdict::good, {}};
  const std::optional<ErofsInode> found = IMAGE_TRY(image.find(interpreter));
  if (!found) {
    return refuse(ProgramVerdict::not_found,
                  fmt::format("{} needs the interpreter {}, which is not in the image: copy it to image{} (or use `occlum copy_bom`, which finds "
                              "what a program needs) and run `occlum build`", path, interpreter, interpreter));
  }
  constexpr int kNestedScripts = 4;
  if (script && depth < kNestedScripts && S_ISREG(found->mode)) return check_content(image, *found, interpreter, depth + 1);
  return ProgramCheck{ProgramVerdict::good, {}};
}

ProgramCheck not_in_image(const InstancePaths& paths, const std::string& path) {
  std::error_code error;
  const fs::path source = paths.image() / fs::path(path).relative_path();
  if (fs::exists(fs::symlink_status(source, error))) {
    return refuse(ProgramVerdict::not_found, fmt::format("{} is in {} but not in the built image: run `occlum build`", path, paths.image().string()));
  }
  return refuse(ProgramVerdict::not_found,
                fmt::format("{} is not in the image: copy it to image{} (or use `occlum copy_bom`) and run `occlum build`", path, path));
}

// True if the path lies below another mount than the root: then the image says nothing about it.
bool is_elsewhere(const OcclumConfig& config, const std::string& path) {
  return std::ranges::any_of(config.mounts, [&](const Mount& mount) { return mount.target != "/" && (path + "/").starts_with(mount.target + "/"); });
}

}  // namespace

bool is_entry_point(const OcclumConfig& config, const std::string& path) {
  return std::ranges::any_of(config.entry_points, [&](const std::string& entry) {
    return entry == "/" || path == entry || path.starts_with(entry + "/");
  });
}

Result<ProgramCheck> check_program(const InstancePaths& paths, const OcclumConfig& config, const std::string& path) {
  if (path.empty()) return refuse(ProgramVerdict::not_allowed, "the program's name is empty: give its absolute path in the image");
  if (!path.starts_with('/')) {
    return refuse(ProgramVerdict::not_allowed, fmt::format("{}: give the program's absolute path in the image, like /bin/{}", path, path));
  }
  const std::string clean = fs::path(path).lexically_normal().string();
  if (!is_entry_point(config, clean) || path.find("/../") != std::string::npos) {
    return refuse(ProgramVerdict::not_allowed,
                  fmt::format("{} may not be started: entry_points in Occlum.json allows {}; add its folder there and run `occlum build`", path,
                              fmt::join(config.entry_points, ", ")));
  }
  if (is_elsewhere(config, clean)) return ProgramCheck{ProgramVerdict::good, {}};
  const MappedFile mapped = IMAGE_TRY(MappedFile::open(paths.image_file()));
  const Result<ErofsReader> image = ErofsReader::open(mapped.data());
  if (!image) return fail("{}: {} (run `occlum build` to make it again)", paths.image_file().string(), image.error());
  const std::optional<ErofsInode> file = IMAGE_TRY(image->find(clean));
  if (!file) return not_in_image(paths, clean);
  if (!S_ISREG(file->mode)) return refuse(ProgramVerdict::not_allowed, fmt::format("{} is not a regular file", path));
  if ((file->mode & 0111) == 0) {
    return refuse(ProgramVerdict::not_allowed, fmt::format("{} is not executable: chmod +x image{} and run `occlum build`", path, clean));
  }
  return check_content(*image, *file, path, 0);
}

bool program_has_changed(const InstancePaths& paths, const std::string& path) {
  struct stat source = {};
  struct stat stamp = {};
  const Result<fs::path> located = ImageTree(paths.image(), {}).locate(path);
  if (!located || ::stat(located->c_str(), &source) != 0 || ::stat(paths.stamp().c_str(), &stamp) != 0) return false;
  const auto later = [](const timespec& a, const timespec& b) { return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec; };
  return S_ISREG(source.st_mode) && later(source.st_mtim, stamp.st_mtim);
}

namespace {

// Names of files anywhere in folders where a loader of the image might look.
void collect_names(const fs::path& folder, std::set<std::string>& names, std::vector<fs::path>& programs) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.insert(it->path().filename().string());
    std::error_code ignored;
    if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) programs.push_back(it->path());
  }
}

}  // namespace

Result<std::vector<std::string>> missing_dependencies(const InstancePaths& paths) {
  std::set<std::string> names;
  std::vector<fs::path> files;
  collect_names(paths.image(), names, files);
  std::ranges::sort(files);
  const ImageTree tree(paths.image(), {});
  std::vector<std::string> lines;
  for (const fs::path& file : files) {
    const Result<MappedFile> mapped = MappedFile::open(file);
    if (!mapped || !ElfFile::is_program(mapped->data())) continue;
    const Result<ElfFile> elf = ElfFile::parse(mapped->data());
    if (!elf) continue;
    const Result<ElfDynamic> dynamic = elf->dynamic();
    if (!dynamic) continue;
    const std::string name = "/" + file.lexically_relative(paths.image()).string();
    const auto complain = [&](const std::string& what) {
      lines.push_back(fmt::format("image{} needs {}, which is not in the image: `occlum build --autodep` copies such files from this machine", name, what));
    };
    if (!dynamic->interpreter.empty()) {
      std::error_code error;
      if (!fs::exists(IMAGE_TRY(tree.locate(dynamic->interpreter)), error)) complain(dynamic->interpreter);
    }
    for (const std::string& library : dynamic->needed) {
      const bool musl_libc = library == "libc.so" && names.contains("ld-musl-x86_64.so.1");
      if (!musl_libc && !names.contains(fs::path(library).filename().string())) complain(library);
    }
  }
  return lines;
}

}  // namespace image
