// A kernel-shaped static-PIE for the tests of the enclave file: text, read-only data, relocated constants, data and .bss of several
// pages. It is placed and measured, never run.
extern "C" {

int sgx_test_data = 7;
static int* const kConstPointers[3] = {&sgx_test_data, &sgx_test_data + 1, nullptr};  // .data.rel.ro
int* sgx_test_pointer = &sgx_test_data;                                               // .data with a relocation
char sgx_test_bss[5 * 4096 + 12];
extern const char sgx_test_text[] = "read-only text of the test kernel";

__attribute__((noinline)) int sgx_test_sum(unsigned index) {
  return *sgx_test_pointer + (kConstPointers[index % 3] != nullptr ? 1 : 0) + sgx_test_bss[index] + sgx_test_text[index % 8];
}

[[noreturn]] void kernel_entry() {
  const int sum = sgx_test_sum(static_cast<unsigned>(sgx_test_data));
  for (;;) __asm__ volatile(".byte 0x0f, 0x01, 0xd7" : : "a"(4), "b"(sum));
}
}
