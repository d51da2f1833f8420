// The verbs of the command line. Each returns an exit code and prints its own messages.
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/console.h"

namespace cli {

// `occlum new PATH` and `occlum init`: make an instance in `folder`.
int make_instance(const std::string& folder, const std::string& init_ra);

struct BuildArguments {
  std::string sgx_mode;
  std::string sign_key;
  std::string sign_tool;
  std::string image_key;
  std::string enable_edmm;  // "", "Y" or "N"
  bool buildin_image_key = false;
  bool force = false;
  bool keep_modes = false;
  bool autodep = false;
  bool verbose = false;
};
// `occlum build` in the current folder.
int build(const BuildArguments& arguments);

struct RunArguments {
  std::string config_id;  // base64, with KSS
  std::optional<std::uint16_t> config_svn;
  bool stats = false;
  std::vector<std::string> command;  // program and its arguments
};
// `occlum run` in the current folder: returns the program's exit code, 128 + signal if one ended it.
int run(const RunArguments& arguments);

// `occlum print mrenclave|mrsigner`.
int print_identity(const std::string& what);
// `occlum status`.
int status();
// `occlum gen-image-key PATH`.
int generate_image_key(const std::string& path);

struct BomArguments {
  std::string file;
  std::string root;
  std::vector<std::string> include_folders;
  bool dry_run = false;
  bool verbose = false;
};
// `occlum copy_bom`, `occlum bom`, `copy_bom`.
int copy_bom(const BomArguments& arguments);

}  // namespace cli
#endif  // CLI_VERBS_H
