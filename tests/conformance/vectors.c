// Vector state belongs to its thread: threads with contents of their own in every vector and mask register, in MXCSR and the x87 control
// word, some in the initial state, some with nothing in the upper halves of the first sixteen registers, switch thousands of times, by
// every kind of wait, and find everything as they left it; so do signal handlers' interrupted contexts.
#include "conf.h"
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>

enum { kThreads = 12, kRounds = 1500, kBytes = 32 * 64 + 8 * 8 };

static atomic_int bad;
static atomic_int round_word;
static int pipe_ends[2];
static int level; // 0 = SSE, 1 = AVX2, 2 = AVX-512

#define EACH16(X, a) \
    X(a, 0) X(a, 1) X(a, 2) X(a, 3) X(a, 4) X(a, 5) X(a, 6) X(a, 7) X(a, 8) X(a, 9) X(a, 10) X(a, 11) X(a, 12) X(a, 13) X(a, 14) X(a, 15)
#define EACH_HIGH(X, a) \
    X(a, 16) X(a, 17) X(a, 18) X(a, 19) X(a, 20) X(a, 21) X(a, 22) X(a, 23) X(a, 24) X(a, 25) X(a, 26) X(a, 27) X(a, 28) X(a, 29) X(a, 30) \
        X(a, 31)
#define EACH_MASK(X, a) X(a, 0) X(a, 1) X(a, 2) X(a, 3) X(a, 4) X(a, 5) X(a, 6) X(a, 7)
#define LOAD_X(a, n) "movups " #n "*64(%[in]), %%xmm" #n "\n\t"
#define SAVE_X(a, n) "movups %%xmm" #n ", " #n "*64(%[out])\n\t"
#define LOAD_Y(a, n) "vmovups " #n "*64(%[in]), %%ymm" #n "\n\t"
#define SAVE_Y(a, n) "vmovups %%ymm" #n ", " #n "*64(%[out])\n\t"
#define LOAD_Z(a, n) "vmovups " #n "*64(%[in]), %%zmm" #n "\n\t"
#define SAVE_Z(a, n) "vmovups %%zmm" #n ", " #n "*64(%[out])\n\t"
#define LOAD_K(a, n) "kmovq 2048+" #n "*8(%[in]), %%k" #n "\n\t"
#define SAVE_K(a, n) "kmovq %%k" #n ", 2048+" #n "*8(%[out])\n\t"
#define CALL "syscall\n\t"

// Fills all registers from `in`, makes one system call, stores them to `out`: no instruction of the compiler in between.
#define AROUND_CALL(load, save) \
    __asm__ volatile(load CALL save : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(d), "+r"(e), "+r"(f) : [in] "r"(in), [out] "r"(out) \
                     : "rcx", "r11", "memory")

// `narrow`: the upper halves of the first sixteen registers are in their initial state, and must be when the call is over.
static long around_call(int narrow, const uint8_t *in, uint8_t *out, long nr, long a, long b, long c)
{
    register long d __asm__("r10") = 0;
    register long e __asm__("r8") = 0;
    register long f __asm__("r9") = 0;
    if (level == 2 && narrow)
        AROUND_CALL("vzeroupper\n\t" EACH16(LOAD_X, 0) EACH_HIGH(LOAD_Z, 0) EACH_MASK(LOAD_K, 0),
                    EACH16(SAVE_Z, 0) EACH_HIGH(SAVE_Z, 0) EACH_MASK(SAVE_K, 0));
    else if (level == 1 && narrow)
        AROUND_CALL("vzeroupper\n\t" EACH16(LOAD_X, 0), EACH16(SAVE_Y, 0));
    else if (level == 2)
        AROUND_CALL(EACH16(LOAD_Z, 0) EACH_HIGH(LOAD_Z, 0) EACH_MASK(LOAD_K, 0), EACH16(SAVE_Z, 0) EACH_HIGH(SAVE_Z, 0) EACH_MASK(SAVE_K, 0));
    else if (level == 1)
        AROUND_CALL(EACH16(LOAD_Y, 0), EACH16(SAVE_Y, 0));
    else
        AROUND_CALL(EACH16(LOAD_X, 0), EACH16(SAVE_X, 0));
    return nr;
}

static size_t width(void)
{
    return level == 2 ? 64 : level == 1 ? 32 : 16;
}

static void compare(const uint8_t *in, const uint8_t *out)
{
    for (int i = 0; i < (level == 2 ? 32 : 16); i++)
        if (memcmp(in + i * 64, out + i * 64, width()))
            atomic_fetch_add(&bad, 1);
    if (level == 2 && memcmp(in + 2048, out + 2048, 64))
        atomic_fetch_add(&bad, 1);
}

static void fill(uint8_t *in, unsigned seed, int zero, int narrow)
{
    for (int i = 0; i < kBytes; i++) {
        seed = seed * 1664525 + 1013904223;
        in[i] = zero ? 0 : (uint8_t)(seed >> 24);
    }
    for (int i = 0; narrow && i < 16; i++)
        memset(in + i * 64 + 16, 0, 48);
}

static void *work(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    uint8_t in[kBytes] __attribute__((aligned(64))), out[kBytes] __attribute__((aligned(64)));
    const unsigned mxcsr = 0x1f80 | (me % 4) << 13;
    const unsigned short fcw = (unsigned short)(0x37f | (me % 3) << 10);
    for (int r = 0; r < kRounds; r++) {
        const int narrow = (r / 50 + (int)me) % 3 != 0;
        fill(in, me * 7919 + (unsigned)r, me % 4 == 3, narrow); // every fourth thread goes back to zeroes
        _mm_setcsr(mxcsr);
        __asm__ volatile("fldcw %0" : : "m"(fcw));
        if (me % 4 == 3 && level)
            __asm__ volatile("vzeroall" ::: "memory");
        char byte = 'x';
        switch ((r + (int)me) % 4) {
        case 0:
            around_call(narrow, in, out, SYS_sched_yield, 0, 0, 0);
            break;
        case 1: // a futex wait that ends at once or with the next wake
            around_call(narrow, in, out, SYS_futex, (long)&round_word, 129 /* wake, private */, 1);
            break;
        case 2:
            around_call(narrow, in, out, SYS_write, pipe_ends[1], (long)&byte, 1);
            break;
        default:
            around_call(narrow, in, out, SYS_read, pipe_ends[0], (long)&byte, 1);
            break;
        }
        compare(in, out);
        unsigned short got = 0;
        __asm__ volatile("fnstcw %0" : "=m"(got));
        if (_mm_getcsr() != mxcsr || got != fcw)
            atomic_fetch_add(&bad, 1);
    }
    return NULL;
}

static void on_signal(int sig)
{
    uint8_t in[kBytes] __attribute__((aligned(64))), out[kBytes] __attribute__((aligned(64)));
    fill(in, (unsigned)sig * 31337, 0, 0);
    around_call(0, in, out, SYS_sched_yield, 0, 0, 0);
    compare(in, out);
}

static void signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    uint8_t in[kBytes] __attribute__((aligned(64))), out[kBytes] __attribute__((aligned(64)));
    CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
    const long pid = getpid(), tid = syscall(SYS_gettid);
    for (int r = 0; r < kRounds; r++) {
        const int narrow = r % 3 != 0;
        fill(in, (unsigned)r, r % 5 == 4, narrow);
        CHECK(around_call(narrow, in, out, SYS_tgkill, pid, tid, SIGUSR1) == 0);
        compare(in, out);
    }
}

// What a handler sees of a context whose vector registers are in their initial configuration is that configuration.
static void on_initial(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    (void)sig;
    (void)info;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++)
            if (uc->uc_mcontext.fpregs->_xmm[i].element[j] != 0)
                atomic_fetch_add(&bad, 1);
    if (uc->uc_mcontext.fpregs->mxcsr != 0x1f80 || uc->uc_mcontext.fpregs->cwd != 0x37f)
        atomic_fetch_add(&bad, 1);
}

static void initial_state(void)
{
    struct sigaction sa = {.sa_sigaction = on_initial, .sa_flags = SA_SIGINFO};
    uint8_t in[kBytes] __attribute__((aligned(64))) = {0}, out[kBytes] __attribute__((aligned(64)));
    CHECK(sigaction(SIGUSR2, &sa, NULL) == 0);
    const unsigned short fcw = 0x37f;
    __asm__ volatile("fldcw %0" : : "m"(fcw));
    _mm_setcsr(0x1f80);
    const long pid = getpid(), tid = syscall(SYS_gettid);
    for (int r = 0; r < 50; r++)
        CHECK(around_call(0, in, out, SYS_tgkill, pid, tid, SIGUSR2) == 0);
}

int main(void)
{
    pthread_t t[kThreads];
    level = __builtin_cpu_supports("avx512bw") ? 2 : __builtin_cpu_supports("avx2") ? 1 : 0;
    OK(pipe(pipe_ends));
    CHECK(write(pipe_ends[1], "0123456789abcdef", 16) == 16); // whoever reads first, nobody waits for ever
    for (uintptr_t i = 0; i < kThreads; i++)
        CHECK(pthread_create(&t[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < kThreads; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    printf("threads: %d registers differed\n", atomic_load(&bad));
    signals();
    initial_state();
    printf("signals: %d registers differed\n", atomic_load(&bad));
    return conf_failures || atomic_load(&bad);
}
