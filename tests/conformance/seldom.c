// Calls that libraries seldom or never make under these names: each once by itself, what it does and what it refuses.
#include "conf.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <utime.h>

#define CHILD(body) \
    do { \
        pid_t conf_child = fork(); \
        if (conf_child == 0) { \
            body; \
            _exit(conf_failures != 0); \
        } \
        int conf_status; \
        CHECK(waitpid(conf_child, &conf_status, 0) == conf_child && conf_status == 0); \
    } while (0)

static volatile sig_atomic_t got_signal, got_value, got_code;

static void note(int signo, siginfo_t *info, void *context)
{
    (void)context;
    got_signal = signo;
    got_value = info->si_value.sival_int;
    got_code = info->si_code;
}

static void put(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void directories(void)
{
    struct old_dirent {
        unsigned long ino, next;
        unsigned short size;
        char name[];
    };
    mkdir("list", 0755);
    put("list/one", "1");
    put("list/two", "2");
    CHECK(mkdir("list/three", 0755) == 0 && symlink("one", "list/four") == 0);
    char buffer[4096], *names[16];
    int fd = open("list", O_RDONLY | O_DIRECTORY), count = 0;
    RES(syscall(SYS_getdents, fd, buffer, 8));
    long size = syscall(SYS_getdents, fd, buffer, sizeof buffer);
    for (long at = 0; at < size && count < 16;) {
        struct old_dirent *entry = (struct old_dirent *)(buffer + at);
        static char text[16][64];
        snprintf(text[count], sizeof *text, "%s type %d", entry->name, buffer[at + entry->size - 1]);
        names[count] = text[count];
        count++;
        at += entry->size;
    }
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 0; i < count; i++)
        printf("%s\n", names[i]);
    RES(syscall(SYS_getdents, fd, buffer, sizeof buffer));
    close(fd);
    char link[8] = "xxxxxxx";
    int at = open("list", O_PATH), self = open("list/four", O_PATH | O_NOFOLLOW);
    RES(syscall(SYS_readlinkat, at, "four", link, 2));
    printf("%.7s\n", link);
    RES(syscall(SYS_readlinkat, self, "", link, sizeof link));
    RES(syscall(SYS_readlinkat, at, "", link, sizeof link));
    RES(syscall(SYS_readlinkat, at, "four", link, 0));
    RES(syscall(SYS_readlinkat, at, "one", link, sizeof link));
    RES(syscall(SYS_mknodat, at, "fifo", S_IFIFO | 0640, 0));
    RES(syscall(SYS_mknodat, at, "plain", 0600, 0));
    RES(syscall(SYS_mknodat, at, "plain", 0600, 0));
    RES(syscall(SYS_mknodat, at, "dir", S_IFDIR | 0700, 0));
    RES(syscall(SYS_mknodat, at, "bad", 0130000, 0));
    struct stat st;
    RES(syscall(SYS_newfstatat, at, "fifo", &st, 0));
    printf("%o\n", st.st_mode);
    RES(syscall(SYS_newfstatat, at, "four", &st, AT_SYMLINK_NOFOLLOW));
    printf("%o %ld\n", st.st_mode & S_IFMT, (long)st.st_size);
    RES(syscall(SYS_newfstatat, at, "four", &st, 0x40000));
    close(at);
    close(self);
}

static void contents(void)
{
    char text[32] = "";
    int fd = creat("made", 0666);
    CHECK(fd >= 0);
    RES(write(fd, "0123456789", 10));
    RES(read(fd, text, 1));
    close(fd);
    fd = syscall(SYS_creat, "made", 0666);
    struct stat st;
    fstat(fd, &st);
    printf("creat again: size %ld mode %o\n", (long)st.st_size, st.st_mode);
    RES(syscall(SYS_pwrite64, fd, "abcdef", 6, 4L));
    close(fd);
    RES(syscall(SYS_creat, "list", 0666));
    fd = open("made", O_RDWR);
    RES(syscall(SYS_pread64, fd, text, 3, 5L));
    printf("%.3s at %ld\n", text, (long)lseek(fd, 0, SEEK_CUR));
    RES(syscall(SYS_pread64, fd, text, 3, 10L));
    RES(syscall(SYS_pread64, fd, text, 3, -1L));
    RES(syscall(SYS_readahead, fd, 0L, 4096L));
    RES(syscall(SYS_readahead, -1, 0L, 4096L));
    RES(syscall(SYS_fadvise64, fd, 0L, 0L, 3));
    RES(syscall(SYS_fadvise64, fd, 0L, 0L, 77));
    RES(syscall(SYS_fadvise64, fd, 0L, -1L, 0));
    RES(syscall(SYS_sync_file_range, fd, 0L, 0L, 7));
    RES(syscall(SYS_sync_file_range, fd, 0L, 0L, 8));
    RES(syscall(SYS_sync_file_range, fd, -1L, 0L, 0));
    RES(syscall(SYS_syncfs, fd));
    RES(syscall(SYS_syncfs, -1));
    RES(syscall(SYS_sync));
    int p[2];
    CHECK(pipe(p) == 0);
    RES(syscall(SYS_readahead, p[0], 0L, 1L));
    RES(syscall(SYS_fadvise64, p[0], 0L, 0L, 0));
    RES(syscall(SYS_sync_file_range, p[0], 0L, 0L, 0));
    RES(syscall(SYS_pread64, p[0], text, 1, 0L));
    RES(fgetxattr(fd, "user.none", text, sizeof text));
    RES(fgetxattr(fd, "nospace", text, sizeof text));
    RES(fgetxattr(-1, "user.none", text, sizeof text));
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RES(syscall(SYS_pkey_mprotect, page, 4096L, PROT_READ | PROT_WRITE, -1));
    *(volatile char *)page = 1;
    RES(syscall(SYS_pkey_mprotect, page, 4096L, PROT_READ, 9));
    munmap(page, 4096);
    close(fd);
    close(p[0]);
    close(p[1]);
}

static void times_of_files(void)
{
    struct stat st;
    put("timed", "x");
    struct utimbuf seconds = {1000000000, 1100000000};
    RES(utime("timed", &seconds));
    stat("timed", &st);
    printf("%ld.%09ld %ld.%09ld\n", (long)st.st_atime, st.st_atim.tv_nsec, (long)st.st_mtime, st.st_mtim.tv_nsec);
    struct timeval fine[2] = {{1200000000, 250000}, {1300000000, 999999}};
    RES(syscall(SYS_utimes, "timed", fine));
    stat("timed", &st);
    printf("%ld.%09ld %ld.%09ld\n", (long)st.st_atime, st.st_atim.tv_nsec, (long)st.st_mtime, st.st_mtim.tv_nsec);
    fine[1].tv_usec = 1000000;
    RES(syscall(SYS_utimes, "timed", fine));
    RES(syscall(SYS_utime, "none", NULL));
    RES(syscall(SYS_utimes, "none", NULL));
    RES(syscall(SYS_utime, "timed", NULL));
    stat("timed", &st);
    CHECK(st.st_mtime > 1600000000);
    CHILD(CHECK(setresuid(1234, 1234, 1234) == 0); RES(utime("timed", &seconds)); RES(utime("timed", NULL)));
}

static void opening(void)
{
    struct {
        struct open_how how;
        uint64_t more;
    } big = {{.flags = O_RDONLY}, 0};
    struct open_how how = {.flags = O_CREAT | O_WRONLY | O_EXCL, .mode = 0600};
    put("target", "t");
    int fd = syscall(SYS_openat2, AT_FDCWD, "fresh", &how, sizeof how);
    CHECK(fd >= 0 && close(fd) == 0);
    RES(syscall(SYS_openat2, AT_FDCWD, "fresh", &how, sizeof how));
    how.flags = O_RDONLY;
    RES(syscall(SYS_openat2, AT_FDCWD, "fresh", &how, sizeof how)); // a mode without O_CREAT
    how.mode = 0;
    RES(syscall(SYS_openat2, AT_FDCWD, "fresh", &how, sizeof how - 8));
    how.flags = 1ull << 40;
    RES(syscall(SYS_openat2, AT_FDCWD, "fresh", &how, sizeof how));
    how.flags = O_RDONLY;
    how.resolve = 1 << 20;
    RES(syscall(SYS_openat2, AT_FDCWD, "fresh", &how, sizeof how));
    fd = syscall(SYS_openat2, AT_FDCWD, "target", &big, sizeof big);
    CHECK(fd >= 0 && close(fd) == 0);
    big.more = 1;
    RES(syscall(SYS_openat2, AT_FDCWD, "target", &big, sizeof big));
    chmod("fresh", 0640);
    int at = open("list", O_PATH), file = open("fresh", O_RDONLY);
    RES(syscall(SYS_faccessat2, at, "four", R_OK, AT_SYMLINK_NOFOLLOW));
    RES(syscall(SYS_faccessat2, at, "none", F_OK, 0));
    RES(syscall(SYS_faccessat2, file, "", R_OK, AT_EMPTY_PATH));
    RES(syscall(SYS_faccessat2, file, "", R_OK, 0));
    RES(syscall(SYS_faccessat2, AT_FDCWD, "fresh", 8, 0));
    RES(syscall(SYS_faccessat2, AT_FDCWD, "fresh", R_OK, 0x8000));
    // The real ids count, or with AT_EACCESS the effective ones.
    CHILD(CHECK(setresuid(0, 1234, 0) == 0); RES(syscall(SYS_faccessat2, AT_FDCWD, "fresh", R_OK, 0));
          RES(syscall(SYS_faccessat2, AT_FDCWD, "fresh", R_OK, AT_EACCESS)));
    close(at);
    close(file);
    // The root of a process and its children, but not of what they hold open.
    mkdir("cage", 0755);
    put("cage/inside", "i");
    CHILD(char cwd[256]; struct stat st; RES(chroot("cage")); RES(syscall(SYS_getcwd, cwd, sizeof cwd) > 0); printf("%.13s\n", cwd); RES(chdir("/"));
          RES(syscall(SYS_getcwd, cwd, sizeof cwd)); RES(stat("/../../inside", &st)); RES(stat("/cage", &st)); RES(chroot("none")); RES(chroot("inside"));
          CHECK(setresuid(1234, 1234, 1234) == 0); RES(chroot("/")));
}

struct cap_header {
    uint32_t version;
    int pid;
};
struct cap_data {
    uint32_t effective, permitted, inheritable;
};

static void identities(void)
{
    CHILD(uid_t r; uid_t e; uid_t s; RES(setreuid(100, 200)); CHECK(getresuid(&r, &e, &s) == 0); printf("%u %u %u\n", r, e, s); RES(setreuid(200, 100));
          CHECK(getresuid(&r, &e, &s) == 0); printf("%u %u %u\n", r, e, s); RES(setreuid(300, -1)); RES(setreuid(-1, 300)));
    CHILD(gid_t r; gid_t e; gid_t s; RES(setregid(100, 200)); CHECK(getresgid(&r, &e, &s) == 0); printf("%u %u %u\n", r, e, s);
          RES(setresgid(1, 2, 3)); RES(syscall(SYS_getresgid, &r, &e, &s)); printf("%u %u %u\n", r, e, s); CHECK(setresuid(9, 9, 9) == 0);
          RES(setresgid(3, 1, 2)); RES(setresgid(4, -1, -1)); RES(setregid(2, -1)));
    struct cap_header header = {0x20080522, 0};
    struct cap_data data[2];
    CHILD(CHECK(syscall(SYS_capget, &header, data) == 0); data[0].permitted &= ~1u; data[0].effective &= ~1u; RES(syscall(SYS_capset, &header, data));
          put("other", "o"); RES(chown("other", 55, 55)); data[0].permitted |= 1; RES(syscall(SYS_capset, &header, data));
          header.pid = 1 << 30; RES(syscall(SYS_capset, &header, data)); header.version = 7; RES(syscall(SYS_capset, &header, data));
          printf("%x\n", header.version));
    struct sched_param param = {0};
    RES(sched_setparam(0, &param));
    param.sched_priority = 1;
    RES(sched_setparam(0, &param));
    RES(sched_setparam(-5, &param));
    param.sched_priority = 0;
    RES(sched_setparam(1 << 29, &param));
    RES(syscall(SYS_sched_setparam, 0, NULL));
}

static void signals(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    RES(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
    printf("%d %d\n", got_signal == SIGUSR1, got_code);
    RES(syscall(SYS_tkill, syscall(SYS_gettid), 0));
    RES(syscall(SYS_tkill, syscall(SYS_gettid), 65));
    RES(syscall(SYS_tkill, 0, SIGUSR1));
    RES(syscall(SYS_tkill, 1 << 29, SIGUSR1));
    siginfo_t info = {.si_code = SI_QUEUE};
    info.si_value.sival_int = 77;
    got_signal = 0;
    RES(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGUSR1, &info));
    printf("%d %d %d\n", got_signal == SIGUSR1, got_value, got_code);
    RES(syscall(SYS_rt_tgsigqueueinfo, 1 << 29, syscall(SYS_gettid), SIGUSR1, &info));
    RES(syscall(SYS_rt_tgsigqueueinfo, getpid(), -1, SIGUSR1, &info));
    info.si_code = SI_USER;
    CHILD(RES(syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), SIGUSR1, &info)));
    sigset_t block, pending;
    struct timespec none = {0, 0};
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    raise(SIGUSR1);
    sigemptyset(&pending);
    RES(syscall(SYS_rt_sigpending, &pending, 8));
    printf("%d\n", sigismember(&pending, SIGUSR1));
    RES(syscall(SYS_rt_sigpending, &pending, 16));
    RES(syscall(SYS_rt_sigtimedwait, &block, &info, &none, 8) == SIGUSR1);
    RES(syscall(SYS_rt_sigtimedwait, &block, &info, &none, 8));
    RES(syscall(SYS_rt_sigtimedwait, &block, &info, &none, 4));
    // Masks that hold while one waits: the signal that is pending comes then and only then.
    sigset_t open_mask;
    sigprocmask(SIG_SETMASK, NULL, &open_mask);
    sigdelset(&open_mask, SIGUSR1);
    int epoll = epoll_create1(0);
    struct epoll_event event;
    struct timespec second = {1, 0};
    for (int i = 0; i < 4; i++) {
        got_signal = 0;
        raise(SIGUSR1);
        CHECK(got_signal == 0);
        if (i == 0)
            RES(pselect(0, NULL, NULL, NULL, &second, &open_mask));
        else if (i == 1)
            RES(epoll_pwait(epoll, &event, 1, 1000, &open_mask));
        else if (i == 2)
            RES(syscall(SYS_epoll_pwait2, epoll, &event, 1, &second, &open_mask, 8));
        else
            RES(syscall(SYS_rt_sigsuspend, &open_mask, 8));
        printf("%d\n", got_signal == SIGUSR1);
    }
    struct timespec wrong = {0, 1000000000};
    RES(syscall(SYS_epoll_pwait2, epoll, &event, 1, &none, NULL, 8));
    RES(syscall(SYS_epoll_pwait2, epoll, &event, 1, &wrong, NULL, 8));
    RES(syscall(SYS_epoll_pwait2, epoll, &event, 0, &none, NULL, 8));
    RES(syscall(SYS_epoll_pwait2, epoll, &event, 1, &none, &open_mask, 4));
    RES(pselect(0, NULL, NULL, NULL, &wrong, NULL));
    RES(pselect(0, NULL, NULL, NULL, &none, NULL));
    RES(pselect(-1, NULL, NULL, NULL, &none, NULL));
    close(epoll);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
}

static void pipes(void)
{
    int a[2], b[2], nonblocking[2];
    char text[32] = "";
    CHECK(pipe(a) == 0 && pipe(b) == 0 && pipe2(nonblocking, O_NONBLOCK) == 0);
    RES(write(a[1], "twice told", 10));
    RES(syscall(SYS_tee, a[0], b[1], 5L, 0));
    RES(read(b[0], text, sizeof text));
    printf("%.5s\n", text);
    RES(read(a[0], text, sizeof text));
    printf("%.10s\n", text);
    RES(syscall(SYS_tee, nonblocking[0], b[1], 5L, 0));
    RES(syscall(SYS_tee, a[0], a[1], 5L, 0));
    RES(syscall(SYS_tee, a[0], b[1], 5L, 0x40));
    RES(syscall(SYS_tee, a[0], b[0], 5L, 0));
    RES(syscall(SYS_tee, a[0], b[1], 0L, 0));
    int file = open("made", O_RDWR);
    RES(syscall(SYS_tee, file, b[1], 5L, 0));
    close(a[1]);
    RES(syscall(SYS_tee, a[0], b[1], 5L, 0));
    uint64_t value = 3;
    int counter = syscall(SYS_eventfd2, 2, EFD_SEMAPHORE | EFD_NONBLOCK);
    RES(write(counter, &value, 8));
    for (int i = 0; i < 6; i++) {
        value = 0;
        RES(read(counter, &value, 8));
        printf("%d\n", (int)value);
    }
    RES(syscall(SYS_eventfd2, 0, 2));
}

static void execution(const char *self)
{
    char *const arguments[] = {(char *)"seldom", (char *)"child", NULL};
    char *const none[] = {NULL};
    int program = open(self, O_PATH), folder = open(".", O_PATH | O_DIRECTORY);
    symlink(self, "to-self");
    put("not-executable", "x");
    CHILD(syscall(SYS_execveat, program, "", arguments, none, AT_EMPTY_PATH); CHECK(0));
    CHILD(syscall(SYS_execveat, folder, "to-self", arguments, none, 0); CHECK(0));
    RES(syscall(SYS_execveat, folder, "to-self", arguments, none, AT_SYMLINK_NOFOLLOW));
    RES(syscall(SYS_execveat, folder, "not-executable", arguments, none, 0));
    RES(syscall(SYS_execveat, folder, "none", arguments, none, 0));
    RES(syscall(SYS_execveat, folder, "", arguments, none, 0));
    RES(syscall(SYS_execveat, program, "", arguments, none, AT_EMPTY_PATH | 1));
    RES(syscall(SYS_execveat, -1, "x", arguments, none, 0));
    CHILD(syscall(SYS_execve, self, arguments, none); CHECK(0));
}

// Numbers that the library left for newer ones; static and old programs still make them.
static void old_numbers(void)
{
    struct stat st;
    char text[16] = "";
    long fd = syscall(SYS_open, "old", O_RDWR | O_CREAT | O_EXCL, 0666);
    CHECK(fd >= 0 && write((int)fd, "abc", 3) == 3);
    RES(syscall(SYS_open, "old", O_RDWR | O_CREAT | O_EXCL, 0666));
    RES(syscall(SYS_open, "none", O_RDONLY));
    RES(syscall(SYS_stat, "old", &st));
    printf("%o %ld\n", st.st_mode, (long)st.st_size);
    RES(syscall(SYS_fstat, fd, &st));
    printf("%o %ld\n", st.st_mode, (long)st.st_size);
    CHECK(symlink("old", "old-link") == 0);
    RES(syscall(SYS_lstat, "old-link", &st));
    printf("%o %ld\n", st.st_mode & S_IFMT, (long)st.st_size);
    RES(syscall(SYS_stat, "old-link/", &st));
    RES(syscall(SYS_mknod, "old-fifo", S_IFIFO | 0666, 0));
    RES(syscall(SYS_stat, "old-fifo", &st));
    printf("%o\n", st.st_mode);
    struct rlimit limit = {0, 0}, wanted = {40, 50};
    RES(syscall(SYS_setrlimit, RLIMIT_NOFILE, &wanted));
    RES(syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit));
    printf("%ld %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
    wanted.rlim_cur = 60;
    RES(syscall(SYS_setrlimit, RLIMIT_NOFILE, &wanted));
    RES(syscall(SYS_getrlimit, 99, &limit));
    struct timespec some = {0, 1000}, wrong = {0, -1};
    RES(syscall(SYS_nanosleep, &some, NULL));
    RES(syscall(SYS_nanosleep, &wrong, NULL));
    int p[2];
    CHECK(pipe(p) == 0 && write(p[1], "x", 1) == 1);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    struct timeval second = {1, 0};
    RES(syscall(SYS_select, p[1] + 1, &in, &out, NULL, &second));
    printf("%d %d\n", FD_ISSET(p[0], &in) != 0, FD_ISSET(p[1], &out) != 0);
    long counter = syscall(SYS_eventfd, 5);
    uint64_t value = 0;
    RES(read((int)counter, &value, 8));
    printf("%d\n", (int)value);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    long signals = syscall(SYS_signalfd, -1, &mask, 8);
    raise(SIGUSR2);
    unsigned info[32];
    RES(read((int)signals, info, sizeof info));
    printf("%d\n", info[0] == SIGUSR2);
    RES(syscall(SYS_signalfd, -1, &mask, 4));
    struct epoll_event event = {.events = EPOLLIN};
    RES(syscall(SYS_epoll_create, 0));
    long epoll = syscall(SYS_epoll_create, 1), watch = syscall(SYS_inotify_init);
    CHECK(epoll >= 0 && watch >= 0);
    RES(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, p[0], &event));
    RES(syscall(SYS_epoll_wait, epoll, &event, 1, 0));
    RES(syscall(SYS_inotify_add_watch, watch, "old", IN_MODIFY) > 0);
    CHECK(write((int)fd, "d", 1) == 1);
    RES(read((int)watch, info, sizeof info));
    fflush(stdout);
    long child = syscall(SYS_fork);
    if (child == 0)
        _exit(strlen(text) == 0 ? 5 : 6);
    int status = 0;
    CHECK(waitpid((pid_t)child, &status, 0) == child);
    printf("%x\n", (unsigned)status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        printf("executed as %s\n", argv[0]);
        return 0;
    }
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(size > 0);
    self[size > 0 ? size : 0] = '\0';
    conf_enter_dir(argc, argv);
    CHECK(chmod(".", 0755) == 0); // for the children that are other users
    umask(022);
    directories();
    contents();
    times_of_files();
    opening();
    identities();
    signals();
    pipes();
    execution(self);
    old_numbers();
    return conf_end();
}
