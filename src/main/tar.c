/* See tar.h. One header block of 512 bytes, the bytes filled up to 512, two empty blocks last. */
#include "main/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define BLOCK 512

struct tar {
    char *path, *folder;
    int fd; /* of the archive, or of the folder */
    bool is_tar;
    int64_t at_s;
    int failed; /* errno of the first failure */
};

struct tar *tar_open(const char *path, const char *folder, bool is_tar, int64_t at_s, struct err *e)
{
    struct tar *t = alloc_one(struct tar);
    *t = (struct tar){.is_tar = is_tar, .at_s = at_s};
    if (!is_tar && mkdir(path, 0700) != 0 && errno != EEXIST)
        t->fd = -1;
    else
        t->fd = is_tar ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                       : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->fd >= 0) {
        t->path = alloc_copy(path);
        t->folder = alloc_copy(folder);
        return t;
    }
    err_set(e, ERR_FAILED, "%s: %s%s", path, strerror(errno),
            errno == EEXIST ? "; name another file by --to" : "");
    free(t);
    return NULL;
}

static void put(struct tar *t, int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n && !t->failed) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno != EINTR)
            t->failed = errno;
        at += MAX(k, (ssize_t)0);
        n -= (size_t)MAX(k, (ssize_t)0);
    }
}

static void add_header(struct tar *t, const char *name, size_t n)
{
    char h[BLOCK] = {0};
    unsigned sum = 0;
    snprintf(h, 100, "%s/%s", t->folder, name);
    memcpy(h + 100, "0000600", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(h + 124, 12, "%011llo", (unsigned long long)n);
    snprintf(h + 136, 12, "%011llo", (unsigned long long)t->at_s);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    put(t, t->fd, h, BLOCK);
}

void tar_add(struct tar *t, const char *name, struct str bytes)
{
    static const char zeros[BLOCK];
    if (t->is_tar) {
        add_header(t, name, bytes.n);
        put(t, t->fd, bytes.p, bytes.n);
        put(t, t->fd, zeros, (BLOCK - bytes.n % BLOCK) % BLOCK);
        return;
    }
    int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        t->failed = t->failed ? t->failed : errno;
        return;
    }
    put(t, fd, bytes.p, bytes.n);
    if (close(fd) != 0 && !t->failed)
        t->failed = errno;
}

bool tar_close(struct tar **tp, struct err *e)
{
    struct tar *t = *tp;
    char end[2 * BLOCK] = {0};
    *tp = NULL;
    if (t->is_tar)
        put(t, t->fd, end, sizeof(end));
    if (close(t->fd) != 0 && !t->failed)
        t->failed = errno;
    bool ok = !t->failed || err_set(e, ERR_FAILED, "%s: %s", t->path, strerror(t->failed));
    free(t->path);
    free(t->folder);
    free(t);
    return ok;
}
