#include <cstdio>
#include <cstdlib>

#include "kernel/base/config.h"

namespace kernel {
void panic(const char* what, const char* file, int line) {
  std::fprintf(stderr, "panic: %s (%s:%d)\n", what, file, line);
  std::abort();
}
}  // namespace kernel
