/* Limits of groups, campaigns, credentials and providers in force: see limiting.h. */
#include "engine/limiting.h"

struct limit_key limiting_key(const struct limit_row *l)
{
    return (struct limit_key){.kind = (enum limit_kind)l->kind,
                              .num = l->num,
                              .provider =
                                  provider_by_name(providers_builtin(), str_of(l->provider))};
}

static bool is_listed(const struct limit_row *l, const struct limit_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].kind == l->kind && rows[i].num == l->num &&
            !strcmp(rows[i].provider, l->provider))
            return true;
    return false;
}

void limiting_apply(struct core *c, struct limit_row *rows, size_t n)
{
    int64_t now = core_steady(c);
    for (size_t i = 0; i < c->n_limits; i++) {
        struct limit_key k = limiting_key(&c->limits[i]);
        if (!is_listed(&c->limits[i], rows, n))
            fleet_set_limit(c->fleet, &k, NULL, now);
    }
    for (size_t i = 0; i < n; i++) {
        struct limit_key k = limiting_key(&rows[i]);
        fleet_set_limit(c->fleet, &k, &rows[i].limits, now);
    }
    limits_free_rows(c->limits, c->n_limits);
    c->limits = rows;
    c->n_limits = n;
}

void limiting_calendars(struct core *c)
{
    for (size_t i = 0; i < c->n_limits; i++) {
        struct limit_key k = limiting_key(&c->limits[i]);
        if (c->limits[i].limits.calendar)
            janitor_open_calendar(c, fleet_limit(c->fleet, &k), c->limits[i].limits.calendar);
    }
}

/* ---- use of the past */

int64_t limiting_span_s(enum quota_window w)
{
    return w == QUOTA_HOUR ? 60 : 3600;
}

/* A span may begin before the day of a zone that is not at a whole hour. */
int64_t limiting_since(const struct quota *q, enum quota_window w, int64_t now_ms)
{
    int64_t span_ms = limiting_span_s(w) * 1000;
    return q->lines[w].is_calendar ? q->lines[w].opened_at - span_ms + 1
                                   : now_ms - quota_window_span_ms(w) - span_ms;
}

bool limiting_counts(const struct quota *q, enum quota_window w)
{
    const struct quota_line *l = &q->lines[w];
    return w >= QUOTA_HOUR && (l->limit || (w == QUOTA_MONTH && l->window.counts));
}

void limiting_load_span(struct quota *q, enum quota_window w, int64_t now_ms, int64_t start_ms,
                        uint64_t taken)
{
    int64_t end = start_ms + limiting_span_s(w) * 1000 - 1;
    quota_load(q, w, now_ms, MIN(end, now_ms), taken);
}

struct past {
    struct quota *quota;
    enum quota_window window;
    int64_t now;
};

static void load_span(void *arg, int64_t start_ms, uint64_t taken)
{
    struct past *p = arg;
    limiting_load_span(p->quota, p->window, p->now, start_ms, taken);
}

static bool load_one(struct core *c, struct db *db, const struct limit_row *l, struct err *e)
{
    struct limit_key k = limiting_key(l);
    struct past p = {.quota = fleet_limit(c->fleet, &k), .now = core_steady(c)};
    for (int w = QUOTA_HOUR; p.quota && w < QUOTA_WINDOWS; w++) {
        p.window = (enum quota_window)w;
        if (limiting_counts(p.quota, p.window) &&
            !limits_usage(db, l, limiting_span_s(p.window),
                          limiting_since(p.quota, p.window, p.now), load_span, &p, e))
            return false;
    }
    if (p.quota)
        quota_fill_pace(p.quota, p.now);
    return true;
}

bool limiting_load_use(struct core *c, struct db *db, struct err *e)
{
    for (size_t i = 0; i < c->n_limits; i++)
        if (!load_one(c, db, &c->limits[i], e))
            return false;
    return true;
}
