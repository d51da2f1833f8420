// System V IPC: shared memory, semaphores, message queues; between threads and between processes.
#include "conf.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

extern char **environ;

// Natively the keys are those of the whole machine, and other runs of this program use them at the same time.
#define KEY(n) ((key_t)(0x7e000000 + (n) * 0x400000 + getpid()))

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

// Runs this program again with a role; the pid.
static pid_t start(const char *role, int id, int extra)
{
    char a[16], b[16];
    snprintf(a, sizeof a, "%d", id);
    snprintf(b, sizeof b, "%d", extra);
    char *argv[] = {"sysv", "as", (char *)role, a, b, NULL};
    pid_t pid = -1;
    CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) == 0);
    return pid;
}
static int finish(pid_t pid)
{
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}
static int run(const char *role, int id, int extra) { return finish(start(role, id, extra)); }

static int sem_value(int id, int n) { return semctl(id, n, GETVAL); }
static int op(int id, int n, int value, int flags)
{
    struct sembuf s = {(unsigned short)n, (short)value, (short)flags};
    return semop(id, &s, 1);
}

static int role(char **argv)
{
    int id = atoi(argv[3]), extra = atoi(argv[4]);
    if (!strcmp(argv[2], "shm-add")) {
        int *p = shmat(id, NULL, 0);
        if (p == (void *)-1)
            return 1;
        __atomic_add_fetch(p, extra, __ATOMIC_SEQ_CST);
        return 0; // the exit detaches
    }
    if (!strcmp(argv[2], "shm-readonly")) {
        const int *p = shmat(id, NULL, SHM_RDONLY);
        if (p == (void *)-1)
            return 100 + errno;
        if (mprotect((void *)p, 4096, PROT_READ | PROT_WRITE) == 0 || errno != EACCES)
            return 2;
        if (read(open("/dev/zero", O_RDONLY), (void *)p, 4) != -1 || errno != EFAULT)
            return 3;
        return *p == extra ? 0 : 4;
    }
    if (!strcmp(argv[2], "sem-undo")) // takes without giving back
        return op(id, 0, -extra, SEM_UNDO) ? errno : 0;
    if (!strcmp(argv[2], "sem-undo-kill")) {
        op(id, 0, -extra, SEM_UNDO);
        op(id, 1, 1, 0);
        for (;;)
            pause();
    }
    if (!strcmp(argv[2], "sem-take"))
        return op(id, extra, -1, 0) ? errno : 0;
    if (!strcmp(argv[2], "msg-echo")) {
        struct { long type; char text[128]; } m;
        for (int i = 0; i < extra; i++) {
            ssize_t n = msgrcv(id, &m, sizeof m.text, 1, 0);
            if (n < 0)
                return errno;
            m.type = 2;
            m.text[0]++;
            if (msgsnd(id, &m, (size_t)n, 0))
                return errno;
        }
        return 0;
    }
    return 99;
}

static void shared_memory(void)
{
    struct shmid_ds ds;
    RES(shmget(KEY(1), 100, 0));
    RES(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600));
    int id = shmget(KEY(1), 10000, IPC_CREAT | IPC_EXCL | 0640);
    CHECK(id >= 0);
    RES(shmget(KEY(1), 100, IPC_CREAT | IPC_EXCL | 0640));
    CHECK(shmget(KEY(1), 100, 0) == id);
    RES(shmget(KEY(1), 10001, 0));
    RES(shmctl(id, IPC_STAT, &ds));
    printf("size %zu attached %lu mode %o\n", ds.shm_segsz, (unsigned long)ds.shm_nattch, ds.shm_perm.mode);
    CHECK(ds.shm_perm.__key == KEY(1) && ds.shm_cpid == getpid() && ds.shm_lpid == 0 && ds.shm_atime == 0 && ds.shm_ctime != 0);
    CHECK(ds.shm_perm.uid == geteuid() && ds.shm_perm.cuid == geteuid());
    RES(shmat(id, (void *)1, 0) == (void *)-1);
    RES((long)shmat(-1, NULL, 0));
    RES((long)shmat(id, NULL, SHM_REMAP));
    int *p = shmat(id, NULL, 0);
    CHECK(p != (void *)-1);
    int zero = 0;
    for (int i = 0; i < 2500; i++)
        zero += p[i] != 0;
    RES(zero);
    p[0] = 5;
    RES(shmctl(id, IPC_STAT, &ds));
    CHECK(ds.shm_nattch == 1 && ds.shm_lpid == getpid() && ds.shm_atime != 0);
    RES(run("shm-add", id, 37));
    RES(p[0]);
    RES(shmctl(id, IPC_STAT, &ds));
    CHECK(ds.shm_nattch == 1 && ds.shm_lpid != getpid() && ds.shm_dtime != 0);
    RES(run("shm-readonly", id, 42));
    // A protection change splits the attachment; both halves count, and one detach takes both.
    RES(mprotect((char *)p + 4096, 4096, PROT_READ));
    RES(shmctl(id, IPC_STAT, &ds));
    RES(ds.shm_nattch);
    RES(shmdt((char *)p + 4096));
    RES(shmdt(p));
    RES(shmdt(p));
    RES(shmdt((char *)p + 1));
    RES(shmctl(id, IPC_STAT, &ds));
    RES(ds.shm_nattch);
    p = shmat(id, NULL, 0);
    CHECK(p != (void *)-1 && p[0] == 42);
    // The same place once more: SHM_REMAP replaces what is there.
    CHECK(shmat(id, p, 0) == (void *)-1 && errno == EINVAL);
    CHECK(shmat(id, p, SHM_REMAP) == p);
    CHECK(shmat(id, (char *)p + 12, SHM_RND | SHM_REMAP) == p);
    RES(shmctl(id, IPC_STAT, &ds));
    RES(ds.shm_nattch);
    ds.shm_perm.mode = 0600;
    RES(shmctl(id, IPC_SET, &ds));
    RES(shmctl(id, IPC_STAT, &ds));
    RES(ds.shm_perm.mode);
    RES(shmctl(id, SHM_LOCK, NULL));
    RES(shmctl(id, IPC_STAT, &ds));
    RES(ds.shm_perm.mode);
    RES(shmctl(id, SHM_UNLOCK, NULL));
    // Removal while attached: no key, still usable, gone with the last attachment.
    RES(shmctl(id, IPC_RMID, NULL));
    RES(shmget(KEY(1), 100, 0));
    RES(shmctl(id, IPC_STAT, &ds));
    printf("mode %o key %d attached %lu\n", ds.shm_perm.mode, ds.shm_perm.__key, (unsigned long)ds.shm_nattch);
    RES(run("shm-add", id, 1));
    RES(p[0]);
    RES(shmdt(p));
    RES(shmctl(id, IPC_STAT, &ds));
    RES((long)shmat(id, NULL, 0));
    RES(shmctl(id, IPC_RMID, NULL));
    RES(shmctl(-1, IPC_STAT, &ds));
    id = shmget(IPC_PRIVATE, 4096, 0600);
    RES(shmctl(id, 77, &ds));
    RES(shmctl(id, IPC_STAT, NULL));
    struct shminfo info;
    CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&info) >= 0);
    CHECK(info.shmmin == 1 && info.shmmni == 4096 && info.shmmax > 1UL << 40);
    struct shm_info use;
    int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&use);
    CHECK(highest >= 0 && use.used_ids >= 1 && use.shm_tot >= 1);
    int found = 0;
    for (int i = 0; i <= highest; i++)
        found += shmctl(i, SHM_STAT, &ds) == id;
    RES(found);
    void *fixed = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shmat(id, fixed, 0) == (void *)-1 && errno == EINVAL);
    RES(shmctl(id, IPC_RMID, NULL));
    RES(shmctl(id, IPC_RMID, NULL));
    // The first to attach may choose the place.
    munmap(fixed, 8192);
    id = shmget(IPC_PRIVATE, 4096, 0600);
    CHECK(shmat(id, fixed, 0) == fixed);
    strcpy(fixed, "there");
    FILE *f = fopen("/proc/sysvipc/shm", "r");
    char line[256], want[128];
    found = 0;
    CHECK(f && fgets(line, sizeof line, f));
    puts(line);
    snprintf(want, sizeof want, "         0 %10d   600                  4096 %5d %5d      1 ", id, getpid(), getpid());
    while (fgets(line, sizeof line, f))
        found += strncmp(line, want, strlen(want)) == 0;
    fclose(f);
    RES(found);
    RES(shmdt(fixed));
    RES(shmctl(id, IPC_RMID, NULL));
}

static int the_sem;
static void *take(void *arg)
{
    return (void *)(long)(op(the_sem, 0, -(int)(long)arg, 0) ? errno : 0);
}
static int order[3], order_next;
static void *take_in_order(void *arg)
{
    op(the_sem, 0, -1, 0);
    order[__atomic_fetch_add(&order_next, 1, __ATOMIC_SEQ_CST)] = (int)(long)arg;
    op(the_sem, 1, 1, 0);
    return NULL;
}
static void wait_for(int id, int n, int command, int count)
{
    for (int i = 0; i < 5000 && semctl(id, n, command) != count; i++)
        conf_sleep_ms(1);
    CHECK(semctl(id, n, command) == count);
}
static void on_signal(int s) { (void)s; }

static void *interrupted(void *arg)
{
    (void)arg;
    return (void *)(long)(op(the_sem, 0, -100, 0) ? errno : 0);
}

static void semaphores(void)
{
    union semun u;
    struct semid_ds ds;
    unsigned short values[4] = {1, 2, 3, 4};
    RES(semget(KEY(2), 1, 0));
    RES(semget(IPC_PRIVATE, 0, 0600));
    RES(semget(IPC_PRIVATE, -1, 0600));
    RES(semget(IPC_PRIVATE, 1000000, 0600));
    int id = semget(KEY(2), 4, IPC_CREAT | 0600);
    the_sem = id;
    CHECK(id >= 0 && semget(KEY(2), 2, 0) == id);
    RES(semget(KEY(2), 5, 0));
    u.array = values;
    RES(semctl(id, 0, SETALL, u));
    memset(values, 0, sizeof values);
    RES(semctl(id, 0, GETALL, u));
    printf("%d %d %d %d\n", values[0], values[1], values[2], values[3]);
    RES(sem_value(id, 3));
    RES(sem_value(id, 4));
    RES(semctl(id, 1, GETPID) == getpid());
    u.val = 40000;
    RES(semctl(id, 1, SETVAL, u));
    u.val = 7;
    RES(semctl(id, 1, SETVAL, u));
    RES(semctl(id, 9, SETVAL, u));
    RES(op(id, 1, -7, IPC_NOWAIT));
    RES(op(id, 1, -1, IPC_NOWAIT));
    RES(op(id, 1, 0, IPC_NOWAIT));
    RES(op(id, 2, 0, IPC_NOWAIT));
    RES(op(id, 1, 32767, 0));
    RES(op(id, 1, 1, 0));
    RES(op(id, 1, -32767, 0));
    RES(op(id, 4, 1, 0));
    RES(semop(id, NULL, 1));
    RES(semop(id, (struct sembuf *)values, 0));
    RES(semop(id, (struct sembuf *)values, 501));
    RES(semop(-1, (struct sembuf *)values, 1));
    // All or nothing: the second cannot be done, so the first is not.
    struct sembuf two[2] = {{0, -1, 0}, {1, -1, IPC_NOWAIT}};
    RES(semop(id, two, 2));
    RES(sem_value(id, 0));
    // The same semaphore twice in one call.
    struct sembuf same[3] = {{0, 5, 0}, {0, -6, 0}, {0, 0, 0}};
    RES(semop(id, same, 3));
    RES(sem_value(id, 0));
    struct timespec t = {0, 20000000};
    struct sembuf one = {0, -1, 0};
    RES(semtimedop(id, &one, 1, &t));
    t.tv_nsec = -1;
    RES(semtimedop(id, &one, 1, &t));

    // Waiting and being woken; GETNCNT and GETZCNT.
    pthread_t a, b;
    void *result;
    RES(pthread_create(&a, NULL, take, (void *)2));
    wait_for(id, 0, GETNCNT, 1);
    RES(op(id, 0, 1, 0));
    conf_sleep_ms(5);
    RES(semctl(id, 0, GETNCNT));
    RES(op(id, 0, 1, 0));
    RES(pthread_join(a, &result));
    RES((long)result);
    RES(sem_value(id, 0));
    RES(op(id, 0, 1, 0));
    RES(pthread_create(&b, NULL, take, (void *)0));
    wait_for(id, 0, GETZCNT, 1);
    u.val = 0;
    RES(semctl(id, 0, SETVAL, u));
    RES(pthread_join(b, &result));
    RES((long)result);
    // The first to wait is the first to go on.
    pthread_t t3[3];
    u.val = 0;
    semctl(id, 1, SETVAL, u);
    for (long i = 0; i < 3; i++) {
        RES(pthread_create(&t3[i], NULL, take_in_order, (void *)i));
        wait_for(id, 0, GETNCNT, (int)i + 1);
    }
    for (int i = 0; i < 3; i++) {
        op(id, 0, 1, 0);
        op(id, 1, -1, 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(t3[i], NULL);
    printf("order %d %d %d\n", order[0], order[1], order[2]);
    // A signal ends the wait, SA_RESTART or not.
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    RES(pthread_create(&a, NULL, interrupted, NULL));
    wait_for(id, 0, GETNCNT, 1);
    RES(pthread_kill(a, SIGUSR1));
    RES(pthread_join(a, &result));
    puts(conf_errno((int)(long)result));
    RES(semctl(id, 0, GETNCNT));

    // SEM_UNDO: at exit, at a kill, forgotten after SETVAL.
    u.val = 5;
    RES(semctl(id, 0, SETVAL, u));
    RES(run("sem-undo", id, 3));
    RES(sem_value(id, 0));
    u.val = 0;
    semctl(id, 1, SETVAL, u);
    pid_t child = start("sem-undo-kill", id, 4);
    RES(op(id, 1, -1, 0));
    RES(sem_value(id, 0));
    // A waiter gets what the kill gives back.
    pid_t waiter = start("sem-take", id, 0);
    CHECK(finish(waiter) == 0);
    waiter = start("sem-take", id, 0);
    wait_for(id, 0, GETNCNT, 1);
    RES(kill(child, SIGKILL));
    CHECK(WIFSIGNALED(finish(child)));
    RES(finish(waiter));
    RES(sem_value(id, 0));
    u.val = 5;
    semctl(id, 0, SETVAL, u);
    child = start("sem-undo-kill", id, 4);
    RES(op(id, 1, -1, 0));
    u.val = 9;
    RES(semctl(id, 0, SETVAL, u));
    RES(kill(child, SIGKILL));
    finish(child);
    RES(sem_value(id, 0));

    RES(semctl(id, 0, IPC_STAT, (u.buf = &ds, u)));
    printf("%lu %o\n", (unsigned long)ds.sem_nsems, ds.sem_perm.mode);
    CHECK(ds.sem_otime != 0 && ds.sem_ctime != 0);
    ds.sem_perm.mode = 0400;
    RES(semctl(id, 0, IPC_SET, u));
    RES(semctl(id, 0, IPC_STAT, u));
    RES(ds.sem_perm.mode);
    struct seminfo info;
    u.info = &info;
    CHECK(semctl(0, 0, IPC_INFO, u) >= 0);
    printf("%d %d %d %d\n", info.semmsl, info.semopm, info.semvmx, info.semusz);
    int highest = semctl(0, 0, SEM_INFO, u), found = 0;
    CHECK(info.semusz >= 1 && info.semaem >= 4);
    u.buf = &ds;
    for (int i = 0; i <= highest; i++)
        found += semctl(i, 0, SEM_STAT, u) == id;
    RES(found);
    RES(semctl(id, 0, 99, u));
    // Removal wakes who waits.
    RES(pthread_create(&a, NULL, take, (void *)100));
    wait_for(id, 0, GETNCNT, 1);
    RES(semctl(id, 0, IPC_RMID));
    RES(pthread_join(a, &result));
    puts(conf_errno((int)(long)result));
    RES(semctl(id, 0, GETVAL));
    RES(op(id, 0, 1, 0));
}

struct message {
    long type;
    char text[9000];
};
static int the_queue;
static volatile int sleeper; // thread id of the last thread started below
// Until that thread sleeps in its call.
static void wait_asleep(void)
{
    char path[64], text[256];
    for (int i = 0, seen = 0; i < 20000 && seen < 3; i++) {
        conf_sleep_ms(1);
        if (!sleeper)
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", sleeper);
        FILE *f = fopen(path, "r");
        if (f && fgets(text, sizeof text, f))
            seen = strstr(text, ") S ") ? seen + 1 : 0;
        if (f)
            fclose(f);
    }
    sleeper = 0;
}
static void *send_more(void *arg)
{
    sleeper = (int)syscall(SYS_gettid);
    static struct message m = {.type = 9};
    return (void *)(long)(msgsnd(the_queue, &m, (size_t)arg, 0) ? errno : 0);
}
static void *receive_one(void *arg)
{
    sleeper = (int)syscall(SYS_gettid);
    static struct message m;
    return (void *)(long)(msgrcv(the_queue, &m, sizeof m.text, (long)arg, 0) < 0 ? errno : 0);
}

static void messages(void)
{
    static struct message m;
    struct msqid_ds ds;
    RES(msgget(KEY(3), 0));
    int id = msgget(KEY(3), IPC_CREAT | 0600);
    the_queue = id;
    CHECK(id >= 0 && msgget(KEY(3), 0600) == id);
    RES(msgget(KEY(3), IPC_CREAT | IPC_EXCL));
    m.type = 0;
    RES(msgsnd(id, &m, 1, 0));
    m.type = 1;
    RES(msgsnd(id, &m, 8193, 0));
    RES(msgsnd(-1, &m, 1, 0));
    RES(msgsnd(id, NULL, 1, 0));
    RES(msgrcv(id, &m, 10, 0, IPC_NOWAIT));
    for (int i = 0; i < 6; i++) {
        m.type = 6 - i;
        snprintf(m.text, sizeof m.text, "message %d", i);
        RES(msgsnd(id, &m, 10, 0));
    }
    RES(msgctl(id, IPC_STAT, &ds));
    printf("%lu messages, %lu bytes of %lu\n", (unsigned long)ds.msg_qnum, (unsigned long)ds.__msg_cbytes, (unsigned long)ds.msg_qbytes);
    CHECK(ds.msg_lspid == getpid() && ds.msg_lrpid == 0 && ds.msg_stime != 0 && ds.msg_rtime == 0);
    memset(&m, 0, sizeof m);
    RES(msgrcv(id, &m, 100, 0, 0)); // the first
    printf("%ld %s\n", m.type, m.text);
    RES(msgrcv(id, &m, 100, 3, 0)); // of a type
    printf("%ld %s\n", m.type, m.text);
    RES(msgrcv(id, &m, 100, -4, 0)); // the lowest type up to 4
    printf("%ld %s\n", m.type, m.text);
    RES(msgrcv(id, &m, 100, 5, MSG_EXCEPT));
    printf("%ld %s\n", m.type, m.text);
    RES(msgrcv(id, &m, 100, 1, IPC_NOWAIT));
    RES(msgrcv(id, &m, 100, 0x7fffffffffffffff, IPC_NOWAIT));
    RES(msgrcv(id, &m, 3, 5, 0));
    memset(&m, 0, sizeof m);
    RES(msgrcv(id, &m, 3, 5, MSG_NOERROR));
    printf("%ld %s\n", m.type, m.text);
    RES(msgrcv(id, &m, 100, 0, IPC_NOWAIT));
    printf("%ld %s\n", m.type, m.text);
    RES(msgrcv(id, &m, 100, 0, IPC_NOWAIT));
    RES(msgrcv(id, &m, 100, 0, MSG_COPY));
    RES(msgrcv(id, &m, (size_t)-1, 0, 0));
    m.type = 3;
    RES(msgsnd(id, &m, 0, 0)); // empty
    RES(msgrcv(id, &m, 0, 0, 0));
    // A full queue.
    int sent = 0;
    m.type = 4;
    while (msgsnd(id, &m, 4096, IPC_NOWAIT) == 0)
        sent++;
    printf("full after %d: %s\n", sent, conf_errno(errno));
    pthread_t a;
    void *result;
    RES(pthread_create(&a, NULL, send_more, (void *)100));
    wait_asleep();
    RES(msgrcv(id, &m, 4096, 0, 0));
    RES(pthread_join(a, &result));
    RES((long)result);
    RES(msgrcv(id, &m, 4096, 9, 0));
    while (msgrcv(id, &m, 4096, 0, IPC_NOWAIT) >= 0)
        continue;
    puts(conf_errno(errno));
    // Between processes.
    pid_t child = start("msg-echo", id, 100);
    int bad = 0;
    for (int i = 0; i < 100; i++) {
        m.type = 1;
        m.text[0] = (char)i;
        bad += msgsnd(id, &m, 64, 0) != 0;
        bad += msgrcv(id, &m, 128, 2, 0) != 64;
        bad += m.text[0] != i + 1;
    }
    RES(bad);
    RES(finish(child));
    // The limit of a queue, a waiting sender that finds room.
    RES(msgctl(id, IPC_STAT, &ds));
    ds.msg_qbytes = 50;
    ds.msg_perm.mode = 0640;
    RES(msgctl(id, IPC_SET, &ds));
    m.type = 1;
    RES(msgsnd(id, &m, 51, IPC_NOWAIT));
    RES(msgsnd(id, &m, 50, IPC_NOWAIT));
    RES(pthread_create(&a, NULL, send_more, (void *)20));
    wait_asleep();
    ds.msg_qbytes = 100;
    RES(msgctl(id, IPC_SET, &ds));
    RES(pthread_join(a, &result));
    RES((long)result);
    RES(msgctl(id, IPC_STAT, &ds));
    printf("%lu messages, %lu bytes of %lu, mode %o\n", (unsigned long)ds.msg_qnum, (unsigned long)ds.__msg_cbytes,
           (unsigned long)ds.msg_qbytes, ds.msg_perm.mode);
    struct msginfo info;
    int highest = msgctl(0, IPC_INFO, (struct msqid_ds *)&info), found = 0;
    printf("%d %d %d\n", info.msgmax, info.msgmnb, info.msgssz);
    for (int i = 0; i <= highest; i++)
        found += msgctl(i, MSG_STAT, &ds) == id;
    RES(found);
    CHECK(msgctl(0, MSG_INFO, (struct msqid_ds *)&info) >= 0 && info.msgpool >= 1 && info.msgmap >= 2);
    RES(msgctl(id, 99, &ds));
    // Interrupted, removed.
    RES(pthread_create(&a, NULL, receive_one, (void *)77));
    wait_asleep();
    RES(pthread_kill(a, SIGUSR1));
    RES(pthread_join(a, &result));
    puts(conf_errno((int)(long)result));
    RES(pthread_create(&a, NULL, receive_one, (void *)77));
    wait_asleep();
    RES(msgctl(id, IPC_RMID, NULL));
    RES(pthread_join(a, &result));
    puts(conf_errno((int)(long)result));
    RES(msgsnd(id, &m, 1, 0));
    RES(msgctl(id, IPC_RMID, NULL));
}

static void permissions(void)
{
    int shm = shmget(IPC_PRIVATE, 4096, 0600), sem = semget(IPC_PRIVATE, 1, 0440), msg = msgget(IPC_PRIVATE, 0200);
    struct message m = {.type = 1};
    RES(syscall(SYS_setresuid, 1000, 1000, 0)); // of this thread; the saved id leads back
    RES((long)shmat(shm, NULL, SHM_RDONLY));
    RES(shmctl(shm, IPC_RMID, NULL));
    RES(semctl(sem, 0, GETVAL)); // by its group
    RES(op(sem, 0, 1, 0));
    RES(msgsnd(msg, &m, 1, 0));
    RES(msgrcv(msg, &m, 1, 0, IPC_NOWAIT));
    RES(syscall(SYS_setresuid, 0, 0, 0));
    RES(msgrcv(msg, &m, 1, 0, IPC_NOWAIT));
    RES(shmctl(shm, IPC_RMID, NULL));
    RES(semctl(sem, 0, IPC_RMID));
    RES(msgctl(msg, IPC_RMID, NULL));
}

int main(int argc, char **argv)
{
    if (argc > 4 && !strcmp(argv[1], "as"))
        return role(argv);
    // What another run left that was killed.
    shmctl(shmget(KEY(1), 0, 0), IPC_RMID, NULL);
    semctl(semget(KEY(2), 0, 0), 0, IPC_RMID);
    msgctl(msgget(KEY(3), 0), IPC_RMID, NULL);
    alarm(60);
    shared_memory();
    semaphores();
    messages();
    permissions();
    return conf_end();
}
