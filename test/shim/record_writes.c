/* LD_PRELOAD: writes down, in order, what a process does to the files below the folder RECORD_DIR:
 * writes with their bytes, truncations, syncs (begin and end), and the folders' entries that are
 * made, renamed and removed. The log RECORD_LOG is appended to, a record a system call, so that
 * several processes and kill -9 leave it whole; test/lib/powercut.py reads it. Left out: sockets,
 * the lock, shared memory (files ending in -shm, journal/synced), and files without a name, all of
 * which a power cut does not keep. An entry is logged before it is done; the end of a sync after it
 * returned. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, MKDIR, LINK };

struct record {
    uint32_t magic;
    uint8_t kind;
    uint8_t is_zero;    /* WRITE: all zero, without payload */
    uint16_t path_size; /* of one path, or of two with a NUL between */
    uint64_t ino, at, size;
    uint64_t ns; /* CLOCK_MONOTONIC */
    uint32_t payload, pid;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_size;
static int log_fd = -1;

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("RECORD_DIR"), *path = getenv("RECORD_LOG");
    if (!dir || !path)
        return;
    root_size = (size_t)snprintf(root, sizeof root, "%s", dir);
    log_fd =
        (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), k = strlen(with);
    return n >= k && strcmp(text + n - k, with) == 0;
}

static bool is_ours(const char *path)
{
    if (log_fd < 0 || strncmp(path, root, root_size) != 0 ||
        (path[root_size] != '/' && path[root_size] != '\0'))
        return false;
    return !ends(path, "-shm") && !ends(path, ".sock") && !ends(path, "/lock") &&
           !ends(path, "/journal/synced") && !ends(path, " (deleted)");
}

/* The path of an open file that is ours. */
static bool path_of(int fd, char out[PATH_MAX], uint64_t *ino_out)
{
    char link[64];
    struct stat s;
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = log_fd < 0 ? -1 : readlink(link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    bool ours = n > 0 && is_ours(out) && fstat(fd, &s) == 0;
    *ino_out = ours ? s.st_ino : 0;
    errno = kept;
    return ours;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return n > 0 && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Lock held. */
static void put(struct record *r, const char *path, size_t path_size, const void *payload)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    r->magic = 0x31524350;
    r->path_size = (uint16_t)path_size;
    r->ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    r->pid = (uint32_t)getpid();
    struct iovec v[3] = {{r, sizeof *r}, {(void *)path, path_size}, {(void *)payload, r->payload}};
    ssize_t all = (ssize_t)(sizeof *r + path_size + r->payload);
    if (syscall(SYS_writev, log_fd, v, 3) != all)
        abort();
}

static void put_write(int fd, const char *path, uint64_t ino, const void *p, size_t n, off_t at)
{
    struct record r = {.kind = WRITE, .ino = ino, .at = (uint64_t)at, .size = n};
    (void)fd;
    r.is_zero = all_zero(p, n);
    r.payload = r.is_zero ? 0 : (uint32_t)n;
    put(&r, path, strlen(path), p);
}

static void put_paths(enum kind kind, const char *from, const char *to)
{
    char both[PATH_MAX * 2];
    int n = snprintf(both, sizeof both, "%s", from);
    if (to)
        n += 1 + snprintf(both + n + 1, sizeof both - (size_t)n - 1, "%s", to);
    struct record r = {.kind = (uint8_t)kind};
    put(&r, both, (size_t)n, NULL);
}

static off_t place_of(int fd)
{
    struct stat s;
    int flags = fcntl(fd, F_GETFL);
    return flags & O_APPEND && fstat(fd, &s) == 0 ? s.st_size : lseek(fd, 0, SEEK_CUR);
}

/* ---- files */

static ssize_t write_at(int fd, const void *p, size_t n, off_t at, bool has_place)
{
    char path[PATH_MAX];
    uint64_t ino;
    bool ours = path_of(fd, path, &ino);
    if (ours) {
        pthread_mutex_lock(&lock);
        put_write(fd, path, ino, p, n, has_place ? at : place_of(fd));
    }
    ssize_t done = has_place ? syscall(SYS_pwrite64, fd, p, n, at) : syscall(SYS_write, fd, p, n);
    if (ours)
        pthread_mutex_unlock(&lock);
    if (ours && done != (ssize_t)n)
        abort(); /* the log would tell of bytes that are not there */
    return done;
}

ssize_t write(int fd, const void *p, size_t n)
{
    return write_at(fd, p, n, 0, false);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return write_at(fd, p, n, at, true);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    return write_at(fd, p, n, at, true);
}

static int truncate_to(int fd, off_t size)
{
    char path[PATH_MAX];
    uint64_t ino;
    bool ours = path_of(fd, path, &ino);
    if (ours) {
        struct record r = {.kind = TRUNCATE, .ino = ino, .size = (uint64_t)size};
        pthread_mutex_lock(&lock);
        put(&r, path, strlen(path), NULL);
    }
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (ours)
        pthread_mutex_unlock(&lock);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return truncate_to(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return truncate_to(fd, size);
}

static int sync_of(int fd, long call)
{
    static uint64_t number;
    char path[PATH_MAX];
    struct record r = {.kind = SYNC_BEGIN};
    bool ours = path_of(fd, path, &r.ino);
    if (ours) {
        pthread_mutex_lock(&lock);
        r.at = ++number;
        put(&r, path, strlen(path), NULL);
        pthread_mutex_unlock(&lock);
    }
    int rc = (int)syscall(call, fd);
    if (ours && rc == 0) {
        pthread_mutex_lock(&lock);
        r.kind = SYNC_END;
        put(&r, path, strlen(path), NULL);
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

int fsync(int fd)
{
    return sync_of(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_of(fd, SYS_fdatasync);
}

/* ---- entries of folders */

static int open_at(const char *path, int flags, mode_t mode)
{
    bool ours = is_ours(path) && flags & (O_CREAT | O_TRUNC);
    if (!ours)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat s;
    struct record r = {.kind = stat(path, &s) != 0 ? CREATE : TRUNCATE};
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode), kept = errno;
    if (fd >= 0 && (r.kind == CREATE || flags & O_TRUNC) && fstat(fd, &s) == 0) {
        r.ino = s.st_ino;
        put(&r, path, strlen(path), NULL);
    }
    pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

static mode_t mode_of(int flags, va_list ap)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return open_at(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return open_at(path, flags | O_LARGEFILE, mode);
}

int rename(const char *from, const char *to)
{
    bool ours = is_ours(from);
    REAL(rename);
    if (!ours)
        return real(from, to);
    pthread_mutex_lock(&lock);
    int rc = real(from, to), kept = errno;
    if (rc == 0)
        put_paths(RENAME, from, to);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return rc;
}

int link(const char *from, const char *to)
{
    bool ours = is_ours(from);
    REAL(link);
    if (!ours)
        return real(from, to);
    pthread_mutex_lock(&lock);
    int rc = real(from, to), kept = errno;
    if (rc == 0)
        put_paths(LINK, from, to);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return rc;
}

int unlink(const char *path)
{
    bool ours = is_ours(path);
    REAL(unlink);
    if (!ours)
        return real(path);
    pthread_mutex_lock(&lock);
    int rc = real(path), kept = errno;
    if (rc == 0)
        put_paths(UNLINK, path, NULL);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    bool ours = is_ours(path);
    REAL(mkdir);
    if (!ours)
        return real(path, mode);
    pthread_mutex_lock(&lock);
    int rc = real(path, mode), kept = errno;
    if (rc == 0)
        put_paths(MKDIR, path, NULL);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return rc;
}
