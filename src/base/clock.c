/* Reading the system's clocks, and RFC 3339. */
#include "base/clock.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_boot_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

int64_t clock_boot_ms(void)
{
    return clock_boot_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_cpu_us(void)
{
    return read_us(CLOCK_PROCESS_CPUTIME_ID);
}

const char *clock_boot_id(void)
{
    static char id[64];
    if (id[0])
        return id;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, sizeof id - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        n = snprintf(id, sizeof id, "unknown");
    while (n > 0 && ascii_isspace(id[n - 1]))
        n--;
    id[n] = 0;
    return id;
}

void clock_format(int64_t wall_ms, char *out)
{
    int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000, s -= 1;
    time_t t = (time_t)s;
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000u,
             (unsigned)(tm.tm_mon + 1) % 100u, (unsigned)tm.tm_mday % 100u,
             (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u,
             (unsigned)ms % 1000u);
}

bool clock_parse(const char *text, int64_t *wall_ms_out)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return false;
    int64_t ms = 0, offset_min = 0;
    if (*rest == '.') {
        int64_t scale = 100;
        for (rest++; ascii_isdigit(*rest); rest++, scale /= 10)
            ms += (*rest - '0') * scale;
    }
    if (*rest == '+' || *rest == '-') {
        int h = 0, m = 0, used = 0;
        if (sscanf(rest + 1, "%2d:%2d%n", &h, &m, &used) != 2 || used != 5 || h > 23 || m > 59)
            return false;
        offset_min = (*rest == '-' ? -1 : 1) * (h * 60 + m);
        rest += 6;
    } else if (*rest == 'Z' || *rest == 'z') {
        rest++;
    } else {
        return false;
    }
    if (*rest)
        return false;
    *wall_ms_out = ((int64_t)timegm(&tm) - offset_min * 60) * 1000 + ms;
    return true;
}
