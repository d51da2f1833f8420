// The mmap family and what faults tell: anonymous, private file and shared mappings, protections, remap, madvise, brk.
#include "conf.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static sigjmp_buf back;
static volatile int fault_signal, fault_code;
static void *volatile fault_address;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    fault_signal = sig;
    fault_code = info->si_code;
    fault_address = info->si_addr;
    siglongjmp(back, 1);
}

// Touches one byte and says what came of it.
static const char *touch(volatile char *p, int write)
{
    static char text[64];
    if (sigsetjmp(back, 1)) {
        const char *code = fault_code == SEGV_MAPERR ? "MAPERR" : fault_code == SEGV_ACCERR ? "ACCERR" : "other";
        if (fault_signal == SIGBUS)
            code = fault_code == BUS_ADRERR ? "ADRERR" : "other";
        snprintf(text, sizeof text, "%s %s%s", fault_signal == SIGSEGV ? "SEGV" : "BUS", code,
                 fault_address == (void *)p ? "" : " at another address");
        return text;
    }
    if (write)
        *p = 'w';
    else
        (void)*p;
    return "ok";
}

static char *map(size_t bytes, int prot)
{
    return mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void anonymous(void)
{
    const size_t k = 4096;
    char *p = map(16 * k, PROT_READ | PROT_WRITE);
    CHECK(p != MAP_FAILED);
    for (size_t i = 0; i < 16 * k; i += k)
        CHECK(p[i] == 0);
    memset(p, 'a', 16 * k);
    RES(mprotect(p + 4 * k, 4 * k, PROT_READ));
    printf("read-only page: read %s, ", touch(p + 4 * k, 0));
    printf("write %s\n", touch(p + 5 * k + 17, 1));
    RES(mprotect(p + 4 * k, k, PROT_NONE));
    printf("PROT_NONE: read %s, neighbour: %s\n", touch(p + 4 * k, 0), touch(p + 3 * k, 1));
    RES(mprotect(p + 4 * k, 4 * k, PROT_READ | PROT_WRITE));
    CHECK(p[4 * k + 1] == 'a' && p[7 * k] == 'a');
    RES(munmap(p + 8 * k, 2 * k));
    printf("hole: %s, before: %s, after: %s\n", touch(p + 8 * k, 0), touch(p + 8 * k - 1, 0), touch(p + 10 * k, 1));
    RES(mprotect(p, 16 * k, PROT_READ));
    char *q = mmap(p + 8 * k, 2 * k, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(q == p + 8 * k && q[0] == 0);
    q = mmap(p + 2 * k, k, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(q == p + 2 * k && q[5] == 0);
    CHECK(p[3 * k] == 'a' || p[3 * k] == 'w');
    errno = 0;
    CHECK(mmap(p, k, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    RES(munmap(p, 16 * k));
    RES(munmap(p, 16 * k)); // nothing there is not an error
    RES(munmap(p + 1, k));
    RES(munmap(p, 0));
    OK((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    OK((long)mmap(NULL, k, PROT_READ, MAP_ANONYMOUS, -1, 0));
    OK((long)mmap(NULL, k, PROT_READ, MAP_PRIVATE, -1, 0));
    OK((long)mmap((void *)1, k, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    OK((long)mmap(NULL, (size_t)1 << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    OK((long)mmap((void *)0, k, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void advice(void)
{
    const size_t k = 4096;
    char *p = map(8 * k, PROT_READ | PROT_WRITE);
    memset(p, 'x', 8 * k);
    RES(madvise(p + k, 2 * k, MADV_DONTNEED));
    printf("%d %d %d\n", p[k], p[2 * k], p[3 * k]);
    RES(madvise(p, 8 * k, MADV_WILLNEED));
    RES(madvise(p, 8 * k, MADV_NORMAL));
    RES(madvise(p + 1, k, MADV_DONTNEED));
    RES(madvise(p, k, 12345));
    munmap(p + 4 * k, k);
    RES(madvise(p, 8 * k, MADV_DONTNEED)); // what is mapped is done, then ENOMEM
    printf("%d %d\n", p[0], p[7 * k]);
    RES(mlock(p, k));
    RES(munlock(p, k));
    unsigned char core[4];
    RES(mincore(p, 2 * k, core));
    RES(mincore(p, 8 * k, core));
    RES(msync(p, k, MS_SYNC));
    munmap(p, 8 * k);
    char *r = mmap(NULL, (size_t)1 << 34, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(r != MAP_FAILED);
    printf("reservation: %s\n", touch(r + 12345678, 0));
    RES(mprotect(r + (1 << 30), 64 * k, PROT_READ | PROT_WRITE));
    memset(r + (1 << 30), 'r', 64 * k);
    printf("inside: %s, beside: %s\n", touch(r + (1 << 30) + 5, 1), touch(r + (1 << 30) + (long)(64 * k), 1));
    RES(munmap(r, (size_t)1 << 34));
}

static void remap(void)
{
    const size_t k = 4096;
    char *p = map(4 * k, PROT_READ | PROT_WRITE);
    memset(p, 'm', 4 * k);
    char *q = mremap(p, 4 * k, 1024 * k, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED && q[0] == 'm' && q[4 * k - 1] == 'm' && q[4 * k] == 0 && q[1024 * k - 1] == 0);
    q[1000 * k] = 'z';
    p = mremap(q, 1024 * k, 2 * k, 0);
    CHECK(p == q && p[2 * k - 1] == 'm');
    printf("cut off: %s\n", touch(p + 3 * k, 0));
    char *blocker = mmap(p + 2 * k, k, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(blocker == p + 2 * k);
    OK((long)mremap(p, 2 * k, 8 * k, 0));
    char *to = map(8 * k, PROT_NONE);
    q = mremap(p, 2 * k, 4 * k, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    CHECK(q == to && q[0] == 'm' && q[3 * k] == 0);
    printf("moved away: %s\n", touch(p, 0));
    OK((long)mremap(p, k, 2 * k, MREMAP_MAYMOVE));
    OK((long)mremap(q + 1, k, 2 * k, MREMAP_MAYMOVE));
    OK((long)mremap(q, k, 0, 0));
    munmap(blocker, k);
    munmap(to, 8 * k);
}

static void files(void)
{
    const size_t k = 4096;
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    static char data[3 * 4096 + 100];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)('A' + i % 26);
    CHECK(write(fd, data, sizeof data) == (ssize_t)sizeof data);
    char *p = mmap(NULL, 8 * k, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(p != MAP_FAILED && memcmp(p, data, sizeof data) == 0);
    CHECK(p[sizeof data] == 0 && p[4 * k - 1] == 0);
    printf("behind the end: %s\n", touch(p + 4 * k, 0));
    p[5] = '#';
    char c;
    CHECK(pread(fd, &c, 1, 5) == 1 && c == data[5]);
    char *q = mmap(NULL, k, PROT_READ, MAP_PRIVATE, fd, (off_t)(2 * k));
    CHECK(q != MAP_FAILED && memcmp(q, data + 2 * k, k) == 0);
    OK((long)mmap(NULL, k, PROT_READ, MAP_PRIVATE, fd, 100));
    munmap(p, 8 * k);
    munmap(q, k);
    char *s = mmap(NULL, 2 * k, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED) {
        printf("shared: %s\n", conf_errno(errno));
    } else {
        memcpy(s + 10, "SHARED", 6);
        CHECK(pread(fd, data, 6, 10) == 6 && memcmp(data, "SHARED", 6) == 0);
        CHECK(pwrite(fd, "back", 4, 4096) == 4 && memcmp(s + k, "back", 4) == 0);
        RES(msync(s, 2 * k, MS_SYNC));
        munmap(s, 2 * k);
    }
    int ro = open("mapped", O_RDONLY), wo = open("mapped", O_WRONLY);
    OK((long)mmap(NULL, k, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0));
    OK((long)mmap(NULL, k, PROT_READ, MAP_PRIVATE, wo, 0));
    OK(munmap(mmap(NULL, k, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0), k));
    int m = (int)syscall(SYS_memfd_create, "memory", 1);
    OK(m);
    RES(ftruncate(m, 8192));
    char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);
    if (a != MAP_FAILED) {
        strcpy(a + 4096, "through memory");
        char text[32] = {0};
        RES(pread(m, text, 15, 4096));
        puts(text);
    }
}

// Two mappings of one part of a file in one process: each goes alone, both show the same bytes.
static void shared_twice(void)
{
    const size_t k = 4096;
    int fd = open("twice", O_RDWR | O_CREAT | O_TRUNC, 0600), ro = open("twice", O_RDONLY);
    CHECK(ftruncate(fd, (off_t)(6 * k)) == 0);
    char *r = mmap(NULL, 4 * k, PROT_READ, MAP_SHARED, ro, 0);
    char *w = mmap(NULL, 4 * k, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)k); // overlaps it by three pages
    CHECK(r != MAP_FAILED && w != MAP_FAILED);
    if (r == MAP_FAILED || w == MAP_FAILED)
        return;
    for (size_t i = 0; i < 4; i++)
        w[i * k] = (char)('a' + i);
    CHECK(r[0] == 0 && r[k] == 'a' && r[2 * k] == 'b' && r[3 * k] == 'c');
    RES(munmap(w, 4 * k));
    CHECK(r[k] == 'a' && r[3 * k] == 'c');
    char *again = mmap(NULL, 6 * k, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(again != MAP_FAILED && again[4 * k] == 'd');
    RES(munmap(r, 2 * k));
    RES(munmap(r + 2 * k, 2 * k));
    again[k] = 'z';
    again[5 * k] = 'y';
    char c = 0;
    CHECK(pread(fd, &c, 1, (off_t)k) == 1 && c == 'z');
    RES(munmap(again, 6 * k));
    for (int i = 0; i < 100; i++) {
        char *a = mmap(NULL, 6 * k, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *b = mmap(NULL, k, PROT_READ, MAP_SHARED, fd, (off_t)(5 * k));
        CHECK(a != MAP_FAILED && b != MAP_FAILED && *b == (i == 0 ? 'y' : 'A' + (i - 1) % 26));
        a[5 * k] = (char)('A' + i % 26);
        CHECK(*b == 'A' + i % 26);
        CHECK(munmap(i % 2 ? (void *)a : (void *)b, i % 2 ? 6 * k : k) == 0);
        CHECK(munmap(i % 2 ? (void *)b : (void *)a, i % 2 ? k : 6 * k) == 0);
    }
    close(fd);
    close(ro);
}

// A file that becomes shorter takes its pages away from private mappings too, written ones included.
static void private_truncated(void)
{
    const size_t k = 4096;
    int fd = open("shorter", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(4 * k)) == 0);
    char *p = mmap(NULL, 4 * k, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), *late = mmap(NULL, k, PROT_READ, MAP_PRIVATE, fd, (off_t)(3 * k));
    CHECK(p != MAP_FAILED && late != MAP_FAILED && *late == 0);
    memset(p, 'x', 4 * k);
    RES(ftruncate(fd, (off_t)(k + 100)));
    printf("kept: %c%c, written page: %s, unwritten page: %s\n", p[0], p[2 * k - 1], touch(p + 2 * k, 0), touch(late, 0));
    RES(ftruncate(fd, (off_t)(4 * k)));
    CHECK(p[2 * k] == 0 && p[4 * k - 1] == 0 && *late == 0);
    munmap(p, 4 * k), munmap(late, k);
    close(fd);
}

// What was stored reaches the file although nobody may read the mapping any more.
static void shared_unreadable(void)
{
    const size_t k = 4096;
    char text[8] = {0};
    int fd = open("unreadable", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(ftruncate(fd, (off_t)(3 * k)) == 0);
    char *p = mmap(NULL, 3 * k, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    for (size_t i = 0; i < 3; i++)
        memcpy(p + i * k, "stored", 7);
    RES(mprotect(p, k, PROT_NONE));
    RES(mprotect(p + 2 * k, k, PROT_NONE));
    RES(pread(fd, text, 7, 0));
    puts(text);
    RES(pwrite(fd, "S", 1, (off_t)(2 * k)));
    printf("touch: %s\n", touch(p, 0));
    RES(msync(p, 3 * k, MS_SYNC));
    RES(munmap(p, 3 * k));
    RES(pread(fd, text, 7, (off_t)(2 * k)));
    puts(text);
    close(fd);
}

static void executable(void)
{
    static const unsigned char code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; // mov $42, %eax; ret
    char *p = map(4096, PROT_READ | PROT_WRITE);
    memcpy(p, code, sizeof code);
    int (*f)(void) = (int (*)(void))(uintptr_t)p;
    if (sigsetjmp(back, 1))
        printf("not executable: %s %s\n", fault_signal == SIGSEGV ? "SEGV" : "BUS", fault_address == p ? "there" : "elsewhere");
    else
        printf("ran: %d\n", f());
    RES(mprotect(p, 4096, PROT_READ | PROT_EXEC));
    RES(f());
    munmap(p, 4096);
}

static __attribute__((unused)) void data_segment(void)
{
    char *start = sbrk(0);
    CHECK(sbrk(1 << 20) == start);
    memset(start, 'b', 1 << 20);
    CHECK((char *)sbrk(0) == start + (1 << 20));
    CHECK(sbrk(-(1 << 20)) == start + (1 << 20));
    CHECK(sbrk(0) == start);
    CHECK(sbrk(8192) == start && start[0] == 0);
    sbrk(-8192);
    CHECK(syscall(SYS_brk, 1) == (long)start);
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    printf("null: %s, %s\n", touch((char *)0, 0), touch((char *)8, 1));
    anonymous();
    advice();
    remap();
    files();
    shared_twice();
    private_truncated();
    shared_unreadable();
    executable();
#ifdef __GLIBC__ // musl refuses sbrk
    data_segment();
#endif
    return conf_end();
}
