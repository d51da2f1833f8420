// For occlum-build-tool, the command line without the host runtime.
#include "cli/verbs.h"

namespace cli {

int run(const RunArguments&) {
  print_error("run: this program only builds instances; use `occlum`");
  return static_cast<int>(Exit::not_started);
}

}  // namespace cli
