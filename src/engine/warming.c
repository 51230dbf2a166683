/* Warm-ups in force: caps and engagement classes brought to the fleet, and the turn of the day.
 * A cap is a calendar limit of the fleet beside the server's own. Its day is the one the database
 * names; it opens anew only when the wall clock says so, our own clock confirms that the last one
 * has passed, and the new day's cap is durable. From two seconds before the end of a day until then
 * nothing is picked under the cap, so that no message of the old day's allowance counts in the new.
 * Reactor thread, but for what the two ledger jobs do. */
#include "engine/warming.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/warmup_day.h"
#include "engine/warmup_plan.h"
#include "store/hours.h"

#include <stdio.h>
#include <stdlib.h>

#define MINUTE_MS 60000
#define EARLY_MS  2000 /* nothing is picked in the last moments of a day */

struct warming {                   /* a server with a warm-up */
    struct warmup_row row;         /* without its plan */
    bool loaded[WARMUP_LINES_MAX]; /* use of the day before this cap was set is counted */
    bool is_turning;
};

/* ---- on the ledger thread: what the database says */

static bool read_last_cap(struct warming_entry *x, struct err *e)
{
    struct warmup_plan *p = NULL;
    if (!warmup_plan_read(x->row.plan, &p, e))
        return false;
    x->last_cap = warmup_cap(&p->curve, p->curve.n);
    free(p);
    return true;
}

static bool read_one(struct db *db, uint16_t num, int64_t started, struct warming_entry *x,
                     bool *found_out, struct err *e)
{
    int64_t from = started / MINUTE_MS * MINUTE_MS + MINUTE_MS;
    if (!warmup_get(db, num, &x->row, found_out, e))
        return false;
    if (!*found_out)
        return true;
    int64_t since = x->row.opened_at, hour = since / HOUR_MS * HOUR_MS;
    bool ok = warmup_taken(db, num, since, from, &x->before, e) &&
              warmup_taken(db, num, from, INT64_MAX, &x->after, e);
    for (size_t i = 0; ok && i < x->row.n_lines; i++) {
        struct hour_sum s = {0};
        if (*x->row.lines[i].provider)
            ok = hours_sum(db, num, x->row.lines[i].provider, hour, INT64_MAX, &s, e);
        x->taken[i] = s.taken;
    }
    return ok && (!x->row.plan || read_last_cap(x, e));
}

bool warming_read(struct db *db, int64_t started, struct warming_load *out, struct err *e)
{
    uint16_t *nums = NULL;
    size_t n = 0;
    *out = (struct warming_load){0};
    bool ok = warmup_servers(db, &nums, &n, e);
    out->entries = alloc_many(struct warming_entry, n + 1);
    for (size_t i = 0; ok && i < n; i++) {
        bool found = false;
        ok = read_one(db, nums[i], started, &out->entries[out->n], &found, e);
        out->n += found;
    }
    free(nums);
    return ok;
}

void warming_load_free(struct warming_load *l)
{
    for (size_t i = 0; i < l->n; i++)
        warmup_row_free(&l->entries[i].row);
    free(l->entries);
    *l = (struct warming_load){0};
}

/* ---- on the reactor: into the fleet */

static struct limit_key key_of(uint16_t num, const char *provider)
{
    if (!*provider)
        return (struct limit_key){LIMIT_WARMUP, num, 0};
    return (struct limit_key){LIMIT_WARMUP_PROVIDER, num,
                              provider_by_name(providers_builtin(), str_of(provider))};
}

static const struct warmup_line *line_of(const struct warmup_row *r, const char *provider,
                                         size_t *at_out)
{
    for (size_t i = 0; i < r->n_lines; i++)
        if (!strcmp(r->lines[i].provider, provider)) {
            *at_out = i;
            return &r->lines[i];
        }
    return NULL;
}

/* Until a day opens nothing is picked under its cap. */
static void bar(struct quota *q)
{
    struct quota_line *l = &q->lines[QUOTA_DAY];
    l->used = MAX(l->used, l->limit);
}

static void bar_all(struct core *c, const struct warmup_row *r)
{
    for (size_t i = 0; i < r->n_lines; i++) {
        struct limit_key k = key_of(r->server_num, r->lines[i].provider);
        struct quota *q = fleet_limit(c->fleet, &k);
        if (q)
            bar(q);
    }
}

/* What left by this server today before the cap was set. What is not in the database yet, or on its
 * way, is counted under every cap it could be of: rather one too few than one too many. */
static uint64_t used_before(struct core *c, const struct warming_entry *x, size_t line)
{
    struct quota *q = fleet_quota(c->fleet, x->row.server_num);
    struct quota_line *day = &q->lines[QUOTA_DAY];
    uint64_t live = window_used_since(&day->window, core_steady(c), x->row.opened_at) + q->reserved;
    if (day->limit) /* its window knows of the time before this start */
        live -= MIN(live, x->before);
    if (!*x->row.lines[line].provider)
        return x->before + live;
    return x->taken[line] + (live > x->after ? live - x->after : 0);
}

static void set_line(struct core *c, const struct warming_entry *x, size_t i, bool *loaded)
{
    const struct warmup_row *r = &x->row;
    const struct server *s = core_outlet(c, r->server_num)->server->server;
    struct limit_key k = key_of(r->server_num, r->lines[i].provider);
    struct limits limits = {.per_day = MAX(r->lines[i].cap, UINT64_C(1)),
                            .calendar = "UTC",
                            .counts = s->limits.counts,
                            .spread = SPREAD_ASAP}; /* a cap is there to be reached */
    int64_t now = core_steady(c);
    fleet_set_limit(c->fleet, &k, &limits, now);
    struct quota *q = fleet_limit(c->fleet, &k);
    struct quota_line *day = &q->lines[QUOTA_DAY];
    if (!r->opened_at) {
        bar(q);
        return;
    }
    if (!*loaded || day->opened_at != r->opened_at)
        quota_open_calendar(q, QUOTA_DAY, r->opened_at, r->closes_at);
    uint64_t used = *loaded ? 0 : used_before(c, x, i);
    if (used > day->used)
        quota_load(q, QUOTA_DAY, now, now, used - day->used);
    *loaded = true;
}

static void lift(struct core *c, uint16_t num, const char *provider)
{
    struct limit_key k = key_of(num, provider);
    fleet_set_limit(c->fleet, &k, NULL, core_steady(c));
}

static void set_others(struct core *c, const struct warmup_row *r, uint64_t last_cap)
{
    struct warmup_stand w = {0};
    if (r->n_lines)
        w = (struct warmup_stand){r->lines[0].day, r->lines[0].cap, last_cap};
    fleet_set_engagement(c->fleet, r->server_num, r->n_lines ? r->classes : 0, core_steady(c));
    fleet_set_warmup(c->fleet, r->server_num, &w);
}

static void apply_entry(struct core *c, const struct warming_entry *x)
{
    const struct warmup_row *r = &x->row;
    struct outlet *o = core_outlet(c, r->server_num);
    struct warming *w = map_u64_get(c->warmings, r->server_num);
    bool loaded[WARMUP_LINES_MAX] = {false};
    size_t at = 0;
    if (!o || !o->server || o->is_removed)
        return;
    if (!w) {
        w = alloc_one(struct warming);
        map_u64_set(c->warmings, r->server_num, w);
    }
    for (size_t i = 0; i < w->row.n_lines; i++) {
        if (line_of(r, w->row.lines[i].provider, &at))
            loaded[at] = w->loaded[i];
        else
            lift(c, r->server_num, w->row.lines[i].provider);
    }
    for (size_t i = 0; i < r->n_lines; i++)
        set_line(c, x, i, &loaded[i]);
    memcpy(w->loaded, loaded, sizeof w->loaded);
    w->row = *r;
    w->row.plan = NULL;
    set_others(c, r, x->last_cap);
}

static void forget(struct core *c, struct warming *w)
{
    uint16_t num = w->row.server_num;
    for (size_t i = 0; i < w->row.n_lines; i++)
        lift(c, num, w->row.lines[i].provider);
    w->row.n_lines = 0;
    set_others(c, &w->row, 0);
    map_u64_remove(c->warmings, num);
    free(w);
}

void warming_apply(struct core *c, const struct warming_load *l)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *w = NULL;
    while (map_u64_next(c->warmings, &pos, &num, &w)) {
        bool listed = false;
        for (size_t i = 0; i < l->n && !listed; i++)
            listed = l->entries[i].row.server_num == num;
        if (!listed && !((struct warming *)w)->is_turning)
            forget(c, w);
    }
    for (size_t i = 0; i < l->n; i++)
        apply_entry(c, &l->entries[i]);
    warming_second(c);
}

void warming_free(struct core *c)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *w = NULL;
    while (map_u64_next(c->warmings, &pos, &num, &w))
        free(w);
    map_u64_free(&c->warmings);
}

/* ---- the turn of the day */

struct turn_job {
    struct ledger_job lj;
    struct core *core;
    struct warmup_turn turn;
    struct warming_entry entry;
    int64_t started;
    bool found;
};

static bool turn_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct turn_job *t = container_of(lj, struct turn_job, lj);
    t->turn.db = db;
    t->turn.ids = &t->core->ids;
    if (!warmup_day_turn(&t->turn, e))
        return false;
    return read_one(db, t->turn.server_num, t->started, &t->entry, &t->found, e);
}

static void turn_done(struct ledger_job *lj)
{
    struct turn_job *t = container_of(lj, struct turn_job, lj);
    struct core *c = t->core;
    struct warming *w = map_u64_get(c->warmings, t->turn.server_num);
    if (w)
        w->is_turning = false;
    if (!lj->ok)
        log_event(LOG_ERROR, "warmup.failed", "%s: tried again", lj->error.text);
    else if (w && t->found)
        apply_entry(c, &t->entry);
    else if (w)
        forget(c, w);
    due_wake_all(c);
    warmup_row_free(&t->entry.row);
    free(t);
}

static void post_turn(struct core *c, struct warming *w, int64_t opened_at, int64_t closes_at)
{
    struct turn_job *t = alloc_one(struct turn_job);
    t->core = c;
    t->started = warming_started(c);
    t->turn = (struct warmup_turn){.server_num = w->row.server_num,
                                   .now_ms = core_steady(c),
                                   .opened_at = opened_at,
                                   .closes_at = closes_at};
    t->lj.order = LEDGER_ADMIN;
    t->lj.work = turn_work;
    t->lj.done = turn_done;
    w->is_turning = true;
    ledger_post(c->ledger, &t->lj);
}

static void look_at_day(struct core *c, struct warming *w)
{
    struct outlet *o = core_outlet(c, w->row.server_num);
    int64_t now = core_steady(c), opened = 0, closes = 0;
    if (w->is_turning || !o || !o->server ||
        (w->row.opened_at && now < w->row.closes_at - EARLY_MS))
        return;
    if (w->row.opened_at)
        bar_all(c, &w->row);
    const char *zone = o->server->server->limits.calendar;
    janitor_day(zone ? zone : "UTC", clock_wall_ms(), &opened, &closes);
    if (!w->row.opened_at || (opened >= w->row.closes_at && now >= w->row.closes_at))
        post_turn(c, w, opened, closes);
}

void warming_second(struct core *c)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *w = NULL;
    if (!c->ledger) /* the start itself: the first second sees to it */
        return;
    while (map_u64_next(c->warmings, &pos, &num, &w))
        look_at_day(c, w);
}

int64_t warming_started(const struct core *c)
{
    return c->started_boot + c->steady_offset;
}
