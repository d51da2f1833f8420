#ifndef KERNEL_BASE_LOW_H
#define KERNEL_BASE_LOW_H
#include "kernel/mm/pool.h"
#endif
