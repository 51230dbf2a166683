/* No limit exceeded by one message, counted when the write with the dot was made: windows slide
 * over what each server took. A write that came up short leaves a little later than it was
 * permitted: windows are shorter by that. */
#include "world.h"

#include "base/alloc.h"

#include <stdlib.h>

#define SLACK_US 60000

static int by_time(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void check_window(const struct vserver *s, const int64_t *at, size_t n, uint64_t limit,
                         int64_t span_us, const char *name, found_fn *found)
{
    if (!limit)
        return;
    for (size_t i = limit; i < n; i++)
        if (at[i] - at[i - limit] < span_us - SLACK_US) {
            found("%s: over its limit of %llu a %s: %llu within %.3f s, at %.3f s", s->name,
                  (unsigned long long)limit, name, (unsigned long long)limit + 1,
                  (double)(at[i] - at[i - limit]) / 1e6, (double)at[i] / 1e6);
            return;
        }
}

/* A day of the calendar, on a wall clock that nobody moved. */
static void check_days(const struct vserver *s, const int64_t *at, size_t n, found_fn *found)
{
    uint64_t used = 0;
    int64_t today = -1;
    for (uint32_t i = 0; i < W->n_faults; i++)
        if (W->faults[i].kind == FAULT_WALL || W->faults[i].kind == FAULT_REBOOT)
            return;
    for (size_t i = 0; i < n; i++) {
        int64_t day = (at[i] + W->wall_offset_us) / (24 * HOUR_US);
        used = day == today ? used + 1 : 1;
        today = day;
        if (used > s->per_day) {
            found("%s: over its limit of %llu a day of the calendar", s->name,
                  (unsigned long long)s->per_day);
            return;
        }
    }
}

static void judge_server(uint32_t num, int64_t *at, found_fn *found)
{
    const struct vserver *s = &W->servers[num];
    size_t n = 0;
    for (uint32_t i = 0; i < W->n_mails; i++)
        if (W->mails[i].server == num && (W->mails[i].accepted || s->all_attempts))
            at[n++] = W->mails[i].dot_us;
    qsort(at, n, sizeof *at, by_time);
    check_window(s, at, n, s->per_second, SECOND_US, "second", found);
    check_window(s, at, n, s->per_minute, MINUTE_US, "minute", found);
    check_window(s, at, n, s->per_hour, HOUR_US, "hour", found);
    if (s->calendar && s->per_day)
        check_days(s, at, n, found);
    else
        check_window(s, at, n, s->per_day, 24 * HOUR_US, "day", found);
    if (s->most_connections > s->max_connections)
        found("%s: %u connections, allowed are %u", s->name, s->most_connections,
              s->max_connections);
    if (s->max_messages && s->most_messages > s->max_messages)
        found("%s: %u messages on a connection, allowed are %u", s->name, s->most_messages,
              s->max_messages);
}

/* Caps of 20 and 40 on the first two days of the calendar. */
static void judge_warm_up(found_fn *found)
{
    uint64_t used[2] = {0}, caps[2] = {20, 40};
    int64_t first = (W->ready_us + W->wall_offset_us) / (24 * HOUR_US);
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct mail *m = &W->mails[i];
        int64_t day = (m->dot_us + W->wall_offset_us) / (24 * HOUR_US) - first;
        if (m->server == 0 && m->accepted && day >= 0 && day < 2)
            used[day]++;
    }
    for (int d = 0; d < 2; d++)
        if (used[d] > caps[d])
            found("%s sent %llu on day %d of its warm-up, its cap is %llu", W->servers[0].name,
                  (unsigned long long)used[d], d + 1, (unsigned long long)caps[d]);
    if (!used[0])
        found("%s sent nothing on the first day of its warm-up", W->servers[0].name);
}

void judge_limits(found_fn *found)
{
    if (W->expects & EXPECT_WARM)
        judge_warm_up(found);
    int64_t *at = alloc_many(int64_t, MAILS_MAX);
    for (uint32_t i = 0; i < W->n_servers; i++)
        judge_server(i, at, found);
    free(at);
}
