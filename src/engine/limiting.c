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

struct past {
    struct quota *quota;
    enum quota_window window;
    int64_t now;
};

static int64_t span_of(enum quota_window w)
{
    return w == QUOTA_HOUR ? 60 : 3600;
}

/* A span may begin before the day of a zone that is not at a whole hour. */
static int64_t since_of(const struct past *p)
{
    int64_t span_ms = span_of(p->window) * 1000;
    const struct quota_line *l = &p->quota->lines[p->window];
    return l->is_calendar ? l->opened_at - span_ms + 1
                          : p->now - quota_window_span_ms(p->window) - span_ms;
}

static bool is_counted(const struct past *p)
{
    const struct quota_line *l = &p->quota->lines[p->window];
    return l->limit || (p->window == QUOTA_MONTH && l->window.counts);
}

/* As young as it can be, so that no limit is exceeded. */
static void load_span(void *arg, int64_t start_ms, uint64_t taken)
{
    struct past *p = arg;
    int64_t end = start_ms + span_of(p->window) * 1000 - 1;
    quota_load(p->quota, p->window, p->now, MIN(end, p->now), taken);
}

bool limiting_load_past(struct quota *q, struct db *db, int64_t now_ms, limiting_read *read,
                        void *arg, struct err *e)
{
    struct past p = {.quota = q, .now = now_ms};
    for (int w = QUOTA_HOUR; w < QUOTA_WINDOWS; w++) {
        p.window = (enum quota_window)w;
        if (is_counted(&p) && !read(arg, db, span_of(p.window), since_of(&p), load_span, &p, e))
            return false;
    }
    return true;
}

static bool read_use(void *arg, struct db *db, int64_t span_s, int64_t since, limiting_span *each,
                     void *to, struct err *e)
{
    return limits_usage(db, arg, span_s, since, each, to, e);
}

static bool load_one(struct core *c, struct db *db, struct limit_row *l, struct err *e)
{
    struct limit_key k = limiting_key(l);
    struct quota *q = fleet_limit(c->fleet, &k);
    if (!q)
        return true;
    if (!limiting_load_past(q, db, core_steady(c), read_use, l, e))
        return false;
    quota_fill_pace(q, core_steady(c));
    return true;
}

bool limiting_load_use(struct core *c, struct db *db, struct err *e)
{
    for (size_t i = 0; i < c->n_limits; i++)
        if (!load_one(c, db, &c->limits[i], e))
            return false;
    return true;
}
