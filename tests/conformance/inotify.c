// inotify: every event with its name, flags and order, cookies of renames, options of watches, the queue and its end.
#include "conf.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>


static int in;
static unsigned last_cookie;

static const char *names(unsigned mask)
{
    static char text[300];
    static const struct {
        unsigned bit;
        const char *name;
    } all[] = {{IN_ACCESS, "ACCESS"}, {IN_MODIFY, "MODIFY"}, {IN_ATTRIB, "ATTRIB"}, {IN_CLOSE_WRITE, "CLOSE_WRITE"}, {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
               {IN_OPEN, "OPEN"}, {IN_MOVED_FROM, "MOVED_FROM"}, {IN_MOVED_TO, "MOVED_TO"}, {IN_CREATE, "CREATE"}, {IN_DELETE, "DELETE"},
               {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"}, {IN_UNMOUNT, "UNMOUNT"}, {IN_Q_OVERFLOW, "Q_OVERFLOW"},
               {IN_IGNORED, "IGNORED"}, {IN_ISDIR, "ISDIR"}};
    text[0] = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (mask & all[i].bit)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "|" : "", all[i].name);
    return text;
}

// Shows what has come, watches by number.
static void show(const char *what)
{
    char buf[8192] __attribute__((aligned(8)));
    printf("%s:", what);
    for (;;) {
        ssize_t n = read(in, buf, sizeof buf);
        if (n <= 0)
            break;
        for (char *p = buf; p < buf + n;) {
            struct inotify_event *e = (void *)p;
            printf(" [%d %s", e->wd, names(e->mask));
            if (e->len) {
                printf(" \"%s\"", e->name);
                CHECK(e->len % 16 == 0 && e->len > strlen(e->name) && e->len <= strlen(e->name) + 16);
            }
            if (e->cookie) {
                printf(" %s cookie", e->cookie == last_cookie ? "same" : "new");
                last_cookie = e->cookie;
            }
            printf("]");
            p += sizeof *e + e->len;
        }
    }
    printf("\n");
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (long)strlen(text));
    close(fd);
}

static void errors(void)
{
    OK(inotify_init1(1));
    OK(inotify_add_watch(-1, ".", IN_ALL_EVENTS));
    OK(inotify_add_watch(0, ".", IN_ALL_EVENTS));
    OK(inotify_add_watch(in, ".", 0));
    OK(inotify_add_watch(in, ".", 0x00100000));
    OK(inotify_add_watch(in, ".", IN_MASK_ADD | IN_MASK_CREATE | IN_OPEN));
    OK(inotify_add_watch(in, "none", IN_OPEN));
    OK(inotify_add_watch(in, "", IN_OPEN));
    OK(inotify_add_watch(in, NULL, IN_OPEN));
    OK(inotify_rm_watch(in, 99));
    OK(inotify_rm_watch(in, -1));
    OK(inotify_rm_watch(-1, 1));
    OK(inotify_rm_watch(1, 1));
    char b[100];
    OK(read(in, b, sizeof b));
    OK(write(in, b, 1));
    OK(lseek(in, 0, SEEK_SET));
    put("file", "x");
    OK(inotify_add_watch(in, "file", IN_ONLYDIR | IN_OPEN));
    CHECK(symlink("file", "link") == 0);
    int a = inotify_add_watch(in, "file", IN_ATTRIB), c = inotify_add_watch(in, "link", IN_ATTRIB), d = inotify_add_watch(in, "link", IN_ATTRIB | IN_DONT_FOLLOW);
    CHECK(a == c && d == a + 1);
    OK(inotify_add_watch(in, "file", IN_OPEN | IN_MASK_CREATE));
    CHECK(inotify_add_watch(in, "file", IN_OPEN | IN_MASK_ADD) == a);
    chmod("file", 0600);
    close(open("file", O_RDONLY));
    show("mask added");
    CHECK(inotify_add_watch(in, "file", IN_OPEN) == a);
    chmod("file", 0644);
    close(open("file", O_RDONLY));
    show("mask replaced");
    OK(inotify_rm_watch(in, a));
    OK(inotify_rm_watch(in, a));
    OK(inotify_rm_watch(in, d));
    show("removed");
    CHECK(inotify_add_watch(in, "file", IN_ONESHOT | IN_OPEN) == d + 1);
    close(open("file", O_RDONLY));
    close(open("file", O_RDONLY));
    show("one shot");
    unlink("file");
    unlink("link");
    show("nothing");
}

static void events(void)
{
    char b[100];
    CHECK(mkdir("dir", 0755) == 0);
    close(in);
    in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(fcntl(in, F_GETFD) == FD_CLOEXEC && (fcntl(in, F_GETFL) & O_NONBLOCK));
    CHECK(inotify_add_watch(in, "dir", IN_ALL_EVENTS) == 1);
    put("dir/a", "hello");
    show("created, written");
    CHECK(inotify_add_watch(in, "dir/a", IN_ALL_EVENTS) == 2);
    int fd = open("dir/a", O_RDWR);
    CHECK(read(fd, b, 3) == 3);
    CHECK(read(fd, b, 0) == 0);
    CHECK(pread(fd, b, 1, 0) == 1);
    show("read");
    CHECK(read(fd, b, 3) == 2);
    CHECK(read(fd, b, 3) == 0);
    CHECK(write(fd, "x", 1) == 1);
    CHECK(pwrite(fd, "y", 1, 0) == 1);
    show("written");
    OK(ftruncate(fd, 2));
    OK(fchmod(fd, 0600));
    OK(fchown(fd, getuid(), getgid()));
    show("changed");
    struct timespec t[2] = {{1, 0}, {2, 0}};
    OK(futimens(fd, t));
    t[0].tv_nsec = UTIME_OMIT;
    OK(futimens(fd, t));
    t[0].tv_nsec = 0;
    t[1].tv_nsec = UTIME_OMIT;
    OK(futimens(fd, t));
    show("times");
    int fd2 = dup(fd);
    close(fd2);
    show("duplicate closed");
    close(fd);
    show("closed");
    OK(truncate("dir/a", 10));
    show("truncated");
    close(open("dir/a", O_RDONLY));
    show("opened, closed");
    close(open("dir/a", O_PATH));
    struct stat st;
    stat("dir/a", &st);
    show("path only, stat");
    OK(link("dir/a", "dir/b"));
    show("linked");
    OK(symlink("x", "dir/l"));
    show("symbolic link");
    OK(mknod("dir/p", S_IFIFO | 0600, 0));
    show("fifo");
    OK(mkdir("dir/sub", 0755));
    show("directory");
    close(open("dir/sub", O_RDONLY | O_DIRECTORY));
    show("directory opened");
    OK(chmod("dir/sub", 0700));
    show("directory changed");
    OK(rename("dir/a", "dir/c"));
    show("renamed");
    put("dir/d", "");
    show("another");
    OK(rename("dir/d", "dir/c"));
    show("replaced");
    OK(unlink("dir/b"));
    show("last link gone");
    OK(rename("dir/c", "outside"));
    show("moved out");
    OK(rename("outside", "dir/inside"));
    show("moved in");
    OK(rename("dir/sub", "dir/sub2"));
    show("directory renamed");
    OK(rmdir("dir/sub2"));
    OK(unlink("dir/inside"));
    OK(unlink("dir/l"));
    OK(unlink("dir/p"));
    show("all removed");
    fd = open("dir/open", O_RDWR | O_CREAT, 0644);
    int wd = inotify_add_watch(in, "dir/open", IN_ALL_EVENTS);
    CHECK(wd == 3);
    show("new file");
    OK(unlink("dir/open"));
    show("unlinked while open");
    CHECK(write(fd, "x", 1) == 1);
    show("written after");
    close(fd);
    show("and closed");
    OK(rename("dir", "dir2"));
    show("itself renamed");
    OK(rmdir("dir2"));
    show("itself removed");
}

static void options(void)
{
    CHECK(mkdir("dir", 0755) == 0);
    int wd = inotify_add_watch(in, "dir", IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONLYDIR);
    CHECK(wd > 0);
    int fd = open("dir/a", O_RDWR | O_CREAT, 0600);
    unlink("dir/a");
    CHECK(write(fd, "x", 1) == 1);
    close(fd);
    show("not after unlinking");
    CHECK(mkdir("dir/one", 0755) == 0 && mkdir("dir/two", 0755) == 0);
    int one = inotify_add_watch(in, "dir/one", IN_MOVE), two = inotify_add_watch(in, "dir/two", IN_MOVE);
    CHECK(one == wd + 1 && two == wd + 2);
    put("dir/one/x", "");
    show("made");
    OK(rename("dir/one/x", "dir/two/y"));
    OK(rename("dir/two/y", "dir/two/z"));
    show("moved");
    put("dir/one/w", "");
    OK(renameat2(AT_FDCWD, "dir/one/w", AT_FDCWD, "dir/two/z", RENAME_EXCHANGE));
    show("exchanged");
    unlink("dir/one/w");
    unlink("dir/two/z");
    rmdir("dir/one");
    rmdir("dir/two");
    rmdir("dir");
    char buf[10000];
    while (read(in, buf, sizeof buf) > 0) {
    }
}

// The limit is one of each user: natively other runs are at it as well, so this is a user of its own.
static void too_many(void)
{
    uid_t alone = 100000 + (uid_t)getpid();
    int n = 0;
    if (geteuid() == 0)
        CHECK(setresuid(alone, alone, alone) == 0);
    while (n < 2000 && inotify_init() >= 0)
        n++;
    printf("too many: %s\n", conf_errno(errno));
    CHECK(n >= 100);
}

static void queue(void)
{
    CHECK(mkdir("dir", 0755) == 0);
    int wd = inotify_add_watch(in, "dir", IN_CREATE | IN_DELETE | IN_MODIFY);
    int n = -1;
    char buf[100];
    put("dir/name", "1");
    OK(ioctl(in, FIONREAD, &n));
    printf("bytes %d\n", n);
    OK(read(in, buf, 16));
    RES(read(in, buf, 40));
    RES(read(in, buf, 100));
    RES(read(in, buf, 100));
    int fd = open("dir/name", O_WRONLY);
    for (int i = 0; i < 5; i++)
        CHECK(write(fd, "x", 1) == 1);
    close(fd);
    show("merged");
    struct pollfd p = {in, POLLIN | POLLOUT, 0};
    RES(poll(&p, 1, 0));
    int e = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN | EPOLLET, {.fd = in}};
    CHECK(epoll_ctl(e, EPOLL_CTL_ADD, in, &ev) == 0);
    RES(epoll_wait(e, &ev, 1, 0));
    unlink("dir/name");
    RES(epoll_wait(e, &ev, 1, 0));
    RES(epoll_wait(e, &ev, 1, 0));
    RES(poll(&p, 1, 0));
    printf("events %#x\n", p.revents);
    show("deleted");
    close(e);
    // As many as the queue holds, and what comes then.
    char name[40];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "dir/%d", i & 1);
        if (i & 1 ? unlink("dir/0") : mknod("dir/0", S_IFREG | 0600, 0))
            CHECK(0);
    }
    long count = 0, overflow = 0;
    struct inotify_event last = {0};
    char big[8192] __attribute__((aligned(8)));
    for (ssize_t k; (k = read(in, big, sizeof big)) > 0;)
        for (char *q = big; q < big + k; q += sizeof last + last.len) {
            memcpy(&last, q, sizeof last);
            count++;
            overflow += last.mask == IN_Q_OVERFLOW && last.wd == -1;
        }
    printf("%ld events, %ld overflow, last %s\n", count, overflow, names(last.mask));
    put("dir/z", "");
    show("goes on");
    unlink("dir/z");
    OK(inotify_rm_watch(in, wd));
    show("removed");
    rmdir("dir");
    char path[64], text[1000];
    CHECK(mkdir("dir", 0755) == 0);
    wd = inotify_add_watch(in, "dir", IN_CREATE | IN_ONESHOT);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", in);
    fd = open(path, O_RDONLY);
    ssize_t k = read(fd, text, sizeof text - 1);
    close(fd);
    text[k > 0 ? k : 0] = 0;
    struct stat st;
    stat("dir", &st);
    char *line = strstr(text, "inotify wd:");
    unsigned got_wd = 0, mask = 0;
    unsigned long ino = 0;
    CHECK(line && sscanf(line, "inotify wd:%x ino:%lx sdev:%*x mask:%x", &got_wd, &ino, &mask) == 3);
    CHECK((int)got_wd == wd && ino == st.st_ino);
    printf("mask %#x\n", mask & IN_ALL_EVENTS);
    snprintf(path, sizeof path, "/proc/self/fd/%d", in);
    k = readlink(path, text, sizeof text);
    printf("%.*s\n", (int)k, text);
    rmdir("dir");
    int limit = 0;
    fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY);
    k = read(fd, text, sizeof text);
    limit = atoi(text);
    CHECK(limit >= 1024);
    close(fd);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        too_many();
        fflush(stdout);
        _exit(conf_failures != 0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    umask(022);
    in = inotify_init1(IN_NONBLOCK);
    CHECK(in >= 0);
    errors();
    printf("---\n");
    events();
    printf("---\n");
    options();
    printf("---\n");
    queue();
    return conf_end();
}
