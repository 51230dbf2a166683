/* The proleptic Gregorian calendar: days to dates and back, without libc's clock and zones. Pure.
 */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "base/base.h"
#include "base/str.h"

struct date {
    int64_t year;
    int month, day; /* 1 to 12, 1 to 31 */
    int hour, minute, second, millisecond;
    int weekday, yearday; /* 0 is Sunday; 1 to 366 */
    int offset_min;       /* of the zone that the fields are in */
};

extern const char *const date_weekdays[7];
extern const char *const date_months[12];

/* Days since 1970-01-01. */
int64_t date_days(int64_t year, int month, int day);
void date_of_ms(int64_t wall_ms, int offset_min, struct date *out);
int64_t date_to_ms(const struct date *d);
/* "2025-11-21", "2025-11-21T21:38:00Z", "... 21:38:00.123+01:00" (RFC 3339; a blank for T and a
 * missing zone, read as UTC, are accepted). False when malformed or no date of the calendar. */
bool date_parse(struct str s, struct date *out) MUST_USE;

#endif
