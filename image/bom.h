// BOM files: bills of materials that say what goes into an image (docs/cli.md describes the form).
#ifndef IMAGE_BOM_H
#define IMAGE_BOM_H

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/result.h"
#include "image/tree.h"

namespace image {

struct BomFile {
  std::string name;                  // on this machine, variables expanded, `from` in front
  std::string rename;                // name in the image, empty: as on this machine
  std::optional<std::string> hash;   // SHA-256, lower-case hexadecimal
  bool autodep = true;
};

struct BomLink {
  std::string content;
  std::string name;
};

struct BomTarget {
  std::string target;  // absolute folder in the image
  std::vector<std::string> folders;       // to make, below target
  std::vector<BomLink> links;             // to make, below target
  std::vector<std::string> copy_folders;  // on this machine; with a trailing slash only what is inside
  std::vector<BomFile> files;
};

struct Bom {
  std::vector<std::string> includes;
  std::vector<std::string> excludes;
  std::vector<BomTarget> targets;
};

// Parses and checks the text of a BOM file; `name` is its name in errors. Errors name the key: unknown keys, wrong types, variables
// that are not set.
Result<Bom> parse_bom(std::string_view text, const std::string& name);

struct BomOptions {
  std::filesystem::path file;
  std::filesystem::path root;
  std::vector<std::filesystem::path> include_folders;
  bool dry_run = false;
  TreeLog log = [](const std::string&) {};
  TreeLog warn = [](const std::string&) {};
};

// Does what a BOM file and those it includes say. Running it again changes nothing; nothing is ever deleted. `base.yaml` is built in
// (the folders and libraries of `occlum init`) unless a file of that name is found.
Status copy_bom(const BomOptions& options);

}  // namespace image
#endif  // IMAGE_BOM_H
