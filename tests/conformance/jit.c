// A program that writes its own code, system calls included: no table of the image knows these sites. With -l it only loops.
#include "conf.h"
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
    // mov $39, %eax; syscall; ret   |   lea 1(%rdi), %rax; syscall behind a jump target; ret
    static const unsigned char getpid_code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    static const unsigned char any_code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x0f, 0x05, 0xc3};
    unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, getpid_code, sizeof getpid_code);
    memcpy(code + 64, any_code, sizeof any_code);
    CHECK(mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0);
    long (*get)(void) = (long (*)(void))(uintptr_t)code;
    long (*any)(long, long, long, long) = (long (*)(long, long, long, long))(uintptr_t)(code + 64);
    int loops = argc > 1 && strcmp(argv[1], "-l") == 0 ? 100000 : 1000;
    for (int i = 0; i < loops; i++)
        CHECK(get() == getpid());
    RES(any(SYS_write, 1, (long)"from generated code\n", 20));
    RES(any(SYS_close, 12345, 0, 0) == -EBADF);
    CHECK(munmap(code, 4096) == 0);
    return conf_end();
}
