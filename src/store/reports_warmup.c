/* Warm-ups as JSON: where each stands today, what yesterday led to, and with `full` the whole
 * curve beside what was sent. */
#include "store/hours.h"
#include "store/reports.h"
#include "store/reports_parts.h"
#include "store/warmup.h"

#include <stdlib.h>

#define DAYS_SHOWN 60

static json_t *rate_of(uint64_t n, uint64_t of)
{
    return of ? json_real((double)n / (double)of) : json_null();
}

/* What the gate will look at when this day is over. */
static json_t *figures_json(const struct hour_sum *s)
{
    uint64_t answers = hour_answers(s), deferred = s->deferred + s->limited;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "sent", (json_int_t)s->sent,
                     "answers", (json_int_t)answers, "hard_bounces", (json_int_t)s->hard,
                     "deferrals", (json_int_t)deferred, "blocks", (json_int_t)s->blocked,
                     "complaints", (json_int_t)s->complaints, "hard_bounce_rate",
                     rate_of(s->hard, answers), "deferral_rate", rate_of(deferred, answers),
                     "complaint_rate", rate_of(s->complaints, s->sent));
}

static json_int_t cap_at(const json_t *caps, json_int_t day)
{
    size_t n = json_array_size(caps);
    return n ? json_integer_value(json_array_get(caps, (size_t)MIN(MAX(day, 1), (json_int_t)n) - 1))
             : 0;
}

static const json_t *caps_of(const json_t *plan, const char *provider)
{
    size_t i;
    const json_t *item;
    if (!*provider)
        return json_object_get(plan, "caps");
    json_array_foreach(json_object_get(plan, "providers"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "provider"));
        if (name && !strcmp(name, provider))
            return json_object_get(item, "caps");
    }
    return NULL;
}

static bool sum_today(struct db *db, const struct warmup_row *r, const char *provider,
                      struct hour_sum *out, struct err *e)
{
    int64_t since = r->opened_at ? r->opened_at / HOUR_MS * HOUR_MS : INT64_MAX;
    return hours_sum(db, r->server_num, *provider ? provider : NULL, since, INT64_MAX, out, e);
}

/* day, days, cap, sent today, the next cap, and what the last day led to. */
static bool add_line(struct db *db, const struct warmup_row *r, const json_t *plan, size_t i,
                     json_t *j, struct err *e)
{
    const struct warmup_line *l = &r->lines[i];
    const json_t *caps = caps_of(plan, l->provider);
    struct hour_sum s;
    if (!sum_today(db, r, l->provider, &s, e))
        return false;
    json_object_set_new(j, "day", json_integer(l->day));
    json_object_set_new(j, "days", json_integer((json_int_t)json_array_size(caps)));
    json_object_set_new(j, "cap", json_integer((json_int_t)l->cap));
    json_object_set_new(j, "used", json_integer((json_int_t)s.taken));
    json_object_set_new(
        j, "next_cap",
        json_integer(r->state == WARMUP_WARMING ? cap_at(caps, l->day + 1) : (json_int_t)l->cap));
    json_object_set_new(j, "last_day", json_string(l->why));
    json_object_set_new(j, "today", figures_json(&s));
    return true;
}

static json_t *classes_json(const struct warmup_row *r)
{
    json_t *list = json_array();
    for (int k = 1; k <= 7; k++)
        if (r->classes >> k & 1)
            json_array_append_new(list, json_integer(k));
    return json_pack("{s:o, s:b}", "engagement", list, "unknown", (int)(r->classes & 1));
}

static void add_state(const struct warmup_row *r, const json_t *plan, json_t *j)
{
    const char *name = json_string_value(json_object_get(plan, "name"));
    json_object_set_new(j, "state", json_string(warmup_state_name(r->state)));
    json_object_set_new(j, "why", json_string(r->why));
    json_object_set_new(j, "plan", json_string(name && *name ? name : "own"));
    json_object_set_new(j, "started_at", part_time(r->started_at));
    json_object_set_new(j, "day_began_at", part_time(r->opened_at));
    json_object_set_new(j, "day_ends_at", part_time(r->closes_at));
    json_object_set_new(j, "last_sent_at", part_time(r->last_sent_at));
    json_object_set_new(j, "allowed", classes_json(r));
    json_object_set_new(j, "gate",
                        json_pack("{s:O?, s:O?, s:O?}", "hard_bounces",
                                  json_object_get(plan, "hard_bounces"), "complaints",
                                  json_object_get(plan, "complaints"), "deferrals",
                                  json_object_get(plan, "deferrals")));
}

static bool add_lines(struct db *db, const struct warmup_row *r, const json_t *plan, json_t *j,
                      struct err *e)
{
    json_t *providers = json_array();
    bool ok = r->n_lines == 0 || add_line(db, r, plan, 0, j, e);
    for (size_t i = 1; ok && i < r->n_lines; i++) {
        json_t *p = json_pack("{s:s}", "provider", r->lines[i].provider);
        ok = add_line(db, r, plan, i, p, e);
        json_array_append_new(providers, p);
    }
    json_object_set_new(j, "providers", providers);
    return ok;
}

/* ---- with `full`: the days that are over, and the curve */

static bool add_past(struct db *db, const struct warmup_row *r, json_t *j, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT provider, opened_at, day, cap, sent, answers, hard, deferred, "
                             "blocked, complaints, why FROM warmup_day WHERE server_num = $1 "
                             "AND opened_at >= $2 ORDER BY opened_at DESC, provider LIMIT $3",
                             e);
    json_t *list = json_array();
    bool row = true, ok = s != NULL;
    if (s) {
        db_bind_i64(s, 1, r->server_num);
        db_bind_i64(s, 2, r->started_at - 24 * HOUR_MS);
        db_bind_i64(s, 3, DAYS_SHOWN * WARMUP_LINES_MAX);
    }
    while (ok && (ok = db_step(s, &row, e)) && row) {
        json_t *d = json_object();
        static const char *const names[] = {"day",  "cap",      "sent",   "answers",
                                            "hard", "deferred", "blocks", "complaints"};
        json_object_set_new(d, "provider", part_column(s, 0));
        json_object_set_new(d, "began_at", part_time(db_i64(s, 1)));
        for (size_t i = 0; i < countof(names); i++)
            json_object_set_new(d, names[i], json_integer((json_int_t)db_i64(s, 2 + (int)i)));
        json_object_set_new(d, "led_to", part_column(s, 10));
        json_array_insert_new(list, 0, d);
    }
    if (s)
        db_reset(s);
    json_object_set_new(j, "past", list);
    return ok;
}

static bool full_json(struct db *db, const struct warmup_row *r, const json_t *plan, json_t *j,
                      struct err *e)
{
    json_object_set(j, "curve", json_object_get(plan, "curve"));
    json_object_set(j, "planned", json_object_get(plan, "caps"));
    return add_past(db, r, j, e);
}

static bool one(struct db *db, uint16_t num, const char *name, bool full, json_t **out,
                struct err *e)
{
    struct warmup_row r;
    bool found = false;
    *out = NULL;
    if (!warmup_get(db, num, &r, &found, e))
        return false;
    if (!found)
        return true;
    json_t *plan = json_loads(r.plan, 0, NULL);
    *out = json_pack("{s:s}", "server", name);
    add_state(&r, plan, *out);
    bool ok = add_lines(db, &r, plan, *out, e) && (!full || full_json(db, &r, plan, *out, e));
    json_decref(plan);
    warmup_row_free(&r);
    if (!ok) {
        json_decref(*out);
        *out = NULL;
    }
    return ok;
}

static json_t *list_json(void *arg, struct db *db, struct stmt *s)
{
    struct err e;
    json_t *j = NULL;
    char *name = str_dup(db_text(s, 1));
    (void)arg;
    bool ok = one(db, (uint16_t)db_i64(s, 0), name, false, &j, &e);
    free(name);
    return ok && j ? j : json_object();
}

bool report_warmups(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db,
                       "SELECT s.num, s.name FROM warmup w JOIN server s ON s.num = w.server_num "
                       "WHERE s.removed_at IS NULL AND s.name > $1 ORDER BY s.name LIMIT $2",
                       p, 1, list_json, NULL, out, e);
}

static bool find_server(struct db *db, const char *name, uint16_t *num_out, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT num FROM server WHERE name = $1 AND removed_at IS NULL", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "server", name, e))
        return false;
    *num_out = (uint16_t)db_i64(s, 0);
    db_reset(s);
    return true;
}

bool report_warmup(struct db *db, const char *server, json_t **out, struct err *e)
{
    bool begun = false;
    uint16_t num = 0;
    *out = NULL;
    if (!part_begin(db, &begun, e))
        return false;
    bool ok = find_server(db, server, &num, e) && one(db, num, server, true, out, e);
    part_end(db, begun);
    if (ok && !*out)
        return err_set(e, ERR_NOT_FOUND,
                       "server \"%.120s\" is not warming up: postfleet warmup start", server);
    return ok;
}

const char *report_lifecycle(struct db *db, uint16_t server_num)
{
    static const char *const of_role[] = {"active", "reserve", "resting"};
    struct err e;
    struct stmt *s = db_stmt(db,
                             "SELECT (SELECT COUNT(*) FROM warmup_line WHERE server_num = $1), "
                             "(SELECT COALESCE(MIN(role), 0) FROM membership WHERE server_num = "
                             "$1)",
                             &e);
    bool row = false;
    if (!s)
        return "active";
    db_bind_i64(s, 1, server_num);
    if (!db_step(s, &row, &e) || !row)
        return "active";
    int64_t lines = db_i64(s, 0), role = db_i64(s, 1);
    db_reset(s);
    return lines ? "warming" : of_role[MIN((size_t)MAX(role, (int64_t)0), countof(of_role) - 1)];
}
