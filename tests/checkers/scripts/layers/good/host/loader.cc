#include "host_abi/entry.h"
#include "kernel/base/checked.h"
#include "sgx/arch.h"
