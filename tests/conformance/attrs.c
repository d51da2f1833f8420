// What files say about themselves: stat, statx, chmod, chown, utimens, umask, access, statfs, xattr, FIFOs, locks.
#include "conf.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static void show(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        printf("%s: %s\n", path, conf_errno(errno));
    else
        printf("%s: mode %o links %ld uid %d gid %d size %ld\n", path, st.st_mode, (long)st.st_nlink, st.st_uid, st.st_gid,
               S_ISDIR(st.st_mode) ? -1L : (long)st.st_size);
}

static void modes(void)
{
    umask(027);
    close(open("m", O_CREAT | O_WRONLY, 0666));
    show("m");
    RES(umask(0));
    close(open("m2", O_CREAT | O_WRONLY, 07777));
    show("m2");
    umask(022);
    mkdir("md", 0777);
    struct stat st;
    stat("md", &st);
    RES(st.st_mode);
    RES(chmod("m", 04755));
    show("m");
    int fd = open("m", O_RDWR);
    RES(fchmod(fd, 0600));
    show("m");
    RES(fchmodat(AT_FDCWD, "m", 0644, 0));
    RES(chmod("none", 0));
    RES(chown("m", 12, 34));
    show("m");
    RES(fchown(fd, (uid_t)-1, 56));
    show("m");
    RES(symlink("m", "sm"));
    RES(lchown("sm", 7, 8));
    show("sm");
    show("m");
    RES(fchownat(fd, "", 0, 0, AT_EMPTY_PATH));
    show("m");
    close(fd);
    RES(access("m", R_OK | W_OK));
    RES(access("m", X_OK));
    RES(chmod("m", 0755));
    RES(access("m", X_OK));
    RES(access("m", 99));
    RES(access("none", F_OK));
}

static void times(void)
{
    struct stat st;
    struct timespec t[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
    RES(utimensat(AT_FDCWD, "m", t, 0));
    stat("m", &st);
    printf("%ld.%09ld %ld.%09ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    t[0].tv_nsec = UTIME_OMIT;
    t[1].tv_sec = 7;
    RES(utimensat(AT_FDCWD, "m", t, 0));
    stat("m", &st);
    printf("%ld.%09ld %ld.%09ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    t[1].tv_nsec = UTIME_NOW;
    RES(utimensat(AT_FDCWD, "m", t, 0));
    stat("m", &st);
    CHECK(labs((long)(st.st_mtim.tv_sec - time(NULL))) < 10);
    t[0].tv_nsec = 1000000000;
    RES(utimensat(AT_FDCWD, "m", t, 0));
    RES(utimensat(AT_FDCWD, "none", NULL, 0));
    int fd = open("m", O_RDWR);
    t[0] = t[1] = (struct timespec){42, 0};
    RES(futimens(fd, t));
    conf_sleep_ms(20);
    RES(write(fd, "x", 1));
    fstat(fd, &st);
    CHECK(labs((long)(st.st_mtim.tv_sec - time(NULL))) < 10);
    RES(st.st_atim.tv_sec);
    close(fd);
}

static void extended(void)
{
    struct statx sx;
    RES(statx(AT_FDCWD, "m", 0, STATX_BASIC_STATS, &sx));
    printf("mask has basics: %d mode %o size %llu links %u\n", (sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS, sx.stx_mode,
           (unsigned long long)sx.stx_size, sx.stx_nlink);
    RES(statx(AT_FDCWD, "sm", AT_SYMLINK_NOFOLLOW, STATX_ALL, &sx));
    printf("link: %d\n", S_ISLNK(sx.stx_mode));
    RES(statx(AT_FDCWD, "none", 0, STATX_ALL, &sx));
    RES(statx(AT_FDCWD, "", 0, STATX_ALL, &sx));
    RES(statx(AT_FDCWD, "", AT_EMPTY_PATH, STATX_ALL, &sx));
    RES(statx(AT_FDCWD, "m", 0, 0x80000000u, &sx));
    RES(statx(AT_FDCWD, "m", 0x40000000, STATX_ALL, &sx));
    struct statfs sf;
    RES(statfs(".", &sf));
    CHECK(sf.f_bsize > 0 && sf.f_namelen >= 255);
    RES(statfs("none", &sf));
    RES(fstatfs(1234, &sf));
    struct stat a, b;
    CHECK(stat("m", &a) == 0 && stat("sm", &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    CHECK(a.st_blksize > 0);
}

static void fifos_and_devices(void)
{
    RES(mkfifo("fifo", 0600));
    show("fifo");
    RES(open("fifo", O_WRONLY | O_NONBLOCK));
    int r = open("fifo", O_RDONLY | O_NONBLOCK), w = open("fifo", O_WRONLY);
    char buf[8];
    RES(read(r, buf, 8));
    RES(write(w, "abc", 3));
    RES(read(r, buf, 8));
    close(w);
    RES(read(r, buf, 8));
    close(r);
    struct stat st;
    RES(stat("/dev/null", &st));
    printf("char device %d, %u:%u\n", S_ISCHR(st.st_mode), major(st.st_rdev), minor(st.st_rdev));
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
    RES(read(null, buf, 8));
    RES(write(null, buf, 8));
    memset(buf, 1, sizeof buf);
    RES(read(zero, buf, 8));
    printf("%d\n", buf[0] | buf[7]);
    RES(write(full, buf, 8));
    int random = open("/dev/urandom", O_RDONLY);
    char big[256] = {0};
    RES(read(random, big, sizeof big));
    int same = 0;
    for (size_t i = 1; i < sizeof big; i++)
        same += big[i] == big[0];
    CHECK(same < 64);
}

static void locks(void)
{
    int a = open("m", O_RDWR), b = open("m", O_RDWR);
    RES(flock(a, LOCK_EX));
    RES(flock(b, LOCK_EX | LOCK_NB));
    RES(flock(a, LOCK_UN));
    RES(flock(b, LOCK_SH | LOCK_NB));
    RES(flock(a, LOCK_SH | LOCK_NB));
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    RES(fcntl(a, F_SETLK, &f));
    RES(fcntl(b, F_GETLK, &f));
    RES(f.l_type == F_UNLCK); // locks of the same process do not collide
    f.l_type = 9;
    RES(fcntl(a, F_SETLK, &f));
    f = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 5};
    RES(fcntl(a, F_OFD_SETLK, &f));
    RES(fcntl(b, F_OFD_SETLK, &f));
    close(a);
    RES(fcntl(b, F_OFD_SETLK, &f));
    close(b);
}

static void attributes(void)
{
    char buf[32];
    RES(setxattr("m", "user.one", "value", 5, 0));
    RES(getxattr("m", "user.one", buf, sizeof buf));
    RES(getxattr("m", "user.one", buf, 2));
    RES(getxattr("m", "user.none", buf, sizeof buf));
    RES(setxattr("m", "user.one", "v", 1, XATTR_CREATE));
    RES(setxattr("m", "user.two", "v", 1, XATTR_REPLACE));
    RES(listxattr("m", buf, sizeof buf));
    RES(removexattr("m", "user.one"));
    RES(listxattr("m", buf, sizeof buf));
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    modes();
    times();
    extended();
    fifos_and_devices();
    locks();
    attributes();
    return conf_end();
}
