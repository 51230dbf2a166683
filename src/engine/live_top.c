/* live.top: the servers that matter most now, a bounded number of them, with rates. Rates are
 * sampled once a second while somebody looks (and LOOKED_MS after), so that a daemon nobody
 * watches pays nothing; until two samples are there they are null. Of 10,000 servers each look
 * costs a pass over small structs; only the lines shown are made in full. */
#include "base/alloc.h"
#include "engine/state.h"
#include "fleet/glance.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_MS  1000
#define LOOKED_MS 30000
#define MINUTE    60
#define LIMIT     50
#define LIMIT_MAX 200

struct rate { /* of one server, or of all */
    uint64_t sent, failed;
    uint32_t samples;
    double sent_now, sent_minute, failed_minute; /* a second */
};

struct top {
    struct core *core;
    struct timer *timer;
    int64_t looked_at, sampled_at; /* boot ms */
    struct rate all;
    struct rate *servers; /* by num */
    size_t n_servers;
};

struct row {
    uint16_t num;
    int64_t score;
    const char *name;
};

/* ---- rates ---- */

static void sample(struct rate *r, uint64_t sent, uint64_t failed, double seconds)
{
    if (r->samples && sent >= r->sent && failed >= r->failed) {
        double n = MIN(r->samples, (uint32_t)MINUTE);
        double s = (double)(sent - r->sent) / seconds, f = (double)(failed - r->failed) / seconds;
        r->sent_now = n < 2 ? s : (r->sent_now + s) / 2;
        r->sent_minute += (s - r->sent_minute) / n;
        r->failed_minute += (f - r->failed_minute) / n;
    }
    r->sent = sent;
    r->failed = failed;
    r->samples++;
}

static void sample_all(struct top *t, int64_t boot)
{
    struct core *c = t->core;
    double seconds = (double)MAX(boot - t->sampled_at, (int64_t)1) / 1000;
    uint64_t sent = 0, failed = 0;
    if (t->n_servers < c->n_outlets) {
        t->servers = alloc_resize(t->servers, c->n_outlets * sizeof *t->servers);
        memset(t->servers + t->n_servers, 0, (c->n_outlets - t->n_servers) * sizeof *t->servers);
        t->n_servers = c->n_outlets;
    }
    for (size_t i = 0; i < c->n_outlets; i++) {
        struct glance g;
        if (!c->outlets[i] || !fleet_glance(c->fleet, (uint16_t)i, &g))
            continue;
        sample(&t->servers[i], g.answered, g.failures, seconds);
        sent += g.answered;
        failed += g.failures;
    }
    sample(&t->all, sent, failed, seconds);
    t->sampled_at = boot;
}

static void on_timer(void *arg)
{
    struct top *t = arg;
    int64_t boot = loop_now_ms(t->core->loop);
    if (t->core->is_stopping || boot - t->looked_at > LOOKED_MS) {
        t->all.samples = 0;
        for (size_t i = 0; i < t->n_servers; i++)
            t->servers[i] = (struct rate){0};
        t->all = (struct rate){0};
        return;
    }
    sample_all(t, boot);
    timer_at(t->timer, boot + EVERY_MS);
}

static struct top *top_of(struct core *c)
{
    int64_t boot = loop_now_ms(c->loop);
    if (!c->top) {
        c->top = alloc_one(struct top);
        c->top->core = c;
        c->top->timer = timer_new(c->loop, on_timer, c->top);
    }
    c->top->looked_at = boot;
    if (!c->top->all.samples) {
        sample_all(c->top, boot);
        timer_at(c->top->timer, boot + EVERY_MS);
    }
    return c->top;
}

/* ---- order ---- */

/* How sick: what the user should see first. */
static int64_t sickness(const struct glance *g)
{
    static const int64_t by_state[OPER_COUNT] = {
        [OPER_DEGRADED] = 3, [OPER_SUSPECT] = 6,   [OPER_OPEN] = 7,          [OPER_HALF_OPEN] = 5,
        [OPER_RAMP] = 2,     [OPER_EXHAUSTED] = 4, [OPER_MISCONFIGURED] = 9, [OPER_QUARANTINED] = 8,
    };
    return g->admin == ADMIN_ACTIVE ? by_state[g->state] : g->admin == ADMIN_DISABLED ? -1 : 1;
}

static int64_t score_of(const struct top *t, uint16_t num, const struct glance *g, const char *sort)
{
    const struct rate *r = &t->servers[num];
    int64_t busy = (int64_t)(r->sent_minute * 1000) + g->in_flight;
    if (strcmp(sort, "rate") == 0)
        return busy;
    if (strcmp(sort, "failures") == 0)
        return (int64_t)(r->failed_minute * 1e9) + (int64_t)MIN(g->failures, UINT32_MAX);
    if (strcmp(sort, "name") == 0)
        return 0;
    return sickness(g) * INT64_C(1000000000000) + busy;
}

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool fits(const char *name, const char *filter)
{
    return !filter || !filter[0] || str_ifind(str_of(name), str_of(filter)) >= 0;
}

static size_t collect(struct top *t, json_t *args, const char *sort, struct row *rows,
                      uint64_t *states, size_t *total_out)
{
    struct core *c = t->core;
    const char *filter = json_string_value(json_object_get(args, "filter"));
    size_t n = 0;
    for (size_t i = 0; i < c->n_outlets; i++) {
        struct outlet *o = c->outlets[i];
        struct glance g;
        if (!o || !o->server || o->is_removed || !fleet_glance(c->fleet, o->num, &g))
            continue;
        ++*total_out;
        states[g.admin == ADMIN_ACTIVE ? (int)g.state : OPER_COUNT + (int)g.admin]++;
        if (fits(o->server->server->name, filter))
            rows[n++] =
                (struct row){o->num, score_of(t, o->num, &g, sort), o->server->server->name};
    }
    qsort(rows, n, sizeof *rows, compare);
    return n;
}

/* ---- lines ---- */

static double rounded(double v)
{
    return (double)(int64_t)(v * 100 + 0.5) / 100;
}

static void add_rates(json_t *j, const struct rate *r)
{
    bool known = r->samples > 1;
    json_object_set_new(j, "per_s", known ? json_real(rounded(r->sent_now)) : json_null());
    json_object_set_new(j, "per_s_minute",
                        known ? json_real(rounded(r->sent_minute)) : json_null());
    json_object_set_new(j, "failures_per_min",
                        known ? json_real(rounded(r->failed_minute * 60)) : json_null());
    json_object_set_new(j, "failures", json_integer((json_int_t)r->failed));
}

static json_t *line(struct top *t, const struct row *r)
{
    struct outlet *o = core_outlet(t->core, r->num);
    json_t *j = live_server(t->core, o);
    if (!j)
        return NULL;
    json_object_set_new(j, "name", json_string(r->name));
    json_object_set_new(j, "admin_state", json_string(admin_state_name(o->server->server->admin)));
    add_rates(j, &t->servers[r->num]);
    return j;
}

static json_t *states_json(const uint64_t *states)
{
    json_t *j = json_object();
    for (int i = 0; i < OPER_COUNT; i++)
        if (states[i])
            json_object_set_new(j, oper_state_name((enum oper_state)i),
                                json_integer((json_int_t)states[i]));
    for (int i = ADMIN_PAUSED; i <= ADMIN_DISABLED; i++)
        if (states[OPER_COUNT + i])
            json_object_set_new(j, admin_state_name((enum admin_state)i),
                                json_integer((json_int_t)states[OPER_COUNT + i]));
    return j;
}

json_t *live_top(struct core *c, json_t *args)
{
    struct top *t = top_of(c);
    uint64_t states[OPER_COUNT + 4] = {0};
    size_t total = 0;
    const char *sort = json_string_value(json_object_get(args, "sort"));
    json_int_t limit = json_integer_value(json_object_get(args, "limit"));
    json_int_t offset = json_integer_value(json_object_get(args, "offset"));
    struct row *rows = alloc_array(c->n_outlets + 1, sizeof *rows);
    if (t->n_servers < c->n_outlets)
        sample_all(t, loop_now_ms(c->loop));
    size_t n = collect(t, args, sort ? sort : "state", rows, states, &total);
    json_t *lines = json_array();
    limit = limit > 0 ? MIN(limit, (json_int_t)LIMIT_MAX) : LIMIT;
    for (size_t i = (size_t)MAX(offset, (json_int_t)0); i < n && limit > 0; i++, limit--) {
        json_t *j = line(t, &rows[i]);
        if (j)
            json_array_append_new(lines, j);
    }
    free(rows);
    json_t *j = json_pack("{s:b,s:s,s:b,s:I,s:I,s:o,s:o}", "paused", c->is_paused || c->is_held,
                          "held_why", c->held_why, "common_cause", fleet_in_common_cause(c->fleet),
                          "servers_total", (json_int_t)total, "servers_matching", (json_int_t)n,
                          "states", states_json(states), "servers", lines);
    json_object_set_new(j, "sent", json_integer((json_int_t)c->sent));
    add_rates(j, &t->all);
    return j;
}
