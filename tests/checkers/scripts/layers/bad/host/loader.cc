#include "kernel/frame/user.h"
