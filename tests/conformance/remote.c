// The memory of other processes: process_vm_readv and process_vm_writev, with a child that has the same addresses and one that has
// executed, what fails and what is done in part; /proc/PID/mem.
#include "conf.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

static char global[64] = "of the parent";
static char *heap, *mapped;

static long copy(int writes, pid_t pid, void *here, void *there, size_t size)
{
    struct iovec local = {here, size}, remote = {there, size};
    return writes ? process_vm_writev(pid, &local, 1, &remote, 1, 0) : process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

// Says that it is ready and waits for the word to go on.
static void meet(int out, int in)
{
    char c = 'x';
    CHECK(write(out, &c, 1) == 1 && read(in, &c, 1) == 1);
}

static void forked(void)
{
    int up[2], down[2];
    char text[64] = "", local[64] = "on the stack of the parent";
    CHECK(pipe(up) == 0 && pipe(down) == 0);
    strcpy(heap, "heap of the parent");
    strcpy(mapped, "mapping of the parent");
    pid_t child = fork();
    if (child == 0) {
        close(up[0]); // so that the parent's end is seen
        close(down[1]);
        strcpy(global, "of the child");
        strcpy(heap, "heap of the child");
        strcpy(mapped, "mapping of the child");
        strcpy(local, "on the stack of the child");
        meet(up[1], down[0]);
        puts(global);
        puts(mapped);
        munmap(mapped + 4096, 4096);
        mprotect(mapped + 8192, 4096, PROT_READ);
        meet(up[1], down[0]);
        printf("child: %d %d\n", mapped[8192], mapped[3 * 4096]);
        exit(0);
    }
    close(up[1]);
    close(down[0]);
    char c;
    CHECK(read(up[0], &c, 1) == 1);
    for (int i = 0; i < 3; i++) { // each turn may have exchanged pages
        RES(copy(0, child, text, global, sizeof text));
        puts(text);
        RES(copy(0, child, text, heap, sizeof text));
        puts(text);
        RES(copy(0, child, text, mapped, sizeof text));
        puts(text);
        RES(copy(0, child, text, local, sizeof text));
        puts(text);
        printf("%s, %s, %s, %s\n", global, heap, mapped, local);
        usleep(2000);
    }
    RES(copy(1, child, "written by the parent", global, 22));
    RES(copy(1, child, "written too", mapped, 12));
    printf("%s, %s\n", global, mapped);
    CHECK(write(down[1], "g", 1) == 1 && read(up[0], &c, 1) == 1);
    // A hole ends it; nothing done is an error.
    char big[4 * 4096];
    RES(copy(0, child, big, mapped, sizeof big));
    RES(copy(0, child, big, mapped + 4096, 10));
    RES(copy(1, child, "y", mapped + 8192, 1));
    RES(copy(1, child, "z", mapped + 3 * 4096, 1));
    struct iovec local_parts[3] = {{text, 3}, {text + 10, 0}, {text + 20, 9}}, remote_parts[2] = {{global, 5}, {heap, 7}};
    memset(text, '.', sizeof text);
    RES(process_vm_readv(child, local_parts, 3, remote_parts, 2, 0));
    printf("%.30s\n", text);
    RES(process_vm_readv(child, local_parts, 3, remote_parts, 0, 0));
    RES(process_vm_readv(child, local_parts, 3, remote_parts, 2000, 0));
    RES(process_vm_readv(child, local_parts, 1, (void *)8, 1, 0));
    RES(copy(0, child, (void *)8, global, 10));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)child);
    int mem = open(path, O_RDWR);
    CHECK(mem >= 0);
    RES(pread(mem, text, 22, (off_t)(unsigned long)global));
    puts(text);
    RES(pread(mem, text, 22, (off_t)(unsigned long)(mapped + 4096)));
    RES(pwrite(mem, "\7", 1, (off_t)(unsigned long)(mapped + 8192))); // a debugger may
    close(mem);
    CHECK(write(down[1], "g", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    RES(copy(0, child, text, global, 10));
    close(up[0]);
    close(down[1]);
}

static void rights(void)
{
    int up[2];
    char c;
    CHECK(pipe(up) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (setgid(4711) != 0 || setuid(4711) != 0)
            _exit(9);
        prctl(PR_SET_DUMPABLE, 1);
        char text[8];
        RES(copy(0, getppid(), text, global, 8));
        RES(copy(0, getpid(), text, global, 8));
        CHECK(write(up[1], "x", 1) == 1);
        pause();
        _exit(0);
    }
    CHECK(read(up[0], &c, 1) == 1);
    pid_t other = fork();
    if (other == 0) {
        char text[8];
        if (setgid(4711) != 0 || setuid(4711) != 0)
            _exit(9);
        RES(copy(0, child, text, global, 8));
        exit(0);
    }
    waitpid(other, NULL, 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(void)
{
    alarm(60);
    heap = malloc(1000);
    mapped = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    forked();
    rights();
    return conf_end();
}
