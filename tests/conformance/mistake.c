// Asks the sanitized kernel to make one of its seeded mistakes (kernel/asan/mistakes.cc): mistake NUMBER. Comes back only if nobody noticed.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MISTAKE_CALL 0x6e617361

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  long result = syscall(MISTAKE_CALL, strtoul(argv[1], NULL, 10));
  printf("the kernel went on: %ld\n", result);
  return result == 0 ? 0 : 3;
}
