// Calls that no other program of this folder comes by: each at least once as it is meant, and with what it must refuse.
#include "conf.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static void memory(void)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), out[16] = {0};
    strcpy(p + 100, "own memory");
    RES(syscall(SYS_mlock2, p, 4096, 0));
    RES(syscall(SYS_mlock2, p, 4096, 99));
    RES(munlock(p, 4096));
    RES(syscall(SYS_mlockall, MCL_CURRENT));
    RES(syscall(SYS_mlockall, 0));
    RES(syscall(SYS_munlockall));
    struct iovec local = {out, 10}, remote = {p + 100, 10};
    RES(syscall(SYS_process_vm_readv, getpid(), &local, 1L, &remote, 1L, 0L));
    puts(out);
    RES(syscall(SYS_process_vm_writev, getpid(), &remote, 1L, &local, 1L, 0L));
    RES(syscall(SYS_process_vm_readv, 0x7ffffff0, &local, 1L, &remote, 1L, 0L));
    RES(syscall(SYS_process_vm_readv, getpid(), &local, 1L, &remote, 1L, 77L));
    munmap(p, 8192);
    void *head = NULL;
    size_t size = 0;
    RES(syscall(SYS_get_robust_list, 0, &head, &size));
    RES(size);
    RES(syscall(SYS_get_robust_list, 0x7ffffff0, &head, &size));
}

static void files(void)
{
    char buf[32];
    struct timeval tv[2] = {{1000, 5}, {2000, 7}};
    struct stat st;
    int fd = open("calls", O_RDWR | O_CREAT | O_TRUNC, 0600);
    RES(symlink("calls", "calls-link"));
    struct iovec v = {"written", 7};
    RES(syscall(SYS_pwritev2, fd, &v, 1L, 3L, 0L, 0L));
    RES(syscall(SYS_pwritev2, fd, &v, 1L, -1L, -1L, 0L));
    RES(lseek(fd, 0, SEEK_CUR));
    RES(syscall(SYS_pwritev2, fd, &v, 1L, 0L, 0L, 0x4000L));
    RES(syscall(SYS_futimesat, AT_FDCWD, "calls", tv));
    stat("calls", &st);
    printf("%ld %ld\n", (long)st.st_atim.tv_sec, (long)st.st_mtim.tv_sec);
    tv[0].tv_usec = 1000000;
    RES(syscall(SYS_futimesat, AT_FDCWD, "calls", tv));
    RES(fsetxattr(fd, "user.a", "12", 2, 0));
    RES(lsetxattr("calls", "user.b", "3", 1, 0));
    RES(lsetxattr("calls-link", "user.c", "3", 1, 0));
    RES(lgetxattr("calls", "user.a", buf, sizeof buf));
    RES(lgetxattr("calls-link", "user.a", buf, sizeof buf));
    RES(llistxattr("calls", buf, sizeof buf));
    RES(flistxattr(fd, buf, 3));
    RES(fremovexattr(fd, "user.a"));
    RES(lremovexattr("calls", "user.b"));
    RES(lremovexattr("calls", "user.b"));
    RES(mount("none", "/none/at/all", "ramfs", 0, NULL));
    RES(mount("none", "calls", "ramfs", 0, NULL));
    RES(mount("none", ".", "no-such-type", 0, NULL));
    RES(umount2("/none/at/all", 0));
    RES(umount2(".", 0x7777));
    close(fd);
    unlink("calls");
    unlink("calls-link");
}

static void identity(void)
{
    CHECK(getppid() >= 0);
    RES(setpgid(0x7ffffff0, 0));
    RES(setpgid(0, -1));
    RES(setsid());
    RES(setgroups(0, NULL));
    RES(getgroups(0, NULL));
    RES(setgroups(1 << 20, NULL));
    RES(setfsuid(0));
    RES(setfsgid(0));
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    RES(syscall(SYS_capget, &header, data));
    header.version = 77;
    RES(syscall(SYS_capget, &header, data));
    printf("%x\n", header.version);
    struct timeval bad = {0, 2000000};
    RES(settimeofday(&bad, NULL));
    RES(sethostname("name", (size_t)-1));
    RES(syscall(SYS_sethostname, "name", 65L));
    RES(syscall(SYS_setdomainname, "name", 65L));
    RES(syscall(SYS_setdomainname, 8L, 4L));
}

static void scheduling(void)
{
    unsigned attr[16] = {0};
    RES(syscall(SYS_sched_getattr, 0, attr, 48, 0));
    printf("size %u policy %u\n", attr[0], attr[1]);
    RES(syscall(SYS_sched_setattr, 0, attr, 0));
    RES(syscall(SYS_sched_setattr, 0, attr, 5));
    RES(syscall(SYS_sched_getattr, 0, attr, 4, 0));
    RES(syscall(SYS_sched_getattr, 0x7ffffff0, attr, 48, 0));
    static unsigned word = 3;
    struct waitv {
        unsigned long long val, uaddr;
        unsigned flags, reserved;
    } w = {3, (unsigned long)&word, 0x82, 0}; // 32-bit, private
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_nsec += 5000000;
    if (soon.tv_nsec >= 1000000000) {
        soon.tv_nsec -= 1000000000;
        soon.tv_sec++;
    }
    RES(syscall(SYS_futex_waitv, &w, 0, 0, NULL, 0));
    RES(syscall(SYS_futex_waitv, &w, 1, 7, NULL, 0));
    RES(syscall(SYS_futex_waitv, &w, 1, 0, &soon, CLOCK_MONOTONIC));
    w.val = 4;
    RES(syscall(SYS_futex_waitv, &w, 1, 0, &soon, CLOCK_MONOTONIC));
    w.reserved = 1;
    RES(syscall(SYS_futex_waitv, &w, 1, 0, &soon, CLOCK_MONOTONIC)); // futex_waitv
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    memory();
    files();
    identity();
    scheduling();
    return conf_end();
}
