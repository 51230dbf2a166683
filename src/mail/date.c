/* Calendar arithmetic in days since 1970 (era of 400 years), used by header_date and by the date
 * filter of templates. Never reads a clock or a zone file. */
#include "mail/date.h"

const char *const date_weekdays[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
const char *const date_months[12] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t date_days(int64_t year, int month, int day)
{
    /* The year begins in March here, so that the leap day is its last. */
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void date_of_ms(int64_t wall_ms, int offset_min, struct date *out)
{
    const int64_t limit = 253402300799999; /* the end of year 9999 */
    const int64_t day_ms = 86400000;
    wall_ms = MIN(MAX(wall_ms, -62135596800000), limit) + (int64_t)offset_min * 60000;
    int64_t days = floor_div(wall_ms, day_ms);
    int64_t ms = wall_ms - days * day_ms;
    int64_t shifted = days + 719468;
    int64_t era = floor_div(shifted, 146097);
    int64_t of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t m = (5 * of_year + 2) / 153;
    out->day = (int)(of_year - (153 * m + 2) / 5 + 1);
    out->month = (int)(m < 10 ? m + 3 : m - 9);
    out->year = year + era * 400 + (out->month <= 2);
    out->hour = (int)(ms / 3600000);
    out->minute = (int)(ms / 60000 % 60);
    out->second = (int)(ms / 1000 % 60);
    out->millisecond = (int)(ms % 1000);
    out->weekday = (int)(((days + 4) % 7 + 7) % 7);
    out->yearday = (int)(days - date_days(out->year, 1, 1) + 1);
    out->offset_min = offset_min;
}

int64_t date_to_ms(const struct date *d)
{
    int64_t seconds = date_days(d->year, d->month, d->day) * 86400 + d->hour * 3600 +
                      d->minute * 60 + d->second - (int64_t)d->offset_min * 60;
    return seconds * 1000 + d->millisecond;
}

/* Takes exactly `digits` digits off the front. */
static bool take_number(struct str *s, size_t digits, int max, int *out)
{
    int v = 0;
    if (s->n < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (!ascii_isdigit(s->p[i]))
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_from_index(*s, digits);
    *out = v;
    return v <= max;
}

static bool take(struct str *s, const char *any)
{
    if (s->n == 0 || !strchr(any, s->p[0]) || s->p[0] == 0)
        return false;
    *s = str_from_index(*s, 1);
    return true;
}

static bool take_zone(struct str *s, int *offset_out)
{
    int hours, minutes;
    *offset_out = 0;
    if (s->n == 0 || take(s, "Zz"))
        return true;
    (void)take(s, " ");
    int sign = s->n && s->p[0] == '-' ? -1 : 1;
    if (!take(s, "+-") || !take_number(s, 2, 23, &hours))
        return false;
    (void)take(s, ":");
    if (!take_number(s, 2, 59, &minutes))
        return false;
    *offset_out = sign * (hours * 60 + minutes);
    return true;
}

static bool take_time(struct str *s, struct date *out)
{
    if (!take_number(s, 2, 23, &out->hour) || !take(s, ":") || !take_number(s, 2, 59, &out->minute))
        return false;
    if (take(s, ":")) {
        if (!take_number(s, 2, 60, &out->second))
            return false;
        int scale = 100;
        if (take(s, ".,")) {
            for (; s->n && ascii_isdigit(s->p[0]); scale /= 10) {
                out->millisecond += (s->p[0] - '0') * scale;
                *s = str_from_index(*s, 1);
            }
        }
    }
    return take_zone(s, &out->offset_min);
}

bool date_parse(struct str s, struct date *out)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 0;
    memset(out, 0, sizeof(*out));
    s = str_trim(s);
    if (!take_number(&s, 4, 9999, &year) || !take(&s, "-") ||
        !take_number(&s, 2, 12, &out->month) || !take(&s, "-") ||
        !take_number(&s, 2, 31, &out->day))
        return false;
    out->year = year;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (out->month < 1 || out->day < 1 || out->day > month_days[out->month - 1])
        return false;
    if (out->month == 2 && out->day == 29 && !leap)
        return false;
    if (s.n && (!take(&s, "Tt ") || !take_time(&s, out)))
        return false;
    if (s.n)
        return false;
    date_of_ms(date_to_ms(out), out->offset_min, out);
    return true;
}
