#include "image/bom.h"

#include <algorithm>
#include <set>

#include "image/files.h"

namespace image {
namespace fs = std::filesystem;

namespace {

constexpr int kDeepestInclude = 16;
constexpr std::string_view kBase = "base.yaml";

class BomCopier {
 public:
  explicit BomCopier(const BomOptions& options)
      : options_(options), tree_(options.root, {.dry_run = options.dry_run, .keep_existing = false, .log = options.log}) {}

  Status run() {
    if (!options_.dry_run) IMAGE_CHECK(make_folders(options_.root));
    IMAGE_CHECK(apply_file(options_.file, 0));
    return copy_needs();
  }

 private:
  // A program that was copied, whose libraries are looked for at the end.
  struct Program {
    fs::path host;
    std::string target;
    bool must_resolve;  // named in the BOM: a missing library is an error, else a warning
  };

  Status apply_file(const fs::path& file, int depth) {
    if (depth > kDeepestInclude) return fail("{}: includes are nested deeper than {}", file.string(), kDeepestInclude);
    std::error_code error;
    if (!done_.insert(fs::weakly_canonical(file, error).string()).second) return {};
    const std::string text = IMAGE_TRY(read_text(file));
    const Bom bom = IMAGE_TRY(parse_bom(text, file.string()));
    for (const std::string& include : bom.includes) IMAGE_CHECK(apply_include(include, file, depth));
    folder_ = file.parent_path();
    for (const BomTarget& target : bom.targets) IMAGE_CHECK(apply_target(target, bom.excludes));
    return {};
  }

  Status apply_include(const std::string& name, const fs::path& includer, int depth) {
    std::vector<fs::path> candidates = {includer.parent_path() / name};
    for (const fs::path& folder : options_.include_folders) candidates.push_back(folder / name);
    std::error_code error;
    for (const fs::path& candidate : candidates) {
      if (fs::is_regular_file(candidate, error)) return apply_file(candidate, depth + 1);
    }
    if (name == kBase) return done_.insert(name).second ? fill_skeleton(tree_) : Status{};
    return fail("{}: includes: {} is neither beside this file nor in a folder given with -i", includer.string(), name);
  }

  // Names are relative to the working folder; what is not there is looked for beside the BOM file.
  fs::path on_host(const std::string& name) const {
    std::error_code error;
    const fs::path path = name;
    if (path.is_absolute() || fs::exists(path, error)) return path;
    const fs::path beside = folder_ / path;
    return fs::exists(beside, error) ? beside : path;
  }

  Status apply_target(const BomTarget& target, const std::vector<std::string>& excludes) {
    IMAGE_CHECK(tree_.make_folder(target.target));
    for (const std::string& folder : target.folders) IMAGE_CHECK(tree_.make_folder(below(target.target, folder)));
    for (const std::string& folder : target.copy_folders) IMAGE_CHECK(copy_folder(target.target, folder, excludes));
    for (const BomFile& file : target.files) IMAGE_CHECK(copy_file(target.target, file));
    for (const BomLink& link : target.links) IMAGE_CHECK(tree_.make_link(link.content, below(target.target, link.name)));
    return {};
  }

  static std::string below(const std::string& folder, const std::string& name) {
    return fmt::format("{}{}{}", folder, folder.ends_with('/') || name.starts_with('/') ? "" : "/", name);
  }

  Status copy_file(const std::string& target, const BomFile& file) {
    const fs::path host = on_host(file.name);
    std::error_code error;
    if (!fs::is_regular_file(host, error)) return fail("{}: {}", host.string(), fs::exists(host, error) ? "not a regular file (use `dirs` for folders)" : "no such file on this machine");
    if (file.hash) {
      const std::string found = hex(IMAGE_TRY(sha256_file(host)));
      if (found != *file.hash) return fail("{}: has the SHA-256 {}, but the BOM wants {}", host.string(), found, *file.hash);
    }
    const std::string path = below(target, file.rename.empty() ? host.filename().string() : file.rename);
    IMAGE_CHECK(tree_.copy_file(host, path));
    if (file.autodep) programs_.push_back({host, path, true});
    return {};
  }

  Status copy_folder(const std::string& target, const std::string& name, const std::vector<std::string>& excludes) {
    const fs::path host = on_host(name);
    std::error_code error;
    if (!fs::is_directory(host, error)) return fail("{}: no such folder on this machine", host.string());
    const bool contents = name.ends_with('/');
    const fs::path clean = contents ? host.parent_path() : host;
    const std::string path = contents ? target : below(target, clean.filename().string());
    const auto excluded = [&](const fs::path& entry) {
      return std::ranges::any_of(excludes, [&](const std::string& pattern) {
        const std::string text = entry.string();
        const std::string wanted = fs::path(pattern.ends_with('/') ? pattern.substr(0, pattern.size() - 1) : pattern).string();
        return text == wanted || text.ends_with("/" + wanted);
      });
    };
    IMAGE_CHECK(tree_.copy_folder(clean, path, excluded));
    return note_programs(clean, path, excluded);
  }

  // ELF files inside a copied folder get their libraries too.
  Status note_programs(const fs::path& host, const std::string& path, const ImageTree::Excluded& excluded) {
    std::error_code error;
    for (fs::recursive_directory_iterator it(host, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (excluded(it->path())) {
        it.disable_recursion_pending();
        continue;
      }
      if (!it->is_regular_file(ignored) || it->is_symlink(ignored)) continue;
      programs_.push_back({it->path(), below(path, it->path().lexically_relative(host).string()), false});
    }
    return {};
  }

  Status copy_needs() {
    std::ranges::sort(programs_, {}, &Program::target);
    for (const Program& program : programs_) {
      const Status copied = tree_.copy_dependencies(program.host, program.target);
      if (copied) continue;
      if (program.must_resolve) return copied;
      options_.warn(copied.error());
    }
    return {};
  }

  const BomOptions& options_;
  ImageTree tree_;
  fs::path folder_;  // of the BOM file being applied
  std::set<std::string> done_;
  std::vector<Program> programs_;
};

}  // namespace

Status copy_bom(const BomOptions& options) { return BomCopier(options).run(); }

}  // namespace image
