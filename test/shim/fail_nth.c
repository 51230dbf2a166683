/* LD_PRELOAD: the FAIL_AT-th call (1 first) of the function FAIL_CALL fails with errno FAIL_ERRNO,
 * in the process whose command line holds FAIL_IN ("" is any). With FAIL_AT 0 calls are only
 * counted; the count is written to the file FAIL_COUNT at exit. FAIL_FOR makes that many calls fail
 * in a row. Functions: write (write, pwrite, writev, pwritev), sync (fsync, fdatasync), connect,
 * accept (accept, accept4), malloc (malloc, calloc, realloc), read (read, pread). Regular files
 * only for write and read. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static long fail_at, fail_for;
static int fail_errno;
static char fail_call[16], count_file[512], once_file[512];
static bool armed;

static bool is_our_process(const char *word)
{
    char line[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < n; i++)
        if (line[i] == '\0')
            line[i] = ' ';
    line[n > 0 ? n : 0] = '\0';
    return strstr(line, word) != NULL;
}

static long number_of(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
    const char *call = getenv("FAIL_CALL"), *in = getenv("FAIL_IN"), *file = getenv("FAIL_COUNT");
    const char *once = getenv("FAIL_ONCE");
    if (!call)
        return;
    snprintf(fail_call, sizeof fail_call, "%s", call);
    snprintf(count_file, sizeof count_file, "%s", file ? file : "");
    snprintf(once_file, sizeof once_file, "%s", once ? once : "");
    fail_at = number_of("FAIL_AT", 0);
    fail_for = number_of("FAIL_FOR", 1);
    fail_errno = (int)number_of("FAIL_ERRNO", EIO);
    armed = is_our_process(in ? in : "");
}

__attribute__((destructor)) static void end(void)
{
    if (!armed || !count_file[0])
        return;
    FILE *f = fopen(count_file, "w");
    if (f) {
        fprintf(f, "%ld\n", atomic_load(&calls));
        fclose(f);
    }
}

/* True when this call is to fail; errno is set then. */
static bool fails(const char *call)
{
    if (!armed || strcmp(call, fail_call) != 0)
        return false;
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (fail_at == 0 || n < fail_at || n >= fail_at + fail_for)
        return false;
    if (n == fail_at && once_file[0]) {
        int fd = open(once_file, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0) {
            fail_at = 0;
            return false;
        }
        close(fd);
    }
    errno = fail_errno;
    return true;
}

static bool is_file(int fd)
{
    struct stat s;
    int kept = errno;
    bool yes = fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
    errno = kept;
    return yes;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(write);
    return is_file(fd) && fails("write") ? -1 : real(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    REAL(pwrite);
    return is_file(fd) && fails("write") ? -1 : real(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    REAL(pwrite64);
    return is_file(fd) && fails("write") ? -1 : real(fd, data, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    REAL(writev);
    return is_file(fd) && fails("write") ? -1 : real(fd, v, n);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    REAL(pwritev);
    return is_file(fd) && fails("write") ? -1 : real(fd, v, n, at);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    REAL(pread);
    return is_file(fd) && fails("read") ? -1 : real(fd, data, n, at);
}

ssize_t pread64(int fd, void *data, size_t n, off64_t at)
{
    REAL(pread64);
    return is_file(fd) && fails("read") ? -1 : real(fd, data, n, at);
}

int fsync(int fd)
{
    REAL(fsync);
    return fails("sync") ? -1 : real(fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return fails("sync") ? -1 : real(fd);
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
    REAL(connect);
    return fails("connect") ? -1 : real(fd, to, n);
}

int accept(int fd, struct sockaddr *from, socklen_t *n)
{
    REAL(accept);
    return fails("accept") ? -1 : real(fd, from, n);
}

int accept4(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
    REAL(accept4);
    return fails("accept") ? -1 : real(fd, from, n, flags);
}

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    return fails("malloc") ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails("malloc") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails("malloc") ? NULL : __libc_realloc(p, n);
}
