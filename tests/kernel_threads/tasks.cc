// What pipes and epoll want of tasks: nobody here is a task, and no signal comes.
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

namespace kernel {
void raise_signal(Task&, int) { panic("a signal in a test", __FILE_NAME__, __LINE__); }
}  // namespace kernel
