/* Tables warmup, warmup_line, warmup_day: see warmup.h. */
#include "store/warmup.h"
#include "base/alloc.h"

#include <stdlib.h>

static const char *const states[WARMUP_STATES] = {"warming", "held", "idle", "finished"};

const char *warmup_state_name(enum warmup_state v)
{
    return (size_t)v < countof(states) ? states[v] : "?";
}

void warmup_row_free(struct warmup_row *r)
{
    free(r->plan);
    *r = (struct warmup_row){0};
}

static bool read_lines(struct db *db, struct warmup_row *r, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT provider, day, cap, why FROM warmup_line WHERE server_num = "
                             "$1 ORDER BY provider",
                             e);
    bool row = true, ok = s != NULL;
    if (!s)
        return false;
    db_bind_i64(s, 1, r->server_num);
    while ((ok = db_step(s, &row, e)) && row && r->n_lines < WARMUP_LINES_MAX) {
        struct warmup_line *l = &r->lines[r->n_lines++];
        str_copy(db_text(s, 0), l->provider, sizeof l->provider);
        l->day = (uint32_t)db_i64(s, 1);
        l->cap = (uint64_t)db_i64(s, 2);
        str_copy(db_text(s, 3), l->why, sizeof l->why);
    }
    db_reset(s);
    return ok;
}

bool warmup_get(struct db *db, uint16_t server_num, struct warmup_row *out, bool *found_out,
                struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT plan, state, why, opened_at, closes_at, classes, "
                             "last_sent_at, started_at FROM warmup WHERE server_num = $1",
                             e);
    bool row = false;
    *out = (struct warmup_row){.server_num = server_num};
    *found_out = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    if (!db_step(s, &row, e))
        return false;
    if (!row)
        return true;
    *found_out = true;
    out->plan = str_dup(db_text(s, 0));
    out->state = (enum warmup_state)db_i64(s, 1);
    str_copy(db_text(s, 2), out->why, sizeof out->why);
    out->opened_at = db_i64(s, 3);
    out->closes_at = db_i64(s, 4);
    out->classes = (uint32_t)db_i64(s, 5);
    out->last_sent_at = db_i64(s, 6);
    out->started_at = db_i64(s, 7);
    db_reset(s);
    if (read_lines(db, out, e))
        return true;
    warmup_row_free(out);
    return false;
}

static bool run_on(struct db *db, const char *sql, uint16_t server_num, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    return db_run(s, e);
}

static bool put_line(struct db *db, uint16_t server_num, const struct warmup_line *l, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO warmup_line (server_num, provider, day, cap, why) VALUES "
                             "($1, $2, $3, $4, $5)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_cstr(s, 2, l->provider);
    db_bind_i64(s, 3, l->day);
    db_bind_i64(s, 4, (int64_t)l->cap);
    db_bind_cstr(s, 5, l->why);
    return db_run(s, e);
}

bool warmup_put(struct db *db, const struct warmup_row *r, struct err *e)
{
    if (!run_on(db, "DELETE FROM warmup WHERE server_num = $1", r->server_num, e) ||
        !run_on(db, "DELETE FROM warmup_line WHERE server_num = $1", r->server_num, e))
        return false;
    struct stmt *s = db_stmt(db,
                             "INSERT INTO warmup (server_num, plan, state, why, opened_at, "
                             "closes_at, classes, last_sent_at, started_at) VALUES "
                             "($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->server_num);
    db_bind_cstr(s, 2, r->plan);
    db_bind_i64(s, 3, r->state);
    db_bind_cstr(s, 4, r->why);
    db_bind_i64(s, 5, r->opened_at);
    db_bind_i64(s, 6, r->closes_at);
    db_bind_i64(s, 7, r->classes);
    db_bind_i64(s, 8, r->last_sent_at);
    db_bind_i64(s, 9, r->started_at);
    bool ok = db_run(s, e);
    for (size_t i = 0; ok && i < r->n_lines; i++)
        ok = put_line(db, r->server_num, &r->lines[i], e);
    return ok;
}

bool warmup_remove(struct db *db, uint16_t server_num, struct err *e)
{
    return run_on(db, "DELETE FROM warmup WHERE server_num = $1", server_num, e) &&
           run_on(db, "DELETE FROM warmup_line WHERE server_num = $1", server_num, e);
}

bool warmup_servers(struct db *db, uint16_t **out, size_t *n_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT w.server_num FROM warmup w JOIN server s ON s.num = "
                             "w.server_num WHERE s.removed_at IS NULL ORDER BY w.server_num",
                             e);
    bool row = true, ok = s != NULL;
    size_t cap = 0;
    *out = NULL;
    *n_out = 0;
    if (!s)
        return false;
    while ((ok = db_step(s, &row, e)) && row) {
        if (*n_out == cap) {
            cap = MAX(cap * 2, (size_t)16);
            *out = alloc_resize(*out, cap * sizeof **out);
        }
        (*out)[(*n_out)++] = (uint16_t)db_i64(s, 0);
    }
    db_reset(s);
    return ok;
}

bool warmup_add_day(struct db *db, const struct warmup_past *d, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO warmup_day (server_num, provider, opened_at, day, cap, "
                             "sent, answers, hard, deferred, blocked, complaints, move, why) "
                             "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13) "
                             "ON CONFLICT (server_num, provider, opened_at) DO NOTHING",
                             e);
    if (!s)
        return false;
    const int64_t numbers[] = {
        d->day,           (int64_t)d->cap,      (int64_t)d->sent,    (int64_t)d->answers,
        (int64_t)d->hard, (int64_t)d->deferred, (int64_t)d->blocked, (int64_t)d->complaints,
        d->move};
    db_bind_i64(s, 1, d->server_num);
    db_bind_cstr(s, 2, d->provider);
    db_bind_i64(s, 3, d->opened_at);
    for (size_t i = 0; i < countof(numbers); i++)
        db_bind_i64(s, 4 + (int)i, numbers[i]);
    db_bind_cstr(s, 13, d->why);
    return db_run(s, e);
}

bool warmup_knows_engagement(struct db *db, bool *out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT 1 FROM contact_field WHERE name = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, "engagement");
    if (!db_step(s, out, e))
        return false;
    db_reset(s);
    return true;
}

bool warmup_taken(struct db *db, uint16_t server_num, int64_t since, int64_t until, uint64_t *out,
                  struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT COALESCE(SUM(taken), 0) FROM usage WHERE server_num = $1 AND "
                             "span_s = 60 AND start >= $2 AND start < $3",
                             e);
    bool row = false;
    *out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_i64(s, 2, since);
    db_bind_i64(s, 3, until);
    if (!db_step(s, &row, e))
        return false;
    *out = row ? (uint64_t)db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}
