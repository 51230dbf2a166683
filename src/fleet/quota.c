/* Limits: all are checked, then all are taken. */
#include "fleet/quota.h"
#include "base/check.h"

#define SPREAD_MOST   4 /* times the even pace, when much of a calendar window is left over */
#define PHASE_MOST_MS 600000
#define PHASE_ASAP_MS 10000

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
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        window_free(&q->lines[w].window);
        window_free(&q->lines[w].urgent);
    }
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
        bool counted = limits[w] || (w == QUOTA_MONTH && q->counts_month);
        bool calendar = counted && c->calendar && w >= QUOTA_DAY;
        if (calendar && !l->is_calendar) { /* until it is opened all that is known counts */
            l->opened_at = l->closes_at = 0;
            l->used = window_used(&l->window, now_ms);
        }
        l->is_calendar = calendar;
        l->limit = limits[w];
    }
    q->counts = c->counts;
    q->spread = c->spread;
    for (int w = 0; w < QUOTA_WINDOWS && c->spread == SPREAD_ASAP; w++)
        q->lines[w].spread_at_us = 0;
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
    l->urgent_used = 0;
    l->spread_at_us = 0;
    if (l->limit && closes_at > opened_at) { /* not everybody at the stroke of midnight */
        int64_t step_ms = (closes_at - opened_at) / (int64_t)MIN(l->limit, (uint64_t)INT32_MAX);
        int64_t most_ms = q->spread == SPREAD_EVEN ? PHASE_MOST_MS : PHASE_ASAP_MS;
        l->spread_at_us =
            opened_at * 1000 + (int64_t)(q->phase * 1000 * (double)MIN(step_ms, most_ms));
    }
}

static uint64_t line_used(struct quota_line *l, int64_t now_ms)
{
    return l->is_calendar ? l->used : window_used(&l->window, now_ms);
}

/* What of a quota bulk mail leaves to transactional mail: its part less what that used of it. */
static uint64_t kept_back(struct quota *q, struct quota_line *l, int64_t now_ms)
{
    uint64_t kept = q->keeps_reserve ? l->limit * QUOTA_RESERVE_PERCENT / 100 : 0;
    uint64_t urgent = l->is_calendar     ? l->urgent_used
                      : l->urgent.counts ? window_used(&l->urgent, now_ms)
                                         : 0;
    return kept > urgent ? kept - urgent : 0;
}

static enum quota_bar bar_of(struct quota *q, enum quota_window w, enum lane lane, int64_t now_ms,
                             int64_t *free_at_out)
{
    struct quota_line *l = &q->lines[w];
    uint64_t used = line_used(l, now_ms) + q->reserved;
    *free_at_out = now_ms;
    if (used >= l->limit) {
        *free_at_out = quota_free_at(q, w, now_ms);
        return QUOTA_USED_UP;
    }
    if (lane == LANE_TRANSACTIONAL)
        return QUOTA_FREE;
    if (used + kept_back(q, l, now_ms) >= l->limit) {
        *free_at_out = INT64_MAX;
        return QUOTA_RESERVED;
    }
    if (l->spread_at_us > now_ms * 1000 + 1000) {
        *free_at_out = (l->spread_at_us + 999) / 1000;
        return QUOTA_SPREAD;
    }
    return QUOTA_FREE;
}

enum quota_bar quota_may_reserve(struct quota *q, enum lane lane, int64_t now_ms,
                                 int64_t *free_at_out, enum quota_window *window_out)
{
    for (int w = QUOTA_WINDOWS - 1; w >= QUOTA_HOUR; w--) {
        if (!q->lines[w].limit)
            continue;
        enum quota_bar b = bar_of(q, (enum quota_window)w, lane, now_ms, free_at_out);
        if (b == QUOTA_FREE)
            continue;
        *window_out = (enum quota_window)w;
        return b;
    }
    return QUOTA_FREE;
}

/* Even pace of what is left, in us a message. */
static int64_t spread_step_us(struct quota *q, struct quota_line *l, int64_t span_ms,
                              int64_t now_ms)
{
    uint64_t limit = MAX(l->limit - MIN(l->limit, kept_back(q, l, now_ms)), (uint64_t)1);
    double even = (double)span_ms * 1000 / (double)limit;
    if (!l->is_calendar || l->closes_at <= now_ms)
        return (int64_t)even;
    uint64_t used = l->used + q->reserved;
    uint64_t rest = limit > used ? limit - used : 1;
    double step = (double)(l->closes_at - now_ms) * 1000 / (double)rest;
    return (int64_t)MAX(step, even / SPREAD_MOST);
}

/* A second's worth may leave at once, so that batches stay batches. */
static void take_spread(struct quota *q, int64_t now_ms)
{
    for (int w = QUOTA_DAY; w <= QUOTA_MONTH; w++) {
        struct quota_line *l = &q->lines[w];
        if (!l->limit)
            continue;
        int64_t step = spread_step_us(q, l, kinds[w].span_ms, now_ms);
        int64_t from = MAX(l->spread_at_us, (now_ms - (step < 500000 ? 1000 : 0)) * 1000);
        l->spread_at_us = from + step;
        l->spread_step_us = step;
    }
}

void quota_reserve(struct quota *q, enum lane lane, int64_t now_ms)
{
    if (q->spread == SPREAD_EVEN && lane != LANE_TRANSACTIONAL)
        take_spread(q, now_ms);
    q->reserved++;
}

static void unreserve(struct quota *q)
{
    check(q->reserved > 0);
    q->reserved--;
}

void quota_return(struct quota *q, enum lane lane)
{
    unreserve(q);
    if (q->spread == SPREAD_EVEN && lane != LANE_TRANSACTIONAL)
        for (int w = QUOTA_DAY; w <= QUOTA_MONTH; w++)
            q->lines[w].spread_at_us -= q->lines[w].spread_step_us;
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

static void take_urgent(struct quota_line *l, enum quota_window w, int64_t now_ms)
{
    if (!l->limit || w < QUOTA_HOUR)
        return;
    if (!l->urgent.counts)
        window_init(&l->urgent, kinds[w].span_ms, kinds[w].n_buckets);
    window_add(&l->urgent, now_ms, 1);
    l->urgent_used++;
}

void quota_take(struct quota *q, enum lane lane, int64_t now_ms)
{
    unreserve(q);
    take_even(q, now_ms);
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->window.counts)
            window_add(&l->window, now_ms, 1);
        l->used += l->is_calendar;
        if (lane == LANE_TRANSACTIONAL)
            take_urgent(l, (enum quota_window)w, now_ms);
    }
}

uint64_t quota_room(struct quota *q, enum lane lane, int64_t now_ms)
{
    uint64_t room = UINT64_MAX;
    for (int w = QUOTA_MINUTE; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (!l->limit)
            continue;
        uint64_t used = line_used(l, now_ms) + (w >= QUOTA_HOUR ? q->reserved : 0);
        if (lane != LANE_TRANSACTIONAL && w >= QUOTA_HOUR)
            used += kept_back(q, l, now_ms);
        room = MIN(room, l->limit - MIN(l->limit, used));
    }
    return room;
}

void quota_take_more(struct quota *q, enum lane lane, uint64_t n, int64_t now_ms)
{
    uint64_t second = q->lines[QUOTA_SECOND].limit;
    if (!n)
        return;
    if (q->spread == SPREAD_EVEN && lane != LANE_TRANSACTIONAL)
        for (int w = QUOTA_DAY; w <= QUOTA_MONTH; w++)
            q->lines[w].spread_at_us += (int64_t)n * q->lines[w].spread_step_us;
    if (second)
        q->even_at_us = MAX(q->even_at_us, now_ms * 1000) +
                        (int64_t)(1000000 / MIN(second, (uint64_t)1000000)) * (int64_t)n;
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->window.counts)
            window_add(&l->window, now_ms, (uint32_t)n);
        l->used += l->is_calendar ? n : 0;
    }
}

static void give_back_urgent(struct quota_line *l, int64_t now_ms, int64_t at_ms)
{
    if (l->urgent.counts)
        window_take_back(&l->urgent, now_ms, at_ms, 1);
    if (l->urgent_used && at_ms >= l->opened_at)
        l->urgent_used--;
}

void quota_give_back(struct quota *q, enum lane lane, int64_t now_ms, int64_t at_ms)
{
    for (int w = QUOTA_HOUR; w < QUOTA_WINDOWS; w++) {
        struct quota_line *l = &q->lines[w];
        if (l->window.counts)
            window_take_back(&l->window, now_ms, at_ms, 1);
        if (l->is_calendar && l->used && at_ms >= l->opened_at)
            l->used--;
        if (lane == LANE_TRANSACTIONAL)
            give_back_urgent(l, now_ms, at_ms);
    }
}

uint64_t quota_used(struct quota *q, enum quota_window w, int64_t now_ms)
{
    struct quota_line *l = &q->lines[w];
    if (!l->limit)
        return 0;
    return line_used(l, now_ms) + (w >= QUOTA_HOUR ? q->reserved : 0);
}

uint64_t quota_counted(struct quota *q, enum quota_window w, int64_t now_ms)
{
    struct quota_line *l = &q->lines[w];
    return l->is_calendar || l->window.counts ? line_used(l, now_ms) : 0;
}

void quota_count_month(struct quota *q, bool is_calendar, int64_t now_ms)
{
    struct quota_line *l = &q->lines[QUOTA_MONTH];
    if (!l->window.counts)
        make_month(q, now_ms);
    q->counts_month = true;
    if (is_calendar && !l->is_calendar)
        l->used = window_used(&l->window, now_ms);
    l->is_calendar |= is_calendar;
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
