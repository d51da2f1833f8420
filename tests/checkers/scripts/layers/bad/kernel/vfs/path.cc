#include "host_abi/enclave_config.h"
// #include "host/commented_out.h"
const char* text = "#include \"host/in_a_string.h\"";
