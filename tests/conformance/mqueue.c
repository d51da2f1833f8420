// POSIX message queues: names, attributes, priorities, full and empty queues, timeouts, notification, polling.
#include "conf.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char queue_name[64]; // of this run alone: natively all programs share the names
#define NAME queue_name
#define BAD_NAME "/occlum-conf-bad"

static mqd_t the_queue;
static void *send_one(void *arg)
{
    return (void *)(long)(mq_send(the_queue, "late", 5, (unsigned)(long)arg) ? errno : 0);
}
static void *receive_one(void *arg)
{
    char text[64];
    (void)arg;
    ssize_t n = mq_receive(the_queue, text, sizeof text, NULL);
    return (void *)(long)(n < 0 ? -errno : n);
}

static struct timespec in_ms(long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static volatile int told, told_code, told_value;
static void on_message(int s, siginfo_t *info, void *context)
{
    (void)s;
    (void)context;
    told_code = info->si_code;
    told_value = info->si_value.sival_int;
    told++;
}

static void names(void)
{
    struct mq_attr a = {.mq_maxmsg = 3, .mq_msgsize = 64};
    OK(mq_open("no-slash", O_RDWR));
    OK(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
    OK(mq_open("/", O_RDWR | O_CREAT, 0600, NULL));
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[299] = 0;
    OK(mq_open(longest, O_RDWR | O_CREAT, 0600, NULL));
    OK(mq_open(NAME, O_RDWR));
    mqd_t q = mq_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0640, &a);
    CHECK(q >= 0);
    OK(mq_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0640, &a));
    CHECK(fcntl(q, F_GETFD) == FD_CLOEXEC);
    struct mq_attr bad[] = {{.mq_maxmsg = 0, .mq_msgsize = 64}, {.mq_maxmsg = 3, .mq_msgsize = 0}, {.mq_maxmsg = -1, .mq_msgsize = 64},
                            {.mq_maxmsg = 1000000, .mq_msgsize = 64}, {.mq_maxmsg = 1, .mq_msgsize = 1 << 30}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        OK(mq_open(BAD_NAME, O_RDWR | O_CREAT, 0600, &bad[i]));
    OK(mq_unlink(BAD_NAME));
    memset(&a, 0x55, sizeof a);
    RES(mq_getattr(q, &a));
    printf("flags %ld most %ld size %ld now %ld\n", a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs);
    // Open for one direction.
    mqd_t r = mq_open(NAME, O_RDONLY), w = mq_open(NAME, O_WRONLY | O_NONBLOCK);
    RES(mq_send(r, "x", 1, 0));
    char text[64];
    RES(mq_receive(w, text, sizeof text, NULL));
    RES(mq_getattr(w, &a));
    RES(a.mq_flags == O_NONBLOCK);
    a.mq_flags = 0;
    RES(mq_setattr(w, &a, NULL));
    RES(fcntl(w, F_GETFL) == O_WRONLY);
    a.mq_flags = O_APPEND;
    RES(mq_setattr(w, &a, NULL));
    mq_close(r);
    mq_close(w);
    RES(mq_send(0, "x", 1, 0));
    RES(mq_send(-1, "x", 1, 0));
    // The name goes, the queue stays for who has it open.
    RES(mq_unlink(NAME));
    RES(mq_unlink(NAME));
    RES(mq_send(q, "kept", 5, 0));
    RES(mq_receive(q, text, sizeof text, NULL));
    RES(mq_close(q));
    // Without attributes: the system's defaults.
    q = mq_open(NAME, O_RDWR | O_CREAT, 0600, NULL);
    RES(mq_getattr(q, &a));
    printf("most %ld size %ld\n", a.mq_maxmsg, a.mq_msgsize);
    mq_close(q);
    struct rlimit old, none = {100, 819200};
    getrlimit(RLIMIT_MSGQUEUE, &old);
    none.rlim_max = old.rlim_max;
    RES(setrlimit(RLIMIT_MSGQUEUE, &none));
    OK(mq_open(BAD_NAME, O_RDWR | O_CREAT, 0600, NULL));
    RES(setrlimit(RLIMIT_MSGQUEUE, &old));
    RES(mq_unlink(NAME));
}

static void transfer(void)
{
    struct mq_attr a = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t q = mq_open(NAME, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &a);
    the_queue = q;
    char text[64];
    unsigned prio = 77;
    RES(mq_receive(q, text, sizeof text, &prio));
    RES(mq_receive(q, text, 63, &prio));
    RES(mq_send(q, text, 65, 0));
    RES(mq_send(q, text, 1, 32768));
    RES(mq_send(q, "low", 4, 1));
    RES(mq_send(q, "high", 5, 9));
    RES(mq_send(q, "low2", 5, 1));
    RES(mq_send(q, "mid", 4, 5));
    RES(mq_send(q, "more", 5, 5));
    struct pollfd p = {.fd = q, .events = POLLIN | POLLOUT};
    RES(poll(&p, 1, 0));
    RES(p.revents);
    char state[128] = {0};
    CHECK(read(q, state, sizeof state - 1) > 0);
    printf("%s", state);
    for (int i = 0; i < 4; i++) {
        RES(mq_receive(q, text, sizeof text, &prio));
        printf("%s %u\n", text, prio);
    }
    RES(poll(&p, 1, 0));
    RES(p.revents);
    RES(mq_send(q, "", 0, 0)); // empty
    RES(mq_receive(q, text, sizeof text, &prio));
    // Blocking, with timeouts.
    struct mq_attr block = {0};
    RES(mq_setattr(q, &block, NULL));
    struct timespec t = in_ms(20), wrong = {0, -1}, past = {1, 0};
    RES(mq_timedreceive(q, text, sizeof text, NULL, &t));
    RES(mq_timedreceive(q, text, sizeof text, NULL, &past));
    RES(mq_timedreceive(q, text, sizeof text, NULL, &wrong));
    pthread_t thread;
    void *result;
    RES(pthread_create(&thread, NULL, receive_one, NULL));
    conf_sleep_ms(5);
    RES(mq_send(q, "hello", 6, 0));
    RES(pthread_join(thread, &result));
    RES((long)result);
    for (int i = 0; i < 4; i++)
        RES(mq_send(q, "full", 5, 0));
    t = in_ms(20);
    RES(mq_timedsend(q, "x", 1, 0, &t));
    RES(pthread_create(&thread, NULL, send_one, (void *)3));
    conf_sleep_ms(5);
    RES(mq_receive(q, text, sizeof text, NULL));
    RES(pthread_join(thread, &result));
    RES((long)result);
    RES(mq_receive(q, text, sizeof text, &prio));
    printf("%s %u\n", text, prio);
    for (int i = 0; i < 3; i++)
        RES(mq_receive(q, text, sizeof text, NULL));
    // epoll tells of a message.
    int e = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET}, got;
    RES(epoll_ctl(e, EPOLL_CTL_ADD, q, &event));
    RES(epoll_wait(e, &got, 1, 0));
    RES(mq_send(q, "x", 1, 0));
    RES(epoll_wait(e, &got, 1, 1000));
    RES(mq_receive(q, text, sizeof text, NULL));
    close(e);
    struct stat s;
    RES(fstat(q, &s));
    printf("%o\n", s.st_mode);
    RES(mq_close(q));
    RES(mq_unlink(NAME));
}

static void notification(void)
{
    struct mq_attr a = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t q = mq_open(NAME, O_RDWR | O_CREAT, 0600, &a), other = mq_open(NAME, O_RDWR);
    the_queue = q;
    struct sigaction sa = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &sa, NULL);
    struct sigevent want = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 4711};
    struct sigevent odd = {.sigev_notify = 99}, wrong = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99}, none = {.sigev_notify = SIGEV_NONE};
    char text[64];
    RES(syscall(SYS_mq_notify, q, &odd));
    RES(mq_notify(q, &wrong));
    RES(mq_notify(-1, &want));
    RES(mq_notify(q, &want));
    RES(mq_notify(other, &want));
    RES(mq_send(q, "x", 1, 0));
    printf("told %d, code %d, value %d\n", told, told_code == SI_MESGQ, told_value);
    RES(mq_send(q, "x", 1, 0)); // once only
    RES(told);
    RES(mq_notify(q, &want)); // the queue is not empty: nothing until it was
    RES(mq_receive(q, text, sizeof text, NULL));
    RES(mq_send(q, "x", 1, 0));
    RES(told);
    RES(mq_receive(q, text, sizeof text, NULL));
    RES(mq_receive(q, text, sizeof text, NULL));
    // Who waits for a message gets it; nobody is told.
    pthread_t thread;
    void *result;
    RES(pthread_create(&thread, NULL, receive_one, NULL));
    conf_sleep_ms(50);
    RES(mq_send(q, "x", 1, 0));
    RES(pthread_join(thread, &result));
    RES(told);
    RES(mq_send(q, "x", 1, 0));
    RES(told);
    RES(mq_receive(q, text, sizeof text, NULL));
    RES(mq_notify(q, &none));
    RES(mq_notify(q, &want));
    RES(mq_notify(q, NULL));
    RES(mq_notify(q, NULL));
    RES(mq_notify(other, &want));
    RES(mq_close(other)); // takes its notification with it
    RES(mq_send(q, "x", 1, 0));
    RES(told);
    RES(mq_close(q));
    RES(mq_unlink(NAME));
    RES(syscall(SYS_mq_getsetattr, -1, NULL, NULL));
    RES(syscall(SYS_mq_open, NULL, O_RDWR, 0, NULL));
    RES(syscall(SYS_mq_unlink, NULL));
    RES(syscall(SYS_mq_timedsend, q, NULL, 0, 0, NULL));
    RES(syscall(SYS_mq_timedreceive, q, NULL, 0, NULL, NULL));
}

int main(void)
{
    alarm(60);
    snprintf(queue_name, sizeof queue_name, "/occlum-conf-queue.%d", (int)getpid());
    mq_unlink(NAME);
    names();
    transfer();
    notification();
    return conf_end();
}
