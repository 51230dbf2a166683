/* Days and months of time zones: 23 and 25 hours where daylight saving begins and ends, half-hour
 * offsets, zones that change at midnight; and a day's quota over such days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/calendar.h"
#include "fleet/quota.h"

#include <stdlib.h>
#include <time.h>

#define HOUR  INT64_C(3600000)
#define DAY   (24 * HOUR)
#define MIN15 (HOUR / 4)

static const int64_t new_year_2026 = INT64_C(1767225600000);
static const char *const zones[] = {"UTC",
                                    "America/New_York",
                                    "Europe/Vienna",
                                    "Asia/Kolkata",
                                    "Asia/Kathmandu",
                                    "Australia/Adelaide",
                                    "Australia/Lord_Howe",
                                    "Africa/Cairo",
                                    "America/Santiago",
                                    "America/Havana",
                                    "Asia/Beirut",
                                    "Pacific/Kiritimati",
                                    "America/St_Johns"};

static int64_t utc(int month, int day, int hour)
{
    struct tm tm = {.tm_year = 126, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour};
    return (int64_t)timegm(&tm) * 1000;
}

static void new_york_over_both_changes(void **state)
{
    (void)state;
    static const struct {
        int month, day, hours, begins_utc;
    } days[] = {{3, 7, 24, 5},   {3, 8, 23, 5},  {3, 9, 24, 4},
                {10, 31, 24, 4}, {11, 1, 25, 4}, {11, 2, 24, 5}};
    for (size_t i = 0; i < countof(days); i++) {
        int64_t noon = utc(days[i].month, days[i].day, 17);
        struct calendar k = calendar_of("America/New_York", false, noon);
        assert_int_equal(k.opened_at, utc(days[i].month, days[i].day, days[i].begins_utc));
        assert_int_equal(k.closes_at - k.opened_at, days[i].hours * HOUR);
    }
    struct calendar march = calendar_of("America/New_York", true, utc(3, 20, 0));
    assert_int_equal(march.closes_at - march.opened_at, 31 * DAY - HOUR);
    struct calendar november = calendar_of("America/New_York", true, utc(11, 20, 0));
    assert_int_equal(november.closes_at - november.opened_at, 30 * DAY + HOUR);
}

static void half_hours(void **state)
{
    (void)state;
    struct calendar k = calendar_of("Asia/Kolkata", false, utc(5, 10, 12));
    assert_int_equal(k.opened_at, utc(5, 9, 18) + HOUR / 2);
    assert_int_equal(k.closes_at - k.opened_at, DAY);
    k = calendar_of("Australia/Lord_Howe", false, utc(4, 5, 0));
    assert_int_equal(k.closes_at - k.opened_at, DAY + HOUR / 2);
    k = calendar_of("Australia/Adelaide", false, utc(4, 5, 0));
    assert_int_equal(k.closes_at - k.opened_at, DAY + HOUR);
}

/* Every quarter of an hour of a year lies in one day and one month, which follow each other. */
static void windows_follow_each_other(void **state)
{
    (void)state;
    for (size_t z = 0; z < countof(zones); z++)
        for (int month = 0; month <= 1; month++) {
            struct calendar last = {0};
            for (int64_t t = new_year_2026; t < new_year_2026 + 365 * DAY; t += MIN15) {
                if (last.opened_at && t < last.closes_at - HOUR * 2)
                    continue;
                struct calendar k = calendar_of(zones[z], month, t);
                if (k.opened_at > t || k.closes_at <= t)
                    fail_msg("%s: %lld is not in its window", zones[z], (long long)t);
                if (last.opened_at && k.opened_at != last.opened_at &&
                    k.opened_at != last.closes_at)
                    fail_msg("%s: a gap or overlap at %lld", zones[z], (long long)t);
                assert_true(last.opened_at != k.opened_at || last.closes_at == k.closes_at);
                int64_t least = month ? 28 * DAY - HOUR : DAY - HOUR;
                int64_t most = month ? 31 * DAY + HOUR : DAY + HOUR;
                assert_in_range(k.closes_at - k.opened_at, least, most);
                last = k;
            }
        }
}

static void the_process_keeps_its_own_zone(void **state)
{
    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    tzset();
    calendar_of("America/New_York", false, new_year_2026);
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
    time_t at = (time_t)(new_year_2026 / 1000);
    struct tm tm;
    localtime_r(&at, &tm);
    assert_int_equal(tm.tm_hour, 9);
    unsetenv("TZ");
    tzset();
}

/* A message a minute, as the janitor opens windows: each day's share exactly, never one over. */
static void a_days_quota_over_the_changes(void **state)
{
    (void)state;
    static const int starts[] = {3, 10};
    for (size_t s = 0; s < countof(starts); s++) {
        struct limits l = {.per_day = 1000, .spread = SPREAD_ASAP, .calendar = (char[]){"x"}};
        struct quota q;
        uint32_t today = 0, days = 0;
        int64_t free_at = 0;
        enum quota_window w = QUOTA_DAY;
        int64_t t = starts[s] == 3 ? utc(3, 6, 12) : utc(10, 30, 12), end = t + 5 * DAY;
        quota_init(&q);
        quota_configure(&q, &l, t);
        for (struct calendar k = {0}; t < end; t += 60000) {
            if (t >= k.closes_at) {
                k = calendar_of("America/New_York", false, t);
                quota_open_calendar(&q, QUOTA_DAY, k.opened_at, k.closes_at);
                if (days++ > 1)
                    assert_int_equal(today, 1000);
                today = 0;
            }
            if (quota_may_reserve(&q, LANE_BULK, t, &free_at, &w) == QUOTA_FREE) {
                quota_reserve(&q, LANE_BULK, t);
                quota_take(&q, LANE_BULK, t);
                today++;
            } else if (today == 1000) {
                assert_int_equal(free_at, k.closes_at);
            }
            assert_true(today <= 1000);
        }
        assert_true(days >= 5);
        quota_free(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_york_over_both_changes),
        cmocka_unit_test(half_hours),
        cmocka_unit_test(windows_follow_each_other),
        cmocka_unit_test(the_process_keeps_its_own_zone),
        cmocka_unit_test(a_days_quota_over_the_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
