#include "host_abi/entry.h"
#include "kernel/base/result.h"
#include "kernel/frame/host_memory.h"
