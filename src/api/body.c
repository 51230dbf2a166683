/* Bodies of requests: small ones in memory, larger ones in an unlinked file, which is mapped to be
 * read. So slow or many senders cost disk, never memory, and nothing is left behind by a crash. */
#include "api/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL_MAX 65536
#define SPILL_MAX (UINT64_C(8) << 30) /* bytes of all spilled bodies at a time */

static atomic_uint_fast64_t spilled;

int body_temp_file(const char *dir, struct err *e)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        char path[4200];
        bool fits = str_copy(str_of(dir), path, sizeof(path) - 20);
        memcpy(path + strlen(path), "/.upload-XXXXXX", sizeof("/.upload-XXXXXX"));
        fd = fits ? mkostemp(path, O_CLOEXEC) : -1;
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        err_set(e, errno == ENOSPC ? ERR_FULL : ERR_FAILED, "%s: no file can be made: %s", dir,
                strerror(errno));
    return fd;
}

void body_init(struct body *b, const char *dir, size_t max)
{
    *b = (struct body){.fd = -1, .max = max, .dir = dir};
    buf_init(&b->small, SMALL_MAX);
}

static bool write_all(struct body *b, const char *p, size_t n, struct err *e)
{
    if (atomic_fetch_add(&spilled, n) + n > SPILL_MAX) {
        atomic_fetch_sub(&spilled, n);
        return err_set(e, ERR_LATER, "too many large uploads at a time: try again later");
    }
    size_t left = n;
    while (left) {
        ssize_t w = write(b->fd, p, left);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            atomic_fetch_sub(&spilled, n);
            return err_set(e, errno == ENOSPC ? ERR_FULL : ERR_FAILED, "%s: %s", b->dir,
                           strerror(errno));
        }
        p += w;
        left -= (size_t)w;
    }
    return true;
}

static bool spill(struct body *b, struct err *e)
{
    b->fd = body_temp_file(b->dir, e);
    if (b->fd < 0)
        return false;
    if (!write_all(b, b->small.p, b->small.n, e)) {
        close(b->fd); /* body_free gives back the bytes of a spilled body: this one is none */
        b->fd = -1;
        return false;
    }
    buf_free(&b->small);
    return true;
}

bool body_add(struct body *b, const char *p, size_t n, struct err *e)
{
    if (n > b->max - b->n)
        return err_set(e, ERR_TOO_BIG, "the body is over %zu bytes, the most that is taken here",
                       b->max);
    if (b->fd < 0 && b->small.n + n > SMALL_MAX && !spill(b, e))
        return false;
    if (b->fd >= 0 ? !write_all(b, p, n, e) : !buf_add(&b->small, p, n))
        return false;
    b->n += n;
    return true;
}

bool body_str(struct body *b, struct str *out, struct err *e)
{
    *out = buf_str(&b->small);
    if (b->fd < 0)
        return true;
    b->map = mmap(NULL, b->n, PROT_READ, MAP_PRIVATE, b->fd, 0);
    if (b->map == MAP_FAILED) {
        b->map = NULL;
        return err_set(e, ERR_FAILED, "the body cannot be read: %s", strerror(errno));
    }
    (void)madvise(b->map, b->n, MADV_SEQUENTIAL);
    *out = str_from(b->map, b->n);
    return true;
}

void body_free(struct body *b)
{
    if (b->map)
        munmap(b->map, b->n);
    if (b->fd >= 0) {
        close(b->fd);
        atomic_fetch_sub(&spilled, b->n);
    }
    buf_free(&b->small);
    *b = (struct body){.fd = -1};
}
