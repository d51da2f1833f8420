#include "kernel/base/types.h"
