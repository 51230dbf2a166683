/* Days and months of a time zone: when the one that a moment lies in began, and when it ends. Those
 * of a zone follow each other without gap or overlap, whatever daylight saving does to them. */
#ifndef ENGINE_CALENDAR_H
#define ENGINE_CALENDAR_H

#include "base/base.h"

struct calendar { /* wall ms; opened_at <= the moment < closes_at */
    int64_t opened_at, closes_at;
};

/* zone: a name of the tz database ("America/New_York"). Changes the process's TZ for a moment: on
 * the reactor only. */
struct calendar calendar_of(const char *zone, bool is_month, int64_t wall_ms);

#endif
