#include "cli/verbs.h"

namespace cli {

int run(const RunArguments&) {
  print_error("run: this build has no host runtime");
  return static_cast<int>(Exit::not_started);
}

}  // namespace cli
