// Which files a program needs: its interpreter and, transitively, its shared libraries, found as the dynamic loader finds them.
#ifndef IMAGE_ELF_DEPS_H
#define IMAGE_ELF_DEPS_H

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "image/result.h"

namespace image {

// One file that a program needs.
struct Dependency {
  std::string name;              // as the program asks for it: a soname or the interpreter's path
  std::filesystem::path host;    // where it is on this machine
  std::filesystem::path target;  // where it belongs in the image: an absolute path that the loader will search
  bool is_interpreter = false;
};

// Resolves dependencies on this machine. Caches what it has found; one object serves many programs.
class DependencyResolver {
 public:
  // `extra_folders` are searched first (LD_LIBRARY_PATH of the machine is not used).
  explicit DependencyResolver(std::vector<std::filesystem::path> extra_folders = {});

  // Everything that the program at `host` needs, without the program itself. `target` is the path it will have in the image, for
  // $ORIGIN. Files that are not ELF programs, and static ones, need nothing. A library that is not found is an error that names it.
  Result<std::vector<Dependency>> resolve(const std::filesystem::path& host, const std::filesystem::path& target);

  // Finds one library by soname in the default places. Empty if there is none.
  std::filesystem::path find_default(const std::string& name, const std::filesystem::path& interpreter);

 private:
  struct Object;
  Status add_object(const Object& object, std::vector<Dependency>& found, std::set<std::string>& seen, std::vector<Object>& queue);
  const std::map<std::string, std::string>& cache();  // soname -> path, from ldconfig -p

  std::vector<std::filesystem::path> extra_;
  std::map<std::string, std::string> cache_;
  bool cache_read_ = false;
};

}  // namespace image
#endif  // IMAGE_ELF_DEPS_H
