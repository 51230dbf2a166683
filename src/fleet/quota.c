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
}

void quota_free(struct quota *q)
{
    for (int w = 0; w < QUOTA_WINDOWS; w++)
        window_free(&q->lines[w].window);
}

static void configure_line(struct quota_line *l, enum quota_window w, uint64_t limit, bool calendar)
{
    if (limit && !l->window.counts)
        window_init(&l->window, kinds[w].span_ms, kinds[w].n_buckets);
    l->limit = limit;
    l->is_calendar = calendar && w >= QUOTA_DAY;
}

void quota_configure(struct quota *q, const struct limits *l, int64_t now_ms)
{
    const uint64_t limits[QUOTA_WINDOWS] = {l->per_second, l->per_minute, l->per_hour, l->per_day,
                                            l->per_month};
    for (int w = 0; w < QUOTA_WINDOWS; w++)
        configure_line(&q->lines[w], (enum quota_window)w, limits[w], l->calendar != NULL);
    q->counts = l->counts;
    (void)now_ms;
}

void quota_fill_pace(struct quota *q, int64_t now_ms)
{
    for (int w = QUOTA_SECOND; w <= QUOTA_MINUTE; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->limit)
            window_add(&l->window, now_ms, (uint32_t)MIN(l->limit, (uint64_t)UINT32_MAX));
    }
}

void quota_load(struct quota *q, enum quota_window w, int64_t now_ms, int64_t at_ms, uint64_t n)
{
    struct quota_line *l = &q->lines[w];
    if (!l->limit)
        return;
    if (l->is_calendar) {
        if (at_ms >= l->opened_at)
            l->used += n;
    } else {
        window_add_at(&l->window, now_ms, at_ms, (uint32_t)MIN(n, (uint64_t)UINT32_MAX));
    }
}

void quota_open_calendar(struct quota *q, enum quota_window w, int64_t opened_at, int64_t closes_at)
{
    struct quota_line *l = &q->lines[w];
    l->used = 0;
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

bool quota_may_dot(struct quota *q, int64_t now_ms, uint32_t ahead, int64_t *when_out)
{
    int64_t when = now_ms;
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
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (!l->limit)
            continue;
        if (l->is_calendar)
            l->used++;
        else
            window_add(&l->window, now_ms, 1);
    }
}

void quota_give_back(struct quota *q, int64_t now_ms, int64_t at_ms)
{
    for (int w = QUOTA_HOUR; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (!l->limit)
            continue;
        if (!l->is_calendar)
            window_take_back(&l->window, now_ms, at_ms, 1);
        else if (l->used && at_ms >= l->opened_at)
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
