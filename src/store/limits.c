/* Tables limit_rule and limit_usage: see limits.h. */
#include "store/limits.h"

#include "base/alloc.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

#define MINUTE_S  60
#define HOUR_S    3600
#define DAY_MS    (INT64_C(24) * 3600000)
#define KEPT_DAYS 62 /* a month and the days of another zone */

/* What was written down changes the limits that batches count against. */
static unsigned generation = 1;

bool limits_set(struct db *db, const struct limit_row *l, int64_t wall_ms, struct err *e)
{
    struct stmt *s = db_stmt(
        db,
        "INSERT INTO limit_rule (kind, num, provider, per_second, per_minute, per_hour, per_day, "
        "per_month, calendar, spread, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
        "$10, $11) ON CONFLICT (kind, num, provider) DO UPDATE SET per_second = $4, "
        "per_minute = $5, per_hour = $6, per_day = $7, per_month = $8, calendar = $9, "
        "spread = $10, updated_at = $11",
        e);
    if (!s)
        return false;
    const struct limits *m = &l->limits;
    const uint64_t counts[] = {m->per_second, m->per_minute, m->per_hour, m->per_day, m->per_month};
    db_bind_i64(s, 1, l->kind);
    db_bind_i64(s, 2, l->num);
    db_bind_cstr(s, 3, l->provider);
    for (int i = 0; i < (int)countof(counts); i++)
        db_bind_i64(s, 4 + i, (int64_t)counts[i]);
    db_bind_cstr(s, 9, m->calendar);
    db_bind_i64(s, 10, (int64_t)m->spread);
    db_bind_i64(s, 11, wall_ms);
    generation++;
    return db_run(s, e);
}

bool limits_remove(struct db *db, int kind, uint32_t num, const char *provider, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "DELETE FROM limit_rule WHERE kind = $1 AND num = $2 AND provider = $3", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, kind);
    db_bind_i64(s, 2, num);
    db_bind_cstr(s, 3, provider);
    generation++;
    if (!db_run(s, e))
        return false;
    return db_changes(db) > 0 || err_set(e, ERR_NOT_FOUND, "there is no such limit");
}

static void read_row(struct stmt *s, struct limit_row *l)
{
    uint64_t *const counts[] = {&l->limits.per_second, &l->limits.per_minute, &l->limits.per_hour,
                                &l->limits.per_day, &l->limits.per_month};
    *l = (struct limit_row){.kind = (int)db_i64(s, 0), .num = (uint32_t)db_i64(s, 1)};
    str_copy(db_text(s, 2), l->provider, sizeof l->provider);
    for (int i = 0; i < (int)countof(counts); i++)
        *counts[i] = (uint64_t)db_i64(s, 3 + i);
    l->limits.calendar = db_is_null(s, 8) ? NULL : str_dup(db_text(s, 8));
    l->limits.spread = db_i64(s, 9) == SPREAD_ASAP ? SPREAD_ASAP : SPREAD_EVEN;
}

bool limits_forget(struct db *db, int kind, uint32_t num, struct err *e)
{
    static const char *const orders[] = {"DELETE FROM limit_rule WHERE kind = $1 AND num = $2",
                                         "DELETE FROM limit_usage WHERE kind = $1 AND num = $2"};
    generation++;
    for (size_t i = 0; i < countof(orders); i++) {
        struct stmt *s = db_stmt(db, orders[i], e);
        if (!s)
            return false;
        db_bind_i64(s, 1, kind);
        db_bind_i64(s, 2, num);
        if (!db_run(s, e))
            return false;
    }
    return true;
}

bool limits_load(struct db *db, struct limit_row **out, size_t *n_out, struct err *e)
{
    size_t cap = 0;
    bool row = true, ok = true;
    *out = NULL;
    *n_out = 0;
    struct stmt *s = db_stmt(db,
                             "SELECT kind, num, provider, per_second, per_minute, per_hour, "
                             "per_day, per_month, calendar, spread FROM limit_rule "
                             "ORDER BY kind, num, provider",
                             e);
    if (!s)
        return false;
    while ((ok = db_step(s, &row, e)) && row && *n_out < LIMITS_MAX) {
        if (*n_out == cap)
            *out = alloc_resize(*out, (cap = cap ? cap * 2 : 16) * sizeof **out);
        read_row(s, &(*out)[(*n_out)++]);
    }
    db_reset(s);
    return ok;
}

void limits_free_rows(struct limit_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(rows[i].limits.calendar);
    free(rows);
}

bool limits_usage(struct db *db, const struct limit_row *l, int64_t span_s, int64_t since,
                  void (*each)(void *arg, int64_t start_ms, uint64_t taken), void *arg,
                  struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT start, taken FROM limit_usage WHERE kind = $1 AND num = $2 "
                             "AND provider = $3 AND span_s = $4 AND start >= $5",
                             e);
    bool row = true, ok = s != NULL;
    if (!s)
        return false;
    db_bind_i64(s, 1, l->kind);
    db_bind_i64(s, 2, l->num);
    db_bind_cstr(s, 3, l->provider);
    db_bind_i64(s, 4, span_s);
    db_bind_i64(s, 5, since);
    while ((ok = db_step(s, &row, e)) && row)
        each(arg, db_i64(s, 0), (uint64_t)db_i64(s, 1));
    db_reset(s);
    return ok;
}

static bool sweep(struct db *db, const char *sql, int64_t span_s, int64_t before, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    if (!s)
        return false;
    db_bind_i64(s, 1, span_s);
    db_bind_i64(s, 2, before);
    return db_run(s, e);
}

bool limits_sweep(struct db *db, int64_t now_ms, struct err *e)
{
    static const char *const of_servers = "DELETE FROM usage WHERE span_s = $1 AND start < $2";
    static const char *const of_limits = "DELETE FROM limit_usage WHERE span_s = $1 AND start < $2";
    int64_t minutes = now_ms - 2 * DAY_MS, hours = now_ms - KEPT_DAYS * DAY_MS;
    return sweep(db, of_servers, MINUTE_S, minutes, e) && sweep(db, of_servers, HOUR_S, hours, e) &&
           sweep(db, of_limits, MINUTE_S, minutes, e) && sweep(db, of_limits, HOUR_S, hours, e);
}

/* By way of negative starts: a row may take the place of one that has not moved yet. */
bool limits_shift(struct db *db, int64_t ms, struct err *e)
{
    static const char *const steps[] = {"UPDATE usage SET start = -(start + $1)",
                                        "UPDATE usage SET start = -start WHERE $1 > 0",
                                        "UPDATE limit_usage SET start = -(start + $1)",
                                        "UPDATE limit_usage SET start = -start WHERE $1 > 0"};
    for (size_t i = 0; i < countof(steps); i++) {
        struct stmt *s = db_stmt(db, steps[i], e);
        if (!s)
            return false;
        db_bind_i64(s, 1, ms);
        if (!db_run(s, e))
            return false;
    }
    return true;
}

/* ---- counting */

struct taken {
    size_t rule; /* index in rules */
    int64_t span_s, start, n;
};

struct limit_counts {
    unsigned generation; /* of the rules below */
    struct limit_row *rules;
    size_t n_rules;
    struct taken *taken;
    size_t n_taken, cap_taken;
};

struct limit_counts *limit_counts_new(void)
{
    return alloc_one(struct limit_counts);
}

void limit_counts_free(struct limit_counts **cp)
{
    struct limit_counts *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    limits_free_rows(c->rules, c->n_rules);
    free(c->taken);
    free(c);
}

void limit_counts_drop(struct limit_counts *c)
{
    c->n_taken = 0;
    c->generation = 0; /* a transaction that was undone may have changed them */
}

/* enum limit_kind: 1 group, 2 campaign, 3 credential, 4 provider, 5 server x provider; the caps of
 * warm-up are counted by the warm-up. */
static bool concerns(const struct limit_row *l, const struct limit_take *t)
{
    switch (l->kind) {
    case 1: return !t->group_num || l->num == t->group_num;
    case 2: return l->num == t->campaign_num;
    case 3: return l->num == t->credential_num;
    case 4: return str_is(t->provider, l->provider);
    case 5: return l->num == t->server_num && str_is(t->provider, l->provider);
    default: return false;
    }
}

static void count(struct limit_counts *c, size_t rule, int64_t span_s, int64_t at)
{
    int64_t start = at / (span_s * 1000) * (span_s * 1000);
    for (size_t i = c->n_taken; i-- > 0;)
        if (c->taken[i].rule == rule && c->taken[i].span_s == span_s &&
            c->taken[i].start == start) {
            c->taken[i].n++;
            return;
        }
    if (c->n_taken == c->cap_taken)
        c->taken = alloc_resize(c->taken, (c->cap_taken = MAX(c->cap_taken * 2, (size_t)16)) *
                                              sizeof *c->taken);
    c->taken[c->n_taken++] = (struct taken){rule, span_s, start, 1};
}

/* Rules change rarely and never within a batch that has counted already: what it took goes first.
 */
static bool refresh(struct limit_counts *c, struct db *db, struct err *e)
{
    if (c->generation == generation)
        return true;
    if (!limit_counts_flush(c, db, e))
        return false;
    limits_free_rows(c->rules, c->n_rules);
    c->rules = NULL;
    c->n_rules = 0;
    if (!limits_load(db, &c->rules, &c->n_rules, e))
        return false;
    c->generation = generation;
    return true;
}

bool limit_counts_add(struct limit_counts *c, struct db *db, const struct limit_take *t,
                      struct err *e)
{
    if (!refresh(c, db, e))
        return false;
    for (size_t i = 0; i < c->n_rules; i++)
        if (concerns(&c->rules[i], t)) {
            count(c, i, MINUTE_S, t->at);
            count(c, i, HOUR_S, t->at);
        }
    return true;
}

bool limit_counts_flush(struct limit_counts *c, struct db *db, struct err *e)
{
    for (size_t i = 0; i < c->n_taken; i++) {
        const struct taken *t = &c->taken[i];
        const struct limit_row *l = &c->rules[t->rule];
        struct stmt *s =
            db_stmt(db,
                    "INSERT INTO limit_usage (kind, num, provider, span_s, start, taken) VALUES "
                    "($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, num, provider, span_s, start) "
                    "DO UPDATE SET taken = limit_usage.taken + $6",
                    e);
        if (!s)
            return false;
        db_bind_i64(s, 1, l->kind);
        db_bind_i64(s, 2, l->num);
        db_bind_cstr(s, 3, l->provider);
        db_bind_i64(s, 4, t->span_s);
        db_bind_i64(s, 5, t->start);
        db_bind_i64(s, 6, t->n);
        if (!db_run(s, e))
            return false;
    }
    c->n_taken = 0;
    return true;
}

/* ---- names */

bool limits_num_of(struct db *db, enum limits_of of, const char *name, uint32_t *num_out,
                   struct err *e)
{
    static const struct {
        const char *sql, *what;
    } kinds[] = {
        [LIMITS_OF_CAMPAIGN] = {"SELECT num FROM campaign WHERE name = $1", "campaign"},
        [LIMITS_OF_CREDENTIAL] = {"SELECT num FROM api_key WHERE name = $1 AND revoked_at IS NULL",
                                  "API key"},
        [LIMITS_OF_SERVER] = {"SELECT num FROM server WHERE name = $1 AND removed_at IS NULL",
                              "server"}};
    bool row = false;
    struct stmt *s = db_stmt(db, kinds[of].sql, e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_step(s, &row, e))
        return false;
    *num_out = row ? (uint32_t)db_i64(s, 0) : 0;
    db_reset(s);
    return row || err_set(e, ERR_NOT_FOUND, "there is no %s %s", kinds[of].what, name);
}
