/* Limits: all are checked, then all are taken. */
#include "fleet/quota.h"
#include "base/check.h"

static const struct {
    const char *name;
    int64_t span_ms;
    uint32_t n_buckets;
} kinds[QUOTA_WINDOWS] = {
    {"second", 1000, 50},
    {"minute", 60 * 1000, 60},
    {"hour", 3600 * 1000, 60},
    {"day", 24 * 3600 * 1000, 24},
    {"month", (int64_t)30 * 24 * 3600 * 1000, 720},
};

const char *quota_window_name(enum quota_window w)
{
    return kinds[w].name;
}

int64_t quota_window_span_ms(enum quota_window w)
{
    return kinds[w].span_ms;
}

void quota_init(struct quota *q)
{
    *q = (struct quota){0};
    for (int w = 0; w < QUOTA_MONTH; w++)
        window_init(&q->lines[w].window, kinds[w].span_ms, kinds[w].n_buckets);
}

void quota_free(struct quota *q)
{
    for (int w = 0; w < QUOTA_WINDOWS; w++)
        window_free(&q->lines[w].window);
}

/* The month's window is large and most servers have no such limit. What it missed until now is
 * known for a day. */
static void make_month(struct quota *q, int64_t now_ms)
{
    struct quota_line *l = &q->lines[QUOTA_MONTH], *day = &q->lines[QUOTA_DAY];
    window_init(&l->window, kinds[QUOTA_MONTH].span_ms, kinds[QUOTA_MONTH].n_buckets);
    window_add(&l->window, now_ms, (uint32_t)window_used(&day->window, now_ms));
}

void quota_configure(struct quota *q, const struct limits *c, int64_t now_ms)
{
    const uint64_t limits[QUOTA_WINDOWS] = {c->per_second, c->per_minute, c->per_hour, c->per_day,
                                            c->per_month};
    if (c->per_month && !q->lines[QUOTA_MONTH].window.counts)
        make_month(q, now_ms);
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        bool calendar = limits[w] && c->calendar && w >= QUOTA_DAY;
        if (calendar && !l->is_calendar) { /* until it is opened all that is known counts */
            l->opened_at = l->closes_at = 0;
            l->used = window_used(&l->window, now_ms);
        }
        l->is_calendar = calendar;
        l->limit = limits[w];
    }
    q->counts = c->counts;
}

void quota_fill_pace(struct quota *q, int64_t now_ms)
{
    q->even_at_us = (now_ms + kinds[QUOTA_SECOND].span_ms) * 1000;
    for (int w = QUOTA_SECOND; w <= QUOTA_MINUTE; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->limit)
            window_add(&l->window, now_ms, (uint32_t)MIN(l->limit, (uint64_t)UINT32_MAX));
    }
}

void quota_load(struct quota *q, enum quota_window w, int64_t now_ms, int64_t at_ms, uint64_t n)
{
    struct quota_line *l = &q->lines[w];
    if (!l->window.counts)
        return;
    if (l->is_calendar && at_ms >= l->opened_at)
        l->used += n;
    window_add_at(&l->window, now_ms, at_ms, (uint32_t)MIN(n, (uint64_t)UINT32_MAX));
}

void quota_open_calendar(struct quota *q, enum quota_window w, int64_t opened_at, int64_t closes_at)
{
    struct quota_line *l = &q->lines[w];
    l->used = l->window.counts ? window_used_since(&l->window, opened_at, opened_at) : 0;
    l->opened_at = opened_at;
    l->closes_at = closes_at;
}

static uint64_t line_used(struct quota_line *l, int64_t now_ms)
{
    return l->is_calendar ? l->used : window_used(&l->window, now_ms);
}

bool quota_may_reserve(struct quota *q, int64_t now_ms, int64_t *free_at_out,
                       enum quota_window *window_out)
{
    for (int w = QUOTA_WINDOWS - 1; w >= QUOTA_HOUR; w--) {
        struct quota_line *l = &q->lines[w];
        if (!l->limit || line_used(l, now_ms) + q->reserved < l->limit)
            continue;
        *window_out = (enum quota_window)w;
        *free_at_out = quota_free_at(q, (enum quota_window)w, now_ms);
        return false;
    }
    return true;
}

void quota_reserve(struct quota *q)
{
    q->reserved++;
}

void quota_return(struct quota *q)
{
    check(q->reserved > 0);
    q->reserved--;
}

/* Dots of a limit per second leave evenly, at most a tenth of it at once: bursts that the wire
 * shifts against each other would look like too many to the server's own clock. */
static int64_t even_when(const struct quota *q, uint32_t ahead)
{
    uint64_t limit = q->lines[QUOTA_SECOND].limit;
    if (!limit)
        return 0;
    int64_t step_us = (int64_t)(1000000 / MIN(limit, (uint64_t)1000000));
    int64_t burst = (int64_t)MAX(limit / 10, (uint64_t)1);
    return (q->even_at_us + step_us * ((int64_t)ahead - burst + 1) + 999) / 1000;
}

static void take_even(struct quota *q, int64_t now_ms)
{
    uint64_t limit = q->lines[QUOTA_SECOND].limit;
    if (limit)
        q->even_at_us =
            MAX(q->even_at_us, now_ms * 1000) + (int64_t)(1000000 / MIN(limit, (uint64_t)1000000));
}

bool quota_may_dot(struct quota *q, int64_t now_ms, uint32_t ahead, int64_t *when_out)
{
    int64_t when = MAX(now_ms, even_when(q, ahead));
    for (int w = QUOTA_SECOND; w <= QUOTA_MINUTE; w++) {
        struct quota_line *l = &q->lines[w];
        if (!l->limit)
            continue;
        uint64_t used = window_used(&l->window, now_ms) + ahead;
        if (used < l->limit)
            continue;
        /* Those ahead fill whole windows of their own before there is room. */
        int64_t windows = (int64_t)(ahead / l->limit);
        uint64_t room = l->limit - ahead % l->limit;
        int64_t free_at = window_free_at(&l->window, now_ms, room) + windows * l->window.span_ms;
        when = MAX(when, free_at);
    }
    *when_out = when;
    return when <= now_ms;
}

void quota_take(struct quota *q, int64_t now_ms)
{
    quota_return(q);
    take_even(q, now_ms);
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->window.counts)
            window_add(&l->window, now_ms, 1);
        l->used += l->is_calendar;
    }
}

void quota_give_back(struct quota *q, int64_t now_ms, int64_t at_ms)
{
    for (int w = QUOTA_HOUR; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->window.counts)
            window_take_back(&l->window, now_ms, at_ms, 1);
        if (l->is_calendar && l->used && at_ms >= l->opened_at)
            l->used--;
    }
}

uint64_t quota_used(struct quota *q, enum quota_window w, int64_t now_ms)
{
    struct quota_line *l = &q->lines[w];
    if (!l->limit)
        return 0;
    return line_used(l, now_ms) + (w >= QUOTA_HOUR ? q->reserved : 0);
}

int64_t quota_free_at(struct quota *q, enum quota_window w, int64_t now_ms)
{
    struct quota_line *l = &q->lines[w];
    if (!l->limit)
        return now_ms;
    if (l->is_calendar)
        return l->used + q->reserved < l->limit ? now_ms
                                                : (l->closes_at ? l->closes_at : INT64_MAX);
    if (w >= QUOTA_HOUR && q->reserved >= l->limit)
        return now_ms + 1000; /* what is in flight decides: look again soon */
    return window_free_at(&l->window, now_ms, l->limit - (w >= QUOTA_HOUR ? q->reserved : 0));
}
