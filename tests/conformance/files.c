// open, read, write, lseek, pread, readv, truncate, fallocate, dup, sendfile: what one descriptor and its offset do.
#include "conf.h"
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#ifndef __GLIBC__ // musl has no wrappers for these
#define preadv2(fd, v, n, at, flags) syscall(SYS_preadv2, fd, v, n, (long)(at), 0L, flags)
#define close_range(from, to, flags) syscall(SYS_close_range, from, to, flags)
#endif

static void contents(const char *path)
{
    char buf[512];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
    if (fd >= 0)
        close(fd);
    printf("%s holds %zd bytes:", path, n);
    for (ssize_t i = 0; i < n && i < 80; i++)
        printf(buf[i] >= ' ' && buf[i] < 127 ? "%c" : "\\%02x", buf[i] & 255);
    printf("\n");
}

static void open_modes(void)
{
    int fd;
    RES(open("none", O_RDONLY));
    RES(open("none/below", O_RDONLY));
    OK(fd = open("new", O_WRONLY | O_CREAT | O_EXCL, 0640));
    RES(write(fd, "hello, ", 7));
    RES(write(fd, "world", 5));
    RES(read(fd, &fd, 1));
    RES(close(fd));
    RES(close(fd));
    RES(open("new", O_WRONLY | O_CREAT | O_EXCL, 0640));
    RES(open("new/x", O_RDONLY));
    RES(open("new", O_RDONLY | O_DIRECTORY));
    RES(open(".", O_WRONLY));
    RES(open("", O_RDONLY));
    contents("new");
    OK(fd = open("new", O_WRONLY | O_APPEND));
    RES(lseek(fd, 0, SEEK_CUR));
    RES(write(fd, "!", 1));
    RES(lseek(fd, 0, SEEK_CUR));
    RES(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    RES(fcntl(fd, F_SETFL, 0));
    RES(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    RES(lseek(fd, 0, SEEK_SET));
    RES(write(fd, "J", 1));
    close(fd);
    contents("new");
    OK(fd = open("new", O_RDWR | O_TRUNC));
    close(fd);
    contents("new");
    OK(fd = open("new", O_PATH));
    char c;
    RES(read(fd, &c, 1));
    struct stat st;
    RES(fstat(fd, &st));
    close(fd);
    OK(fd = open(".", O_RDWR | O_TMPFILE, 0600));
    if (fd >= 0) {
        RES(write(fd, "x", 1));
        RES(fstat(fd, &st));
        RES(st.st_nlink);
        close(fd);
    }
}

static void offsets(void)
{
    char buf[64] = {0};
    int fd = open("seek", O_RDWR | O_CREAT | O_TRUNC, 0600);
    RES(write(fd, "0123456789", 10));
    RES(lseek(fd, -3, SEEK_END));
    RES(read(fd, buf, 64));
    printf("[%.10s]\n", buf);
    RES(read(fd, buf, 64));
    RES(lseek(fd, -1, SEEK_SET));
    RES(lseek(fd, 0, 77));
    RES(lseek(fd, 20, SEEK_SET));
    RES(write(fd, "far", 3));
    RES(lseek(fd, 0, SEEK_END));
    contents("seek");
    RES(pread(fd, buf, 4, 2));
    printf("[%.4s]\n", buf);
    RES(pwrite(fd, "ab", 2, 4));
    RES(lseek(fd, 0, SEEK_CUR));
    RES(pread(fd, buf, 4, -1));
    RES(pread(fd, buf, 4, 1000));
    RES(pread(fd, buf, 0, 0));
    contents("seek");
    RES(lseek(fd, 0, SEEK_HOLE) >= 0);
    RES(lseek(fd, 0, SEEK_DATA));
    RES(lseek(fd, 5000, SEEK_DATA));
    close(fd);
}

static void vectors(void)
{
    char a[4] = {0}, b[8] = {0}, c[1] = {0};
    int fd = open("vec", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct iovec w[3] = {{"one", 3}, {"", 0}, {"twothree", 8}};
    struct iovec r[3] = {{a, 3}, {b, 7}, {c, 1}};
    RES(writev(fd, w, 3));
    RES(preadv(fd, r, 3, 0));
    printf("[%.3s][%.7s][%.1s]\n", a, b, c);
    RES(pwritev(fd, w, 1, 20));
    RES(readv(fd, r, -1));
    RES(readv(fd, r, 1025));
    RES(readv(fd, r, 0));
    r[0].iov_len = (size_t)-1;
    RES(readv(fd, r, 1));
    r[0].iov_len = 3;
    RES(preadv2(fd, r, 1, 1, 0));
    printf("[%.3s]\n", a);
    RES(preadv2(fd, r, 1, 1, 0x4000));
    close(fd);
}

static void sizes(void)
{
    struct stat st;
    int fd = open("size", O_RDWR | O_CREAT | O_TRUNC, 0600);
    RES(write(fd, "abcdefgh", 8));
    RES(ftruncate(fd, 3));
    contents("size");
    RES(ftruncate(fd, 6));
    contents("size");
    RES(truncate("size", 10000));
    RES(fstat(fd, &st));
    RES(st.st_size);
    RES(truncate("size", -1));
    RES(truncate("none", 1));
    RES(truncate(".", 1));
    RES(fallocate(fd, 0, 0, 20000));
    RES(fstat(fd, &st));
    RES(st.st_size);
    RES(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40000));
    RES(fstat(fd, &st));
    RES(st.st_size);
    RES(fallocate(fd, 0, 0, 0));
    RES(fallocate(fd, 0, -1, 5));
    RES(posix_fallocate(fd, 0, 25000));
    RES(fstat(fd, &st));
    RES(st.st_size);
    RES(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4));
    contents("size");
    close(fd);
    fd = open("size", O_RDONLY);
    RES(ftruncate(fd, 0));
    RES(write(fd, "x", 1));
    RES(fsync(fd));
    RES(fdatasync(fd));
    RES(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    close(fd);
}

static void duplicates(void)
{
    char buf[8];
    int fd = open("dup", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int other = dup(fd);
    CHECK(other > fd);
    RES(write(fd, "xyz", 3));
    RES(lseek(other, 0, SEEK_CUR));
    RES(fcntl(fd, F_GETFD));
    RES(fcntl(other, F_GETFD));
    RES(fcntl(other, F_SETFD, FD_CLOEXEC));
    RES(fcntl(other, F_GETFD));
    RES(dup2(fd, 100));
    RES(dup2(100, 100));
    RES(dup2(77, 78));
    RES(dup3(fd, fd, 0));
    RES(dup3(fd, 101, O_CLOEXEC));
    RES(fcntl(101, F_GETFD));
    RES(fcntl(fd, F_DUPFD, 200));
    RES(fcntl(fd, F_DUPFD_CLOEXEC, 200));
    RES(dup2(fd, -1));
    RES(dup2(fd, 100000000));
    RES(close(fd));
    RES(pread(100, buf, 3, 0));
    RES(close_range(100, 300, 0));
    RES(pread(100, buf, 3, 0));
    RES(close(other));
    RES(fcntl(5000, F_GETFD));
    int in = open("dup", O_RDONLY), out = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
    RES(sendfile(out, in, NULL, 100));
    contents("copy");
    off_t at = 1;
    RES(copy_file_range(in, &at, out, NULL, 10, 0));
    RES(at);
    contents("copy");
    close(in);
    close(out);
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    umask(022);
    open_modes();
    offsets();
    vectors();
    sizes();
    duplicates();
    // A large file by odd pieces.
    static unsigned char piece[7919];
    int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0600);
    size_t total = 0;
    for (unsigned i = 0; i < 500; i++) {
        for (size_t k = 0; k < sizeof piece; k++)
            piece[k] = (unsigned char)(i * 31 + k * 7);
        CHECK(write(fd, piece, sizeof piece) == (ssize_t)sizeof piece);
        total += sizeof piece;
    }
    CHECK(lseek(fd, 0, SEEK_END) == (off_t)total);
    lseek(fd, 0, SEEK_SET);
    unsigned long sum = 0;
    ssize_t n;
    while ((n = read(fd, piece, 4001)) > 0)
        for (ssize_t k = 0; k < n; k++)
            sum = sum * 31 + piece[k];
    printf("checksum %lx\n", sum);
    close(fd);
    return conf_end();
}
