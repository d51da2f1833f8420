// mount(2) and umount2(2): what a mount point does to rmdir and rename, mounts on top of each other, file systems that are taken away while they
// are in use, and that nothing of them stays behind. For root; natively in a name space of its own.
#include "conf.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int mount_at(const char *path)
{
    return mount("none", path, "tmpfs", 0, NULL);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void get(int dir, const char *path)
{
    char text[100] = "";
    int fd = openat(dir, path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    printf("%s: %s\n", path, n < 0 ? conf_errno(errno) : text);
    if (fd >= 0)
        close(fd);
}

static void points(void)
{
    printf("mount points\n");
    CHECK(mkdir("m", 0755) == 0 && mkdir("e", 0755) == 0 && mkdir("m2", 0755) == 0);
    put("m/below", "below");
    put("file", "");
    RES(mount_at("file"));
    RES(mount_at("none"));
    RES(mount_at("file/x"));
    RES(mount_at("m"));
    get(AT_FDCWD, "m/below");
    put("m/above", "above");
    RES(rmdir("m"));
    RES(rename("e", "m"));
    RES(rename("m", "e"));
    RES(rename("m", "m3"));
    RES(renameat2(AT_FDCWD, "m", AT_FDCWD, "e", RENAME_EXCHANGE));
    RES(renameat2(AT_FDCWD, "e", AT_FDCWD, "m", RENAME_EXCHANGE));
    RES(rename("m/above", "above"));
    RES(link("m/above", "above"));
    RES(unlink("m"));
    RES(rmdir("m/."));
    RES(umount2("m/above", 0));
    RES(umount2("m/..", 0));
    RES(mount_at("m")); // on top
    get(AT_FDCWD, "m/above");
    RES(umount2("m", 0));
    get(AT_FDCWD, "m/above");
    RES(umount2("m", 0));
    get(AT_FDCWD, "m/below");
    RES(umount2("m", 0));
    RES(mount("none", "m", NULL, 0, NULL));
    RES(mount("none", "m", "tmpfs", MS_REMOUNT, NULL)); // nothing is mounted there
    RES(mount("none", "m", NULL, MS_PRIVATE, NULL));
    RES(mount("m", "e", NULL, MS_MOVE, NULL));
    RES(mount("none", "m", "no-such-type", 0, NULL));
    RES(mount("none", "m", "tmpfs", 1ul << 31, NULL));
    RES(mount("none", "m", (char *)1, 0, NULL));
    RES(mount((char *)1, "m", "tmpfs", 0, NULL));
    RES(mount("none", "m", "tmpfs", 0, (char *)1));
    RES(mount("none", "m", "tmpfs", 0, "mode=0700,size=64k"));
    RES(mount("none", "m", NULL, MS_PRIVATE, NULL));
    RES(mount("none", "m", NULL, MS_PRIVATE | MS_SHARED, NULL));
    RES(mount("none", "m", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL));
    RES(mkdir("m/x", 0700));
    RES(mount("none", "m", "tmpfs", MS_REMOUNT, NULL));
    RES(mkdir("m/x", 0700));
    RES(umount2("m", MNT_EXPIRE | MNT_DETACH));
    RES(umount2("m", UMOUNT_NOFOLLOW));
    RES(umount2("", 0));
    // A directory that is gone.
    CHECK(mkdir("gone", 0755) == 0);
    int dir = open("gone", O_RDONLY | O_DIRECTORY);
    CHECK(rmdir("gone") == 0 && fchdir(dir) == 0);
    RES(mount_at("."));
    CHECK(chdir("..") == 0 || errno == ENOENT);
    close(dir);
}

static void busy(const char *base)
{
    char place[300];
    printf("in use\n");
    CHECK(chdir(base) == 0);
    RES(mount_at("m"));
    put("m/f", "text");
    int fd = open("m/f", O_RDONLY);
    RES(umount2("m", 0));
    close(fd);
    fd = open("m", O_PATH);
    RES(umount2("m", 0));
    close(fd);
    CHECK(chdir("m") == 0);
    RES(umount2(".", 0));
    CHECK(chdir("..") == 0);
    CHECK(mkdir("m/inner", 0755) == 0);
    RES(mount_at("m/inner"));
    RES(umount2("m", 0));
    RES(umount2("m/inner", 0));
    fd = open("m", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    RES(umount2("m", 0));
    close(fd);
    int watcher = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(watcher, "m/f", IN_ALL_EVENTS) == 1);
    RES(umount2("m", 0x7770));
    RES(umount2("m", 0));
    struct inotify_event events[8];
    ssize_t n = read(watcher, events, sizeof events);
    for (int i = 0; i < n / (ssize_t)sizeof events[0]; i++)
        printf("event %x\n", events[i].mask);
    close(watcher);
    snprintf(place, sizeof place, "%s/m", base);
    DIR *list = opendir(place);
    int entries = 0;
    while (list && readdir(list))
        entries++;
    printf("entries %d\n", entries);
    closedir(list);
}

static void detached(void)
{
    printf("detached\n");
    RES(mount_at("m"));
    CHECK(mkdir("m/sub", 0755) == 0 && mkdir("m/inner", 0755) == 0);
    put("m/f", "text");
    put("m/sub/g", "more");
    RES(mount_at("m/inner"));
    put("m/inner/i", "inner");
    int dir = open("m", O_RDONLY | O_DIRECTORY), fd = open("m/f", O_RDWR), inner = open("m/inner", O_RDONLY);
    int sub = open("m/sub", O_RDONLY | O_DIRECTORY);
    int watcher = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(watcher, "m", IN_UNMOUNT) == 1);
    RES(umount2("m", 0));
    RES(umount2("m", MNT_DETACH));
    RES(umount2("m", MNT_DETACH));
    get(AT_FDCWD, "m/f");
    get(AT_FDCWD, "m/below");
    get(dir, "f");
    get(dir, "sub/g");
    get(dir, "sub/../f");
    get(inner, "i");
    get(dir, "inner/i"); // the inner one was taken off too
    RES(mkdirat(dir, "new", 0755));
    RES(mkdirat(dir, "new/x", 0755));
    RES(renameat(dir, "new", dir, "new/x/y"));
    RES(renameat(dir, "f", dir, "new/f"));
    get(dir, "new/f");
    get(dir, "f");
    RES(renameat(dir, "new/f", dir, "sub/g")); // replaces
    get(sub, "g");
    RES(symlinkat("sub/g", dir, "link"));
    get(dir, "link");
    RES(linkat(dir, "sub/g", dir, "hard", 0));
    RES(unlinkat(dir, "sub/g", 0));
    get(sub, "g");
    get(dir, "hard");
    RES(unlinkat(dir, "sub", AT_REMOVEDIR));
    RES(openat(sub, "x", O_CREAT | O_RDWR, 0600));
    RES(write(fd, "TE", 2));
    get(dir, "hard");
    struct stat st;
    CHECK(fstat(fd, &st) == 0);
    printf("links %ld size %ld\n", (long)st.st_nlink, (long)st.st_size);
    struct statfs fs;
    RES(fstatfs(dir, &fs));
    CHECK(fchdir(dir) == 0);
    char text[200] = "";
    long n = syscall(SYS_getcwd, text, sizeof text);
    printf("getcwd %s %s\n", n < 0 ? conf_errno(errno) : "ok", n > 0 && strncmp(text, "(unreachable)", 13) == 0 ? "unreachable" : "");
    get(AT_FDCWD, "../../hard");
    CHECK(mkdir("mp", 0755) == 0);
    CHECK(mount_at("mp") == -1); // ENOENT of newer kernels, EINVAL of older ones
    struct inotify_event event = {0};
    RES(read(watcher, &event, sizeof event));
    CHECK(chdir("/") == 0);
    close(dir);
    close(fd);
    close(inner);
    RES(read(watcher, &event, sizeof event)); // `sub` is open still
    close(sub);
    RES(read(watcher, &event, sizeof event));
    printf("event %x\n", event.mask);
    RES(read(watcher, &event, sizeof event));
    printf("event %x\n", event.mask);
    close(watcher);
}

// Objects of the kernel inside that are in use; natively others use the same counts.
static long objects(const char *kind)
{
    char line[256];
    long used = -1, n;
    FILE *f = access("/.inside-an-instance", F_OK) == 0 ? fopen("/proc/slabinfo", "r") : NULL;
    while (f && used < 0 && fgets(line, sizeof line, f)) {
        char name[64];
        if (sscanf(line, "%63s %ld", name, &n) == 2 && strcmp(name, kind) == 0)
            used = n;
    }
    if (f)
        fclose(f);
    return used;
}

enum { MEGABYTE = 1 << 20, ROUNDS = 40 };
static char megabyte[MEGABYTE];

// Files, directories below each other and a working directory, in a file system that is taken away: all of it goes.
static void one_round(int how)
{
    CHECK(mount_at("m") == 0);
    CHECK(mkdir("m/a", 0755) == 0 && mkdir("m/a/b", 0755) == 0 && mkdir("m/a/b/c", 0755) == 0);
    int fd = open("m/a/b/big", O_RDWR | O_CREAT, 0600);
    CHECK(write(fd, megabyte, MEGABYTE) == MEGABYTE);
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED && map[0] == 'm');
    if (how % 2)
        CHECK(chdir("m/a/b/c") == 0);
    if (how % 4 < 2)
        close(fd);
    CHECK(umount2(how % 2 ? "../../.." : "m", MNT_DETACH) == 0);
    if (how % 4 >= 2) {
        CHECK(pwrite(fd, "x", 1, MEGABYTE) == 1);
        close(fd);
    }
    munmap(map, 4096);
}

static void nothing_left(const char *base)
{
    printf("nothing left\n");
    memset(megabyte, 'm', sizeof megabyte);
    static const char *const kinds[] = {"inode", "dentry", "cached_page", "file"};
    long before[4] = {0};
    for (int i = 0; i < ROUNDS + 4; i++) {
        if (i == 4)
            for (int k = 0; k < 4; k++)
                before[k] = objects(kinds[k]);
        one_round(i);
        CHECK(chdir(base) == 0);
    }
    // Mounts that fail leave nothing either.
    for (int i = 0; i < ROUNDS; i++)
        CHECK(mount_at("file") == -1 && errno == ENOTDIR);
    for (int k = 0; k < 4; k++)
        if (objects(kinds[k]) > before[k] + (k == 2 ? 300 : 20))
            printf("%s: %ld before, %ld now\n", kinds[k], before[k], objects(kinds[k]));
}

// Threads that mount at a directory against threads that remove it, and replace it.
static int volatile over;
static void *maker(void *unused)
{
    (void)unused;
    while (!over) {
        mkdir("race/d", 0755);
        sched_yield();
        rmdir("race/d");
    }
    return NULL;
}
static void *replacer(void *unused)
{
    (void)unused;
    while (!over) {
        mkdir("race/e", 0755);
        rename("race/e", "race/d");
    }
    return NULL;
}
static int lost, mounted;
static void *mounter(void *rounds)
{
    for (int i = 0; i < *(int *)rounds; i++) {
        if (mount_at("race/d") != 0) {
            CHECK(errno == ENOENT);
            continue;
        }
        __atomic_add_fetch(&mounted, 1, __ATOMIC_SEQ_CST);
        int done = -1;
        unsigned seed = (unsigned)i;
        for (int j = 0; j < 2000 && (done = umount2("race/d", 0)) != 0 && errno == EBUSY; j++)
            usleep((unsigned)rand_r(&seed) % 1000); // the other one has the path in hand: not in step with him
        if (done != 0)
            __atomic_add_fetch(&lost, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}
static void races(void)
{
    pthread_t threads[4];
    int rounds = 200;
    printf("races\n");
    CHECK(mkdir("race", 0755) == 0);
    pthread_create(&threads[0], NULL, maker, NULL);
    pthread_create(&threads[1], NULL, replacer, NULL);
    pthread_create(&threads[2], NULL, mounter, &rounds);
    pthread_create(&threads[3], NULL, mounter, &rounds);
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
    over = 1;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("lost %d\n", lost);
    rmdir("race/d");
    rmdir("race/e");
    RES(rmdir("race"));
}

int main(int argc, char **argv)
{
    char base[256];
    // Inside there is one name space, and nothing is ever propagated.
    if (unshare(CLONE_NEWNS) == 0)
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    conf_enter_dir(argc, argv);
    CHECK(getcwd(base, sizeof base));
    points();
    busy(base);
    detached();
    CHECK(chdir(base) == 0);
    nothing_left(base);
    races();
    unlink("m/below");
    unlink("file");
    rmdir("m");
    rmdir("m2");
    rmdir("e");
    return conf_failures != 0;
}
