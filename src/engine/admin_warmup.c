/* Operations on warm-ups: plans, start, hold, release, skip, stop. They write what shall hold; the
 * reactor brings it into force (engine/warming.c) before the caller gets his answer. */
#include "base/alloc.h"
#include "engine/admin_parts.h"
#include "engine/warmup_day.h"
#include "engine/warmup_plan.h"
#include "model/server.h"
#include "store/servers.h"
#include "store/warmup.h"

#include <stdio.h>
#include <stdlib.h>

static bool run_plans(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    json_t *plans = NULL;
    (void)c, (void)tail;
    if (!args_known(args, (const char *const[]){NULL}, e) || !warmup_plans_all(&plans, e))
        return false;
    *data_out = json_pack("{s:o, s:n, s:b}", "data", plans, "next", "has_more", 0);
    return true;
}

/* ---- start */

static bool choose_plan(json_t *args, json_t **plan_out, struct err *e)
{
    const char *name = NULL, *curve = NULL;
    if (!args_text(args, "plan", 64, &name, e) || !args_text(args, "curve", 4096, &curve, e))
        return false;
    if (!name == !curve)
        return err_set(e, ERR_INVALID,
                       "plan: name one of `warmup plans`, or give a curve (--table 50,100,200)");
    return name ? warmup_plans_find(name, plan_out, e) : warmup_plan_of_curve(curve, plan_out, e);
}

static bool add_provider(void *arg, const char *text, struct err *e)
{
    return warmup_plan_set(arg, "providers", text, e);
}

static bool adjust_plan(json_t *args, json_t *plan, struct err *e)
{
    static const char *const fields[] = {"classes", "unknown", "hard_bounces", "complaints",
                                         "deferrals"};
    for (size_t i = 0; i < countof(fields); i++) {
        const json_t *v = json_object_get(args, fields[i]);
        char number[40] = "";
        const char *text = json_string_value(v);
        if (!v || json_is_null(v))
            continue;
        if (json_is_number(v))
            snprintf(number, sizeof number, "%g", json_number_value(v));
        else if (!text)
            return err_set(e, ERR_INVALID, "%s: must be a text or a number", fields[i]);
        if (!warmup_plan_set(plan, fields[i], text ? text : number, e))
            return false;
    }
    return args_each(args, "provider", 4096, add_provider, plan, e);
}

/* The lines of a new warm-up: the server and the plan's providers, all at this day. */
static void begin_lines(const struct warmup_plan *p, uint32_t day, struct warmup_row *r)
{
    r->n_lines = 0;
    r->lines[r->n_lines++] = (struct warmup_line){.day = day};
    for (size_t i = 0; i < p->n_providers; i++) {
        struct warmup_line *l = &r->lines[r->n_lines++];
        *l = (struct warmup_line){.day = MIN(day, p->providers[i].curve.n)};
        str_copy(str_of(p->providers[i].name), l->provider, sizeof l->provider);
    }
}

static json_t *answer_of(const char *server, const struct warmup_row *r)
{
    json_t *j = json_pack("{s:s, s:s, s:s}", "server", server, "state", warmup_state_name(r->state),
                          "why", r->why);
    if (r->n_lines) {
        json_object_set_new(j, "day", json_integer(r->lines[0].day));
        json_object_set_new(j, "cap", json_integer((json_int_t)r->lines[0].cap));
    }
    return j;
}

/* Writes the row, tells it, and lets the reactor read it. Frees nothing. */
static bool put(struct admin_context *c, const char *server, struct warmup_row *r, const char *kind,
                json_t **data_out, struct err *e)
{
    struct warmup_plan *p = NULL;
    bool known = false;
    char reason[300], who[ACTOR_MAX];
    if (!warmup_plan_read(r->plan, &p, e) || !warmup_knows_engagement(c->db, &known, e)) {
        free(p);
        return false;
    }
    warmup_day_caps(p, known, r);
    free(p);
    const char *actor = actor_name(c, who);
    if (r->n_lines)
        snprintf(reason, sizeof reason, "day %u, at most %llu a day, by %s", r->lines[0].day,
                 (unsigned long long)r->lines[0].cap, actor);
    else
        snprintf(reason, sizeof reason, "by %s", actor);
    if (!warmup_put(c->db, r, e) ||
        !warmup_event(c->db, c->ids, c->wall_ms, r->server_num, kind, reason, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    *data_out = answer_of(server, r);
    return true;
}

static bool start_row(json_t *args, const json_t *plan, struct warmup_row *r, struct err *e)
{
    struct warmup_plan *p = NULL;
    uint64_t day = 1;
    r->plan = json_dumps(plan, JSON_COMPACT);
    if (!warmup_plan_read(r->plan, &p, e))
        return false;
    bool ok = args_count(args, "from_day", 1, 1, p->curve.n, &day, e);
    if (ok)
        begin_lines(p, (uint32_t)day, r);
    free(p);
    return ok;
}

static bool run_start(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    static const char *const known[] = {"server",     "plan",      "curve",   "from_day",
                                        "provider",   "classes",   "unknown", "hard_bounces",
                                        "complaints", "deferrals", NULL};
    const char *name = NULL;
    struct server *s = NULL;
    json_t *plan = NULL;
    (void)tail;
    if (!args_known(args, known, e) || !args_need(args, "server", 4096, &name, e) ||
        !choose_plan(args, &plan, e))
        return false;
    struct warmup_row r = {.state = WARMUP_WARMING, .started_at = c->wall_ms}, old = {0};
    bool had = false;
    bool ok = servers_get(c->db, NULL, name, &s, e) && adjust_plan(args, plan, e) &&
              start_row(args, plan, &r, e) && warmup_get(c->db, s->num, &old, &had, e);
    if (ok && had && old.state != WARMUP_FINISHED && old.state != WARMUP_IDLE)
        ok = err_set(e, ERR_CONFLICT, "server \"%s\" is warming up already: `warmup stop` it first",
                     name);
    if (ok) {
        r.server_num = s->num;
        r.opened_at = had ? old.opened_at : 0; /* the day that runs goes on */
        r.closes_at = had ? old.closes_at : 0;
        ok = put(c, name, &r, "warmup.started", data_out, e);
    }
    warmup_row_free(&old);
    warmup_row_free(&r);
    server_free(&s);
    json_decref(plan);
    return ok;
}

/* ---- what the user does to one */

static bool find(struct admin_context *c, json_t *args, const char *const *known,
                 const char **name_out, struct warmup_row *r, struct err *e)
{
    struct server *s = NULL;
    bool found = false;
    *r = (struct warmup_row){0};
    if (!args_known(args, known, e) || !args_need(args, "server", 4096, name_out, e) ||
        !servers_get(c->db, NULL, *name_out, &s, e))
        return false;
    bool ok = warmup_get(c->db, s->num, r, &found, e) &&
              (found || err_set(e, ERR_NOT_FOUND,
                                "server \"%s\" is not warming up: `warmup start %s --plan ...`",
                                *name_out, *name_out));
    server_free(&s);
    return ok;
}

/* What the user does to a warm-up; an edit gives false with *e when it is in no state for it. */
struct edit {
    struct admin_context *c;
    json_t *args;
    const char *server;
    struct warmup_row *row;
    const char *nothing; /* set: why there is nothing to do */
};
typedef bool edit_row(struct edit *x, struct err *e);

static bool change(struct admin_context *c, json_t *args, edit_row *edit, const char *kind,
                   json_t **data_out, struct err *e)
{
    static const char *const known[] = {"server", "days", NULL};
    struct warmup_row r;
    struct edit x = {.c = c, .args = args, .row = &r};
    if (!find(c, args, known, &x.server, &r, e))
        return false;
    bool ok = edit(&x, e);
    if (ok && x.nothing) {
        *data_out = answer_of(x.server, &r);
        json_object_set_new(*data_out, "nothing_to_do", json_string(x.nothing));
    } else if (ok) {
        ok = put(c, x.server, &r, kind, data_out, e);
    }
    warmup_row_free(&r);
    return ok;
}

static bool no_days(struct edit *x, struct err *e)
{
    return !json_object_get(x->args, "days") ||
           err_set(e, ERR_INVALID, "days: there is no such field here");
}

static bool hold(struct edit *x, struct err *e)
{
    struct warmup_row *r = x->row;
    char who[ACTOR_MAX];
    if (!no_days(x, e))
        return false;
    if (r->state == WARMUP_HELD)
        x->nothing = "it is held already";
    else if (r->state != WARMUP_WARMING)
        return err_set(e, ERR_CONFLICT, "server \"%s\": its warm-up is %s, not warming", x->server,
                       warmup_state_name(r->state));
    if (x->nothing)
        return true;
    r->state = WARMUP_HELD;
    snprintf(r->why, sizeof r->why, "held by %s", actor_name(x->c, who));
    return true;
}

static bool release(struct edit *x, struct err *e)
{
    struct warmup_row *r = x->row;
    if (!no_days(x, e))
        return false;
    if (r->state == WARMUP_FINISHED)
        return err_set(e, ERR_CONFLICT, "server \"%s\": its warm-up is finished", x->server);
    if (r->state == WARMUP_WARMING) {
        x->nothing = "its warm-up is not held";
        return true;
    }
    bool mature = r->state == WARMUP_IDLE && !r->n_lines;
    r->started_at = r->state == WARMUP_IDLE ? x->c->wall_ms : r->started_at;
    r->state = mature ? WARMUP_FINISHED : WARMUP_WARMING;
    r->last_sent_at = MAX(r->last_sent_at, r->started_at);
    r->why[0] = 0;
    return true;
}

static void move_lines(struct warmup_row *r, const struct warmup_plan *p, uint64_t days)
{
    for (size_t i = 0; i < r->n_lines; i++) {
        uint32_t n = i && i <= p->n_providers ? p->providers[i - 1].curve.n : p->curve.n;
        for (size_t k = 0; i && k < p->n_providers; k++)
            if (!strcmp(p->providers[k].name, r->lines[i].provider))
                n = p->providers[k].curve.n;
        r->lines[i].day = (uint32_t)MIN(r->lines[i].day + days, (uint64_t)n);
    }
}

/* Days forward at once: the caps of today rise. */
static bool skip(struct edit *x, struct err *e)
{
    struct warmup_row *r = x->row;
    struct warmup_plan *p = NULL;
    uint64_t days = 1;
    if (!args_count(x->args, "days", 1, 1, WARMUP_DAYS_MAX, &days, e) ||
        !warmup_plan_read(r->plan, &p, e))
        return false;
    bool ok = r->state != WARMUP_FINISHED && r->n_lines && r->lines[0].day + days <= p->curve.n;
    if (r->state == WARMUP_FINISHED)
        err_set(e, ERR_CONFLICT, "server \"%s\": its warm-up is finished", x->server);
    else if (!ok)
        err_set(e, ERR_CONFLICT,
                "server \"%s\": there are no %llu days left to skip; "
                "`warmup stop` ends its warm-up",
                x->server, (unsigned long long)days);
    if (ok)
        move_lines(r, p, days);
    free(p);
    return ok;
}

static bool run_hold(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    return change(c, args, hold, "warmup.held", data_out, e);
}

static bool run_release(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                        struct err *e)
{
    (void)tail;
    return change(c, args, release, "warmup.released", data_out, e);
}

static bool run_skip(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    return change(c, args, skip, "warmup.skipped", data_out, e);
}

static bool run_stop(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    const char *name = NULL;
    struct warmup_row r;
    (void)tail;
    if (!find(c, args, (const char *const[]){"server", NULL}, &name, &r, e))
        return false;
    bool ok = warmup_remove(c->db, r.server_num, e) && note_event(c, "warmup.stopped", name, e);
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    *data_out = ok ? json_pack("{s:s, s:b}", "server", name, "stopped", 1) : NULL;
    warmup_row_free(&r);
    return ok;
}

static const struct admin_entry entries[] = {
    {"warmup.plans", run_plans, true, false}, {"warmup.start", run_start, false, false},
    {"warmup.hold", run_hold, false, false},  {"warmup.release", run_release, false, false},
    {"warmup.skip", run_skip, false, false},  {"warmup.stop", run_stop, false, false}};
const struct admin_noun admin_warmups = {entries, countof(entries)};
