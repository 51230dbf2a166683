/* See calendar.h. The process has one time zone at a time: changed and restored here. */
#include "engine/calendar.h"
#include "base/alloc.h"

#include <stdlib.h>
#include <time.h>

/* Midnight comes twice where a zone sets its clocks back at one: the day begins with the first. */
static int64_t begin_of(struct tm tm)
{
    struct tm any = tm, summer = tm, got;
    any.tm_isdst = -1;
    summer.tm_isdst = 1;
    time_t at = mktime(&any), first = mktime(&summer);
    localtime_r(&first, &got);
    bool is_midnight = got.tm_hour == 0 && got.tm_min == 0 && got.tm_mday == any.tm_mday;
    return (int64_t)(is_midnight && first < at ? first : at) * 1000;
}

struct calendar calendar_of(const char *zone, bool is_month, int64_t wall_ms)
{
    struct calendar k;
    const char *old = getenv("TZ");
    char *saved = alloc_copy(old);
    setenv("TZ", zone, 1);
    tzset();
    time_t now = (time_t)(wall_ms / 1000);
    struct tm tm;
    localtime_r(&now, &tm);
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    if (is_month)
        tm.tm_mday = 1;
    k.opened_at = begin_of(tm);
    if (is_month)
        tm.tm_mon++;
    else
        tm.tm_mday++;
    k.closes_at = begin_of(tm);
    if (saved)
        setenv("TZ", saved, 1);
    else
        unsetenv("TZ");
    tzset();
    free(saved);
    return k;
}
