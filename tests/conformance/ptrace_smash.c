// A tracer that asks for anything: requests, addresses, registers and vector state at random, by seed. Its tracees may end as they like; the
// kernel, this process and a neighbour must not notice. Runs inside only: the tracees make calls with registers at random.
#include "conf.h"
#include <elf.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static unsigned long state;
static unsigned long rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static const long requests[] = {1, 2, 3, 4, 5, 6, 7, 7, 9, 9, 12, 13, 13, 14, 15, 17, 24, 24, 24, 0x4200, 0x4201, 0x4202, 0x4203, 0x4204, 0x4205, 0x4205,
                                0x4206, 0x4207, 0x4208, 0x4209, 0x420a, 0x420b, 0x420e, 16, 0, 31, 8};
static unsigned char buffer[16384] __attribute__((aligned(64)));
static volatile unsigned long neighbour[1024];

static unsigned long any_address(void)
{
    static const unsigned long some[] = {0, 1, 8, 0x1000, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xfffffffffffffff8, 0x202, 1, 2, 8};
    switch (rnd() % 5) {
    case 0: return some[rnd() % (sizeof some / sizeof *some)];
    case 1: return (unsigned long)buffer + rnd() % 1024; // whatever is stored there stays in the buffer
    case 2: return rnd();
    case 3: return rnd() % 1024;
    default: return (unsigned long)&any_address + rnd() % 4096;
    }
}

static void shake(unsigned char *bytes, size_t size)
{
    for (unsigned n = rnd() % 4; n > 0; n--) {
        unsigned long value = rnd() % 3 ? any_address() : 1UL << rnd() % 64;
        memcpy(bytes + rnd() % (size / 8) * 8, &value, 8);
    }
}

static void body(void)
{
    struct timespec t = {0, 1000000};
    for (int i = 0; i < 50; i++) {
        syscall(SYS_getppid);
        raise(SIGUSR1);
        nanosleep(&t, NULL);
    }
    _exit(0);
}

static long ask(pid_t pid)
{
    long request = requests[rnd() % (sizeof requests / sizeof *requests)];
    unsigned long addr = any_address(), data = any_address();
    struct iovec v = {buffer, sizeof buffer};
    if (request == PTRACE_TRACEME || request == PTRACE_ATTACH || request == PTRACE_SEIZE)
        return syscall(SYS_ptrace, request, (long)pid, addr, data) == 0 && request == PTRACE_TRACEME ? -1 : 0;
    if (request == PTRACE_SETREGS || request == PTRACE_SETFPREGS) {
        syscall(SYS_ptrace, request - 1, (long)pid, 0, buffer);
        shake(buffer, request == PTRACE_SETREGS ? sizeof(struct user_regs_struct) : 512);
        data = (unsigned long)buffer;
    } else if (request == PTRACE_GETREGSET) { // a pointer that lay in the buffer would be one into our own memory
        addr = rnd() % 4 ? rnd() % 3 : NT_X86_XSTATE;
        v.iov_len = rnd() % 2 ? sizeof buffer : rnd() % 1024;
        data = rnd() % 4 ? (unsigned long)&v : rnd() % 4096;
    } else if (request == PTRACE_SETREGSET) {
        addr = rnd() % 2 ? NT_X86_XSTATE : rnd() % 3;
        syscall(SYS_ptrace, PTRACE_GETREGSET, (long)pid, addr, &v);
        shake(buffer, addr == NT_X86_XSTATE ? 640 : 216);
        data = (unsigned long)&v;
    } else if (request == PTRACE_CONT || request == PTRACE_SYSCALL || request == PTRACE_SINGLESTEP || request == PTRACE_DETACH) {
        data = rnd() % 4 ? 0 : rnd() % 70;
        if (data == SIGSTOP || data == SIGTSTP || data == SIGTTIN || data == SIGTTOU)
            data = SIGUSR2;
    } else if (request == PTRACE_SETOPTIONS) {
        data &= 0x1000ff;
    }
    syscall(SYS_ptrace, request, (long)pid, addr, data);
    return 0;
}

int main(int argc, char **argv)
{
    state = argc > 1 ? strtoul(argv[1], NULL, 0) * 0x9e3779b97f4a7c15 + 1 : 1;
    long rounds = argc > 2 ? atol(argv[2]) : 200;
    if (access("/.inside-an-instance", F_OK) != 0)
        return 2;
    for (unsigned i = 0; i < 1024; i++)
        neighbour[i] = i * 77;
    for (long round = 0; round < rounds; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            body();
        }
        int status;
        waitpid(pid, &status, __WALL);
        for (int i = 0; i < 60; i++) {
            ask(pid);
            for (int waits = 0; waits < 3 && waitpid(pid, &status, __WALL | WNOHANG) == 0; waits++)
                sched_yield();
        }
        kill(-1, SIGKILL); // what its random calls have made, too; this is the first process
        syscall(SYS_ptrace, PTRACE_CONT, (long)pid, 0, 0); // a stop at its exit that was told of above holds it, as on Linux
        while ((pid = waitpid(-1, &status, __WALL)) > 0)
            if (WIFSTOPPED(status)) // at its exit
                syscall(SYS_ptrace, PTRACE_CONT, (long)pid, 0, 0);
    }
    for (unsigned i = 0; i < 1024; i++)
        CHECK(neighbour[i] == i * 77);
    printf("%ld rounds\n", rounds);
    return conf_end();
}
