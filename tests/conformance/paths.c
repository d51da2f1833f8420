// Names: mkdir, rmdir, rename, link, unlink, symlink, readlink, getdents, the *at family, cwd, path walking rules.
#include "conf.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    char *names[64];
    int n = 0;
    DIR *d = opendir(path);
    printf("list %s:", path);
    for (struct dirent *e; d && n < 64 && (e = readdir(d));) {
        char item[300];
        snprintf(item, sizeof item, "%s%s", e->d_name, e->d_type == DT_DIR ? "/" : e->d_type == DT_LNK ? "@" : "");
        names[n++] = strdup(item);
    }
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++)
        printf(" %s", names[i]);
    puts(d ? "" : conf_errno(errno));
    if (d)
        closedir(d);
}

static void touch(const char *path)
{
    close(open(path, O_WRONLY | O_CREAT, 0644));
}

static long links(const char *path)
{
    struct stat st;
    return lstat(path, &st) ? -1 : (long)st.st_nlink;
}

static void directories(void)
{
    RES(mkdir("d", 0755));
    RES(mkdir("d", 0755));
    RES(mkdir("d/e/f", 0755));
    RES(mkdir("d/e/", 0700));
    RES(links("d"));
    touch("d/file");
    RES(rmdir("d"));
    RES(rmdir("d/file"));
    RES(rmdir("d/."));
    RES(rmdir("d/.."));
    RES(unlink("d/e"));
    RES(unlink("d/file/"));
    list("d");
    RES(rmdir("d/e"));
    RES(unlink("d/file"));
    list("d");
    RES(rmdir("d/"));
    list("d");
    char longest[300];
    memset(longest, 'n', sizeof longest);
    longest[255] = 0;
    RES(mkdir(longest, 0700));
    RES(rmdir(longest));
    longest[255] = 'n';
    longest[256] = 0;
    RES(mkdir(longest, 0700));
    char *deep = malloc(5000);
    for (int i = 0; i < 4998; i++)
        deep[i] = i % 2 ? '/' : '.';
    deep[4998] = 0;
    RES(access(deep, F_OK));
    deep[4094] = 0;
    RES(access(deep, F_OK));
    free(deep);
}

static void renames(void)
{
    touch("a");
    RES(rename("a", "b"));
    RES(rename("a", "b"));
    RES(rename("b", "none/b"));
    mkdir("da", 0755);
    mkdir("db", 0755);
    touch("db/full");
    RES(rename("b", "da"));
    RES(rename("da", "b"));
    RES(rename("da", "db"));
    RES(rename("db", "da"));
    RES(rename("da", "da/inside"));
    RES(rename("da", "da"));
    RES(rename(".", "x"));
    RES(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "da", 1));
    RES(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "da", 2));
    list(".");
    list("b");
    RES(rename("b/full", "./full"));
    RES(rename("b/", "c/"));
    list(".");
    unlink("da");
    unlink("full");
    rmdir("c");
}

static void hard_links(void)
{
    touch("l1");
    RES(link("l1", "l2"));
    RES(link("l1", "l2"));
    RES(link("none", "l3"));
    RES(links("l1"));
    mkdir("ld", 0755);
    RES(link("ld", "ld2"));
    RES(linkat(AT_FDCWD, "l1", AT_FDCWD, "ld/l3", 0));
    RES(links("l2"));
    RES(rename("l1", "l2"));
    list(".");
    int fd = open("l1", O_RDWR);
    RES(unlink("l1"));
    RES(unlink("l1"));
    RES(unlink("l2"));
    RES(unlink("ld/l3"));
    struct stat st;
    RES(fstat(fd, &st));
    RES(st.st_nlink);
    RES(write(fd, "still", 5));
    close(fd);
    rmdir("ld");
}

static void symbolic_links(void)
{
    char buf[64];
    ssize_t n;
    touch("target");
    RES(symlink("target", "s"));
    RES(symlink("other", "s"));
    RES(symlink("", "empty"));
    RES(n = readlink("s", buf, sizeof buf));
    printf("-> %.*s\n", (int)n, buf);
    RES(readlink("s", buf, 3));
    RES(readlink("target", buf, sizeof buf));
    RES(readlink("s", buf, 0));
    RES(links("s"));
    RES(open("s", O_RDONLY | O_NOFOLLOW));
    RES(symlink("loop2", "loop1"));
    RES(symlink("loop1", "loop2"));
    RES(open("loop1", O_RDONLY));
    RES(symlink("made-by-open", "dangling"));
    RES(open("dangling", O_RDONLY));
    RES(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0600));
    OK(close(open("dangling", O_WRONLY | O_CREAT, 0600)));
    mkdir("sd", 0755);
    touch("sd/inner");
    symlink("sd", "to-sd");
    list("to-sd");
    RES(access("to-sd/inner", F_OK));
    RES(access("to-sd/../target", F_OK));
    RES(rmdir("to-sd"));
    RES(unlink("to-sd/"));
    list(".");
    const char *all[] = {"s", "target", "loop1", "loop2", "dangling", "made-by-open", "to-sd", "sd/inner"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(unlink(all[i]) == 0);
    CHECK(rmdir("sd") == 0);
}

static void at_family(void)
{
    struct stat st;
    mkdir("at", 0755);
    int dir = open("at", O_RDONLY | O_DIRECTORY);
    OK(close(openat(dir, "f", O_CREAT | O_WRONLY, 0600)));
    RES(mkdirat(dir, "sub", 0700));
    RES(symlinkat("f", dir, "s"));
    RES(fstatat(dir, "s", &st, AT_SYMLINK_NOFOLLOW));
    RES(S_ISLNK(st.st_mode));
    RES(fstatat(dir, "", &st, AT_EMPTY_PATH));
    RES(S_ISDIR(st.st_mode));
    RES(fstatat(dir, "", &st, 0));
    RES(fstatat(99, "f", &st, 0));
    RES(fstatat(99, "/", &st, 0));
    RES(faccessat(dir, "f", R_OK, 0));
    RES(unlinkat(dir, "sub", 0));
    RES(unlinkat(dir, "sub", AT_REMOVEDIR));
    RES(rename("at", "moved")); // the descriptor follows the folder
    RES(fstatat(dir, "f", &st, 0));
    RES(unlinkat(dir, "s", 0));
    RES(renameat(dir, "f", AT_FDCWD, "f-out"));
    RES(rmdir("moved"));
    RES(openat(dir, "x", O_CREAT | O_WRONLY, 0600));
    list(".");
    close(dir);
    unlink("f-out");
}

static void working_folder(void)
{
    char a[PATH_MAX], b[PATH_MAX];
    CHECK(getcwd(a, sizeof a) != NULL);
    mkdir("cwd", 0755);
    RES(chdir("cwd"));
    CHECK(getcwd(b, sizeof b) != NULL);
    printf("%s\n", b + strlen(a));
    RES(chdir(".."));
    RES(chdir("none"));
    int dir = open("cwd", O_RDONLY);
    RES(fchdir(dir));
    close(dir);
    RES(rename("../cwd", "../cwd2"));
    CHECK(getcwd(b, sizeof b) != NULL);
    printf("%s\n", b + strlen(a));
    RES(rmdir("../cwd2"));
    RES(getcwd(b, sizeof b) ? 0 : -1);
    RES(open("x", O_CREAT | O_WRONLY, 0600));
    RES(chdir(a));
    RES(getcwd(b, 1) ? 0 : -1);
    RES(access("/../../..", F_OK));
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    umask(022);
    directories();
    renames();
    hard_links();
    symbolic_links();
    at_family();
    working_folder();
    // A folder with many entries, read through small buffers, with deletions in between.
    mkdir("many", 0755);
    char name[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "many/entry-%04d", i);
        touch(name);
    }
    int seen = 0, fd = open("many", O_RDONLY | O_DIRECTORY);
    char buf[512];
    for (long n; (n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0;)
        for (long at = 0; at < n;) {
            struct dirent64 *e = (struct dirent64 *)(buf + at);
            seen += e->d_name[0] == 'e';
            at += e->d_reclen;
        }
    RES(seen);
    RES(lseek(fd, 0, SEEK_SET));
    RES(syscall(SYS_getdents64, fd, buf, 4));
    RES(syscall(SYS_getdents64, 0x7777, buf, sizeof buf));
    close(fd);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "many/entry-%04d", i);
        CHECK(unlink(name) == 0);
    }
    RES(rmdir("many"));
    return conf_end();
}
