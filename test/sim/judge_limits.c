/* No limit exceeded by one message, counted when the write with the dot was made: windows slide
 * over what each server took. A write that came up short leaves a little later than it was
 * permitted: windows are shorter by that. */
#include "world.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLACK_US 60000

static int by_time(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

struct windows { /* what is limited, and by how much */
    char name[60];
    uint64_t per_second, per_minute, per_hour, per_day;
    const char *zone;
};

static void check_window(const struct windows *w, const int64_t *at, size_t n, uint64_t limit,
                         int64_t span_us, const char *span, found_fn *found)
{
    if (!limit)
        return;
    for (size_t i = limit; i < n; i++)
        if (at[i] - at[i - limit] < span_us - SLACK_US) {
            found("%s: over its limit of %llu a %s: %llu within %.3f s, at %.3f s", w->name,
                  (unsigned long long)limit, span, (unsigned long long)limit + 1,
                  (double)(at[i] - at[i - limit]) / 1e6, (double)(at[i] - W->ready_us) / 1e6);
            return;
        }
}

static bool wall_was_moved(void)
{
    for (uint32_t i = 0; i < W->n_faults; i++)
        if (W->faults[i].kind == FAULT_WALL || W->faults[i].kind == FAULT_REBOOT)
            return true;
    return false;
}

/* A day of the zone's calendar, on a wall clock that nobody moved. */
static void check_days(const struct windows *w, const int64_t *at, size_t n, found_fn *found)
{
    uint64_t used = 0;
    int today = -1;
    struct tm tm;
    setenv("TZ", w->zone, 1);
    tzset();
    for (size_t i = 0; i < n; i++) {
        time_t wall = (time_t)((at[i] + W->wall_offset_us) / SECOND_US);
        localtime_r(&wall, &tm);
        used = tm.tm_yday == today ? used + 1 : 1;
        today = tm.tm_yday;
        if (used > w->per_day) {
            found("%s: over its limit of %llu a day of %s", w->name, (unsigned long long)w->per_day,
                  w->zone);
            return;
        }
    }
}

static void check(const struct windows *w, int64_t *at, size_t n, found_fn *found)
{
    qsort(at, n, sizeof *at, by_time);
    check_window(w, at, n, w->per_second, SECOND_US, "second", found);
    check_window(w, at, n, w->per_minute, MINUTE_US, "minute", found);
    check_window(w, at, n, w->per_hour, HOUR_US, "hour", found);
    if (!w->zone)
        check_window(w, at, n, w->per_day, 24 * HOUR_US, "day", found);
    else if (w->per_day && !wall_was_moved())
        check_days(w, at, n, found);
}

static void judge_server(uint32_t num, int64_t *at, found_fn *found)
{
    const struct vserver *s = &W->servers[num];
    struct windows w = {.per_second = s->per_second,
                        .per_minute = s->per_minute,
                        .per_hour = s->per_hour,
                        .per_day = s->per_day,
                        .zone = s->zone};
    size_t n = 0;
    for (uint32_t i = 0; i < W->n_mails; i++)
        if (W->mails[i].server == num && (W->mails[i].accepted || s->all_attempts))
            at[n++] = W->mails[i].dot_us;
    snprintf(w.name, sizeof w.name, "%s", s->name);
    check(&w, at, n, found);
    if (s->most_connections > s->max_connections)
        found("%s: %u connections, allowed are %u", s->name, s->most_connections,
              s->max_connections);
    if (s->max_messages && s->most_messages > s->max_messages)
        found("%s: %u messages on a connection, allowed are %u", s->name, s->most_messages,
              s->max_messages);
}

/* ---- limits beside the servers' own */

static bool is_counted(const struct vlimit *l, const struct mail *m)
{
    const struct person *p = &W->people[m->person];
    bool provider = !strcmp(sim_providers[m->person % DOMAINS], sim_providers[l->domain]);
    switch (l->of) {
    case OF_GROUP: return m->group == l->num;
    case OF_CAMPAIGN: return !p->is_single && p->campaign == l->num;
    case OF_CREDENTIAL: return p->has_key;
    case OF_PROVIDER: return provider;
    case OF_SERVER_PROVIDER: return provider && m->server == l->num;
    }
    abort();
}

static void judge_limit(const struct vlimit *l, int64_t *at, found_fn *found)
{
    static const char *const kinds[] = {"group", "campaign", "credential", "provider",
                                        "server x provider"};
    struct windows w = {.per_second = l->per_second,
                        .per_minute = l->per_minute,
                        .per_hour = l->per_hour,
                        .per_day = l->per_day,
                        .zone = l->zone};
    size_t n = 0;
    for (uint32_t i = 0; i < W->n_mails; i++)
        if (W->mails[i].accepted && is_counted(l, &W->mails[i]))
            at[n++] = W->mails[i].dot_us;
    snprintf(w.name, sizeof w.name, "%s %u (%s)", kinds[l->of], l->num, sim_providers[l->domain]);
    check(&w, at, n, found);
}

/* ---- warm-ups */

static bool is_gmail(const struct mail *m)
{
    return m->person % DOMAINS == 0;
}

/* Caps of 20 and 40 on the first two days of the calendar; for one provider 3 and 6. */
static void judge_warm_up(found_fn *found)
{
    uint64_t used[2] = {0}, gmail[2] = {0}, caps[2] = {20, 40}, gmail_caps[2] = {3, 6};
    int64_t first = (W->ready_us + W->wall_offset_us) / (24 * HOUR_US);
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct mail *m = &W->mails[i];
        int64_t day = (m->dot_us + W->wall_offset_us) / (24 * HOUR_US) - first;
        if (m->server != 0 || !m->accepted || day < 0 || day >= 2)
            continue;
        used[day]++;
        gmail[day] += is_gmail(m);
    }
    for (int d = 0; d < 2; d++)
        if (W->servers[0].gmail_curve[0] && gmail[d] > gmail_caps[d])
            found("%s sent %llu to gmail on day %d of its warm-up, its cap is %llu",
                  W->servers[0].name, (unsigned long long)gmail[d], d + 1,
                  (unsigned long long)gmail_caps[d]);
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
    int64_t *at = alloc_many(int64_t, W->n_mails + 1);
    for (uint32_t i = 0; i < W->n_servers; i++)
        judge_server(i, at, found);
    for (uint32_t i = 0; i < W->n_limits; i++)
        judge_limit(&W->limits[i], at, found);
    free(at);
}
