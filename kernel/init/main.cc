#include "kernel/host/log.h"
#include "kernel/init/boot.h"

namespace kernel {

void start_first_program() {
  fail_to_start(0, "hello from the kernel");
}

}  // namespace kernel
