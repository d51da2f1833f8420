// Reads everything below the folders given: names, attributes, links and contents, and prints one number for it all. What the image's
// hash tree protects shows here: a changed byte is an error, never another number.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t sum = 14695981039346656037u;
static long files, failures;

static void mix(const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ b[i]) * 1099511628211u;
}

static void fail(const char *what, const char *path)
{
    failures++;
    fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
}

static void read_file(const char *path)
{
    static char buf[65536];
    ssize_t n = -1;
    int fd = open(path, O_RDONLY);
    if (fd >= 0)
        while ((n = read(fd, buf, sizeof buf)) > 0)
            mix(buf, (size_t)n);
    if (n < 0)
        fail("read", path);
    if (fd >= 0)
        close(fd);
    files++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void walk(const char *path)
{
    struct stat st;
    if (lstat(path, &st)) {
        fail("stat", path);
        return;
    }
    uint64_t facts[4] = {st.st_mode, S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_size, (uint64_t)st.st_mtime, st.st_nlink};
    mix(facts, sizeof facts);
    mix(path, strlen(path));
    if (S_ISLNK(st.st_mode)) {
        char target[4096];
        ssize_t n = readlink(path, target, sizeof target);
        if (n < 0)
            fail("readlink", path);
        else
            mix(target, (size_t)n);
    } else if (S_ISREG(st.st_mode)) {
        read_file(path);
    } else if (S_ISDIR(st.st_mode)) {
        char **names = NULL;
        size_t n = 0;
        DIR *d = opendir(path);
        errno = 0;
        for (struct dirent *e; d && (e = readdir(d)); errno = 0)
            if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
                names = realloc(names, (n + 1) * sizeof *names);
                names[n++] = strdup(e->d_name);
            }
        if (!d || errno)
            fail("list", path);
        if (d)
            closedir(d);
        if (n)
            qsort(names, n, sizeof *names, by_name);
        for (size_t i = 0; i < n; i++) {
            char below[4096];
            snprintf(below, sizeof below, "%s/%s", path, names[i]);
            walk(below);
            free(names[i]);
        }
        free(names);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        walk(argv[i]);
    printf("%ld files, %016llx\n", files, (unsigned long long)sum);
    return failures ? 9 : 0;
}
