/* LD_PRELOAD: while the file FULL_FLAG exists, the disk is full for the database, its log and new
 * segments of the journal: a write to them fails with ENOSPC. What lies there already is kept, and
 * nothing else changes. Built by the tests that use it; not part of Postfleet. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_full(int fd)
{
    const char *flag = getenv("FULL_FLAG");
    char link[64], path[4096];
    if (!flag || access(flag, F_OK) != 0)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    bool ours = !strcmp(name, "postfleet.db") || !strcmp(name, "postfleet.db-wal") ||
                !strncmp(name, "spare-", 6);
    if (ours)
        errno = ENOSPC;
    return ours;
}

ssize_t write(int fd, const void *p, size_t n)
{
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return is_full(fd) ? -1 : real(fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return is_full(fd) ? -1 : real(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return is_full(fd) ? -1 : real(fd, p, n, at);
}
