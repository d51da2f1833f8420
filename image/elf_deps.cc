#include "image/elf_deps.h"

#include <algorithm>
#include <sstream>

#include "image/elf_file.h"
#include "image/files.h"

namespace image {
namespace fs = std::filesystem;

// One program or library whose needs are still to be looked at.
struct DependencyResolver::Object {
  fs::path host;
  fs::path target;
  std::string interpreter;            // of the program that started it all
  std::vector<std::string> rpath;     // DT_RPATH of this object and of those that asked for it
  ElfDynamic dynamic;
};

namespace {

bool is_64_bit_program(const fs::path& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  return file && ElfFile::is_program(file->data());
}

Result<ElfDynamic> read_dynamic(const fs::path& path) {
  const MappedFile file = IMAGE_TRY(MappedFile::open(path));
  if (!ElfFile::is_program(file.data())) return ElfDynamic{};
  const Result<ElfFile> elf = ElfFile::parse(file.data());
  if (!elf) return fail("{}: {}", path.string(), elf.error());
  return elf->dynamic();
}

std::string replace_all(std::string text, std::string_view from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
  return text;
}

// A search folder of RPATH or RUNPATH with $ORIGIN, $LIB and $PLATFORM filled in.
fs::path expand(const std::string& folder, const fs::path& origin) {
  std::string text = folder;
  for (const std::string_view name : {"${ORIGIN}", "$ORIGIN"}) text = replace_all(text, name, origin.string());
  for (const std::string_view name : {"${LIB}", "$LIB"}) text = replace_all(text, name, "lib/x86_64-linux-gnu");
  for (const std::string_view name : {"${PLATFORM}", "$PLATFORM"}) text = replace_all(text, name, "x86_64");
  return fs::path(text).lexically_normal();
}

bool is_musl(std::string_view interpreter) { return interpreter.find("ld-musl") != std::string_view::npos; }

// musl's search path: the file beside its loader's name, else its built-in folders.
std::vector<fs::path> musl_folders() {
  std::vector<fs::path> folders;
  if (const Result<std::string> text = read_text("/etc/ld-musl-x86_64.path")) {
    std::string line;
    for (std::istringstream stream(replace_all(*text, ":", "\n")); std::getline(stream, line);) {
      if (!line.empty()) folders.emplace_back(line);
    }
  }
  for (const char* folder : {"/lib", "/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-musl", "/lib/x86_64-linux-musl"}) folders.emplace_back(folder);
  return folders;
}

}  // namespace

DependencyResolver::DependencyResolver(std::vector<fs::path> extra_folders) : extra_(std::move(extra_folders)) {}

const std::map<std::string, std::string>& DependencyResolver::cache() {
  if (cache_read_) return cache_;
  cache_read_ = true;
  const Result<ChildResult> listing = run_program({"ldconfig", "-p"});
  if (!listing) return cache_;
  std::istringstream stream(listing->output);
  for (std::string line; std::getline(stream, line);) {  // "\tlibz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1"
    const std::size_t open = line.find(" (");
    const std::size_t arrow = line.find(") => ");
    if (open == std::string::npos || arrow == std::string::npos) continue;
    if (line.substr(open, arrow - open).find("x86-64") == std::string::npos) continue;
    const std::size_t start = line.find_first_not_of("\t ");
    cache_.emplace(line.substr(start, open - start), line.substr(arrow + 5));
  }
  return cache_;
}

fs::path DependencyResolver::find_default(const std::string& name, const fs::path& interpreter) {
  std::vector<fs::path> folders = extra_;
  if (is_musl(interpreter.string())) {
    std::ranges::copy(musl_folders(), std::back_inserter(folders));
  } else {
    const auto cached = cache().find(name);
    for (const fs::path& folder : extra_) {
      if (is_64_bit_program(folder / name)) return folder / name;
    }
    if (cached != cache().end() && is_64_bit_program(cached->second)) return cached->second;
    for (const char* folder : {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"}) {
      folders.emplace_back(folder);
    }
  }
  for (const fs::path& folder : folders) {
    if (is_64_bit_program(folder / name)) return folder / name;
  }
  return {};
}

Status DependencyResolver::add_object(const Object& object, std::vector<Dependency>& found, std::set<std::string>& seen,
                                      std::vector<Object>& queue) {
  for (const std::string& name : object.dynamic.needed) {
    if (!seen.insert(name).second) continue;
    if (is_musl(object.interpreter) && (name == "libc.so" || name.starts_with("libc.musl-"))) continue;  // the interpreter is the C library
    if (!object.interpreter.empty() && name == fs::path(object.interpreter).filename()) continue;
    Dependency dependency = {.name = name, .host = {}, .target = {}};
    if (name.starts_with("ld-linux-x86-64.so")) dependency.host = dependency.target = fs::path("/lib64") / name;  // where programs name it
    std::vector<std::string> folders = object.dynamic.runpath.empty() ? object.rpath : object.dynamic.runpath;
    if (name.find('/') != std::string::npos) {
      dependency.host = name;
      dependency.target = fs::path(name).lexically_normal();
    }
    for (const std::string& folder : folders) {
      if (!dependency.host.empty()) break;
      const fs::path host = expand(folder, object.host.parent_path()) / name;
      if (!is_64_bit_program(host)) continue;
      dependency.host = host;
      dependency.target = expand(folder, object.target.parent_path()) / name;
    }
    if (dependency.host.empty()) {
      dependency.host = find_default(name, object.interpreter);
      dependency.target = dependency.host;
    }
    if (dependency.host.empty() || !is_64_bit_program(dependency.host)) {
      return fail("{}: needs the library {}, which is not on this machine: install it, or put it in the image and name it in the BOM with autodep: false",
                  object.host.string(), name);
    }
    std::error_code error;
    Object next = {.host = fs::canonical(dependency.host, error), .target = dependency.target, .interpreter = object.interpreter, .rpath = object.rpath, .dynamic = {}};
    next.dynamic = IMAGE_TRY(read_dynamic(dependency.host));
    for (const std::string& folder : next.dynamic.rpath) next.rpath.push_back(folder);
    found.push_back(std::move(dependency));
    queue.push_back(std::move(next));
  }
  return {};
}

Result<std::vector<Dependency>> DependencyResolver::resolve(const fs::path& host, const fs::path& target) {
  std::vector<Dependency> found;
  Object program = {.host = host, .target = target, .interpreter = {}, .rpath = {}, .dynamic = IMAGE_TRY(read_dynamic(host))};
  std::error_code error;
  program.host = fs::canonical(host, error);
  if (error) return fail("{}: {}", host.string(), error.message());
  program.interpreter = program.dynamic.interpreter;
  program.rpath = program.dynamic.rpath;
  if (!program.interpreter.empty()) {
    if (!is_64_bit_program(program.interpreter)) {
      return fail("{}: needs the interpreter {}, which is not on this machine", host.string(), program.interpreter);
    }
    found.push_back({.name = program.interpreter, .host = program.interpreter, .target = program.interpreter, .is_interpreter = true});
  }
  std::set<std::string> seen;
  std::vector<Object> queue = {std::move(program)};
  while (!queue.empty()) {
    const Object object = std::move(queue.back());
    queue.pop_back();
    IMAGE_CHECK(add_object(object, found, seen, queue));
  }
  return found;
}

}  // namespace image
