/* Table webhook: see webhooks.h. */
#include "store/webhooks.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "store/names.h"
#include "store/outcome_log.h"

#include <stdlib.h>

#define SEALED_MAX 1024
#define COLUMNS                                                                                    \
    "id, name, url, secret, old_secret, old_until, events, servers, groups, tags, allow_private,"  \
    " state, state_reason, state_at, created_at, updated_at"

struct webhook *webhook_new(void)
{
    return alloc_one(struct webhook);
}

void webhook_free(struct webhook **wp)
{
    struct webhook *w = *wp;
    *wp = NULL;
    if (!w)
        return;
    free(w->name);
    free(w->url);
    free(w->events);
    free(w->servers);
    free(w->groups);
    free(w->tags);
    free(w->state_reason);
    secret_free(&w->secret);
    secret_free(&w->old_secret);
    free(w);
}

void webhooks_free_list(struct webhook **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        webhook_free(&list[i]);
    free(list);
}

/* ---- writing */

static bool bind_secret(struct stmt *st, int at, const struct secrets *s, uint64_t id,
                        const char *column, const struct secret *plain, struct err *e)
{
    struct buf sealed;
    if (!plain)
        return true;
    buf_init(&sealed, SEALED_MAX);
    bool ok = secrets_seal(s, "webhook", id, column, secret_reveal(plain), &sealed, e);
    if (ok)
        db_bind_blob(st, at, buf_str(&sealed));
    buf_free(&sealed);
    return ok;
}

static bool bind_all(struct stmt *st, const struct secrets *s, const struct webhook *w,
                     struct err *e)
{
    db_bind_i64(st, 1, (int64_t)w->id);
    db_bind_cstr(st, 2, w->url);
    db_bind_i64(st, 5, w->old_until);
    db_bind_text(st, 6, str_of(w->events));
    db_bind_text(st, 7, str_of(w->servers));
    db_bind_text(st, 8, str_of(w->groups));
    db_bind_text(st, 9, str_of(w->tags));
    db_bind_i64(st, 10, w->allow_private);
    db_bind_i64(st, 11, w->state);
    db_bind_text(st, 12, str_of(w->state_reason));
    db_bind_i64(st, 13, w->state_at);
    db_bind_i64(st, 14, w->updated_at);
    return bind_secret(st, 3, s, w->id, "secret", w->secret, e) &&
           bind_secret(st, 4, s, w->id, "old_secret", w->old_secret, e);
}

static bool check_room(struct db *db, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT count(*) FROM webhook", e);
    if (!s || !db_step(s, &row, e))
        return false;
    int64_t n = db_i64(s, 0);
    db_reset(s);
    return n < WEBHOOKS_MAX ||
           err_set(e, ERR_REFUSED, "there are %d webhooks; remove some first", WEBHOOKS_MAX);
}

/* Ids grow, so all that comes from now on has a greater one than the webhook's own. */
static bool create_place(struct db *db, uint64_t id, struct err *e)
{
    int64_t last = 0;
    if (!outcome_log_last(db, &last, e))
        return false;
    struct stmt *s = db_stmt(db,
                             "INSERT INTO webhook_place (webhook_id, event_id, message_id, log_seq,"
                             " log_at, delivered, failed, skipped, failing_since)"
                             " VALUES ($1, $1, $1, $2, 0, 0, 0, 0, 0)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, last);
    return db_run(s, e);
}

bool webhooks_create(struct db *db, const struct secrets *s, const struct webhook *w, struct err *e)
{
    struct err own = {0};
    if (!names_check_new("webhook", w->name, e) || !check_room(db, e))
        return false;
    struct stmt *st = db_stmt(db,
                              "INSERT INTO webhook (id, url, secret, old_secret, old_until, events,"
                              " servers, groups, tags, allow_private, state, state_reason,"
                              " state_at, updated_at, name, created_at) VALUES ($1, $2, $3, $4, $5,"
                              " $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
                              e);
    if (!st || !bind_all(st, s, w, e))
        return false;
    db_bind_cstr(st, 15, w->name);
    db_bind_i64(st, 16, w->created_at);
    if (db_run(st, &own))
        return create_place(db, w->id, e);
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a webhook named %s already", w->name);
    return err_set(e, own.code, "%s", own.text);
}

bool webhooks_update(struct db *db, const struct secrets *s, const struct webhook *w, struct err *e)
{
    struct stmt *st = db_stmt(db,
                              "UPDATE webhook SET url = $2, secret = COALESCE($3, secret),"
                              " old_secret = COALESCE($4, old_secret), old_until = $5,"
                              " events = $6, servers = $7, groups = $8, tags = $9,"
                              " allow_private = $10, state = $11, state_reason = $12,"
                              " state_at = $13, updated_at = $14 WHERE id = $1",
                              e);
    return st && bind_all(st, s, w, e) && db_run(st, e);
}

static bool delete_from(struct db *db, const char *sql, uint64_t id, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    return db_run(s, e);
}

bool webhooks_remove(struct db *db, uint64_t id, struct err *e)
{
    return delete_from(db, "DELETE FROM webhook_wait WHERE webhook_id = $1", id, e) &&
           delete_from(db, "DELETE FROM webhook_log WHERE webhook_id = $1", id, e) &&
           delete_from(db, "DELETE FROM webhook_place WHERE webhook_id = $1", id, e) &&
           delete_from(db, "DELETE FROM webhook WHERE id = $1", id, e);
}

bool webhooks_disable(struct db *db, uint64_t id, const char *reason, int64_t now_ms,
                      bool *changed_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE webhook SET state = $2, state_reason = $3, state_at = $4"
                             " WHERE id = $1 AND state = $5",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, WEBHOOK_DISABLED);
    db_bind_cstr(s, 3, reason);
    db_bind_i64(s, 4, now_ms);
    db_bind_i64(s, 5, WEBHOOK_ACTIVE);
    if (!db_run(s, e))
        return false;
    *changed_out = db_changes(db) > 0;
    return true;
}

/* ---- reading */

static char *column(struct stmt *s, int col)
{
    return db_is_null(s, col) ? NULL : str_dup(db_text(s, col));
}

static bool open_secret(const struct secrets *s, struct stmt *st, int col, uint64_t id,
                        const char *name, struct secret **out, struct err *e)
{
    return !s || db_is_null(st, col) ||
           secrets_unseal(s, "webhook", id, name, db_blob(st, col), out, e);
}

static bool read_row(struct stmt *st, const struct secrets *s, struct webhook **out, struct err *e)
{
    struct webhook *w = *out = webhook_new();
    w->id = (uint64_t)db_i64(st, 0);
    w->name = column(st, 1);
    w->url = column(st, 2);
    w->old_until = db_i64(st, 5);
    w->events = column(st, 6);
    w->servers = column(st, 7);
    w->groups = column(st, 8);
    w->tags = column(st, 9);
    w->allow_private = db_i64(st, 10) != 0;
    w->state = (enum webhook_state)db_i64(st, 11);
    w->state_reason = column(st, 12);
    w->state_at = db_i64(st, 13);
    w->created_at = db_i64(st, 14);
    w->updated_at = db_i64(st, 15);
    if (open_secret(s, st, 3, w->id, "secret", &w->secret, e) &&
        open_secret(s, st, 4, w->id, "old_secret", &w->old_secret, e))
        return true;
    webhook_free(out);
    return false;
}

bool webhooks_get(struct db *db, const struct secrets *s, const char *name, struct webhook **out,
                  struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM webhook WHERE name = $1", e);
    *out = NULL;
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    if (!db_step(st, &row, e))
        return false;
    bool ok = row ? read_row(st, s, out, e)
                  : err_set(e, ERR_NOT_FOUND, "webhook \"%.80s\": there is none", name);
    db_reset(st);
    return ok;
}

bool webhooks_load(struct db *db, const struct secrets *s, struct webhook ***out, size_t *n_out,
                   struct err *e)
{
    struct webhook **all = alloc_many(struct webhook *, WEBHOOKS_MAX);
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM webhook ORDER BY id", e);
    size_t n = 0;
    bool row = false, ok = st != NULL;
    while (ok && n < WEBHOOKS_MAX && (ok = db_step(st, &row, e)) && row) {
        struct err own = {0};
        if (read_row(st, s, &all[n], &own))
            n++;
        else
            log_event(LOG_ERROR, "webhook.secret", "%s", own.text);
    }
    if (st)
        db_reset(st);
    if (!ok) {
        webhooks_free_list(all, n);
        return false;
    }
    *out = all;
    *n_out = n;
    return true;
}

bool webhooks_wanted(struct db *db, unsigned *out, struct err *e)
{
    bool row = false, ok = true;
    struct stmt *s = db_stmt(db, "SELECT events FROM webhook", e);
    *out = 0;
    if (!s)
        return false;
    while ((ok = db_step(s, &row, e)) && row)
        for (int v = 0; v < HOOK_EVENTS; v++)
            if (v != HOOK_QUEUED &&
                hook_patterns_have(db_text(s, 0), str_of(hook_event_name((enum hook_event)v))))
                *out |= 1u << v;
    db_reset(s);
    return ok;
}
