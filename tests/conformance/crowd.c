// Many at once: `crowd threads N` has N threads alive at one time, `crowd spawn N` and `crowd fork N` N child processes. Each says
// that it is there, waits until all are, does a little work and ends with a status of its own, which is checked.
#include "conf.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_here = PTHREAD_COND_INITIALIZER, opened = PTHREAD_COND_INITIALIZER;
static int here, wanted, open_gate;

static void *thread(void *arg)
{
    pthread_mutex_lock(&mutex);
    if (++here == wanted)
        pthread_cond_signal(&all_here);
    while (!open_gate)
        pthread_cond_wait(&opened, &mutex);
    here--;
    pthread_mutex_unlock(&mutex);
    return (void *)((long)arg * 3);
}

static void threads(int count)
{
    pthread_t *t = calloc(count, sizeof *t);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 32 * 1024);
    wanted = count;
    for (long i = 0; i < count; i++) {
        int e = pthread_create(&t[i], &small, thread, (void *)i);
        if (e) {
            printf("thread %ld: %s\n", i, conf_errno(e));
            exit(1);
        }
    }
    pthread_mutex_lock(&mutex);
    while (here < count)
        pthread_cond_wait(&all_here, &mutex);
    printf("%d threads alive at once\n", here);
    open_gate = 1;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&mutex);
    long bad = 0;
    for (long i = 0; i < count; i++) {
        void *result = NULL;
        CHECK(pthread_join(t[i], &result) == 0);
        bad += (long)result != i * 3;
    }
    RES(bad);
    RES(here);
    free(t);
}

// The child's part: one byte says that it is there; the end of the other pipe says go.
static int child(int ready, int gate, int number)
{
    char c = 'x';
    if (write(ready, &c, 1) != 1 || read(gate, &c, 1) != 0)
        return 255;
    return number % 200;
}

static pid_t spawn(const char *self, int ready, int gate, int number)
{
    char numbers[3][16];
    snprintf(numbers[0], 16, "%d", ready);
    snprintf(numbers[1], 16, "%d", gate);
    snprintf(numbers[2], 16, "%d", number);
    char *argv[] = {"crowd", "child", numbers[0], numbers[1], numbers[2], NULL};
    pid_t pid;
    int e = posix_spawn(&pid, self, NULL, NULL, argv, environ);
    errno = e;
    return e ? -1 : pid;
}

static void processes(const char *self, int count, int by_fork)
{
    int ready[2], gate[2], bad = 0;
    pid_t *pid = calloc(count, sizeof *pid);
    CHECK(pipe(ready) == 0 && pipe2(gate, O_CLOEXEC) == 0);
    int inherited = dup(gate[0]);
    for (int i = 0; i < count; i++) {
        pid[i] = by_fork ? fork() : spawn(self, ready[1], inherited, i);
        if (by_fork && pid[i] == 0) {
            close(gate[1]);
            _exit(child(ready[1], gate[0], i));
        }
        if (pid[i] < 0) {
            printf("process %d: %s\n", i, conf_errno(errno));
            exit(1);
        }
    }
    char c;
    for (int i = 0; i < count; i++)
        CHECK(read(ready[0], &c, 1) == 1);
    for (int i = 0; i < count; i++)
        bad += kill(pid[i], 0) != 0 || waitpid(pid[i], NULL, WNOHANG) != 0;
    printf("%d processes alive at once, %d not\n", count - bad, bad);
    close(gate[1]);
    bad = 0;
    for (int i = 0; i < count; i++) {
        int status = -1;
        bad += waitpid(pid[i], &status, 0) != pid[i] || !WIFEXITED(status) || WEXITSTATUS(status) != i % 200;
    }
    RES(bad);
    RES(waitpid(-1, NULL, 0));
    free(pid);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "child") == 0)
        return child(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    if (argc < 3)
        return 2;
    int count = atoi(argv[2]);
    if (strcmp(argv[1], "threads") == 0)
        threads(count);
    else
        processes("/proc/self/exe", count, strcmp(argv[1], "fork") == 0);
    return conf_end();
}
