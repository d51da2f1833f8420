#include "cli/verbs.h"

namespace cli {

int copy_bom(const BomArguments&) {
  print_error("copy_bom: not in this build");
  return static_cast<int>(Exit::usage);
}

}  // namespace cli
