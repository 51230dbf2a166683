/* Tables webhook_place, webhook_wait and webhook_log: see webhooks.h. */
#include "store/webhooks.h"

/* ---- places */

bool webhook_place_get(struct db *db, uint64_t id, struct webhook_place *out, bool *found_out,
                       struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT event_id, message_id, log_seq, log_at, delivered, skipped,"
                             " failing_since, failed FROM webhook_place WHERE webhook_id = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, found_out, e))
        return false;
    if (!*found_out)
        return true;
    *out = (struct webhook_place){.webhook_id = id,
                                  .event_id = (uint64_t)db_i64(s, 0),
                                  .message_id = (uint64_t)db_i64(s, 1),
                                  .log_seq = db_i64(s, 2),
                                  .log_at = (uint32_t)db_i64(s, 3),
                                  .delivered = db_i64(s, 4),
                                  .skipped = db_i64(s, 5),
                                  .failing_since = db_i64(s, 6),
                                  .failed = db_i64(s, 7)};
    db_reset(s);
    return true;
}

bool webhook_place_put(struct db *db, const struct webhook_place *p, struct err *e)
{
    struct stmt *s =
        db_stmt(db,
                "UPDATE webhook_place SET event_id = $2, message_id = $3, log_seq = $4,"
                " log_at = $5, delivered = $6, skipped = $7, failing_since = $8, failed = $9"
                " WHERE webhook_id = $1",
                e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)p->webhook_id);
    db_bind_i64(s, 2, (int64_t)p->event_id);
    db_bind_i64(s, 3, (int64_t)p->message_id);
    db_bind_i64(s, 4, p->log_seq);
    db_bind_i64(s, 5, p->log_at);
    db_bind_i64(s, 6, p->delivered);
    db_bind_i64(s, 7, p->skipped);
    db_bind_i64(s, 8, p->failing_since);
    db_bind_i64(s, 9, p->failed);
    return db_run(s, e);
}

static bool one_number(struct db *db, const char *sql, int64_t *out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, sql, e);
    if (!s || !db_step(s, &row, e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool webhook_places_through(struct db *db, int64_t *seq_out, struct err *e)
{
    return one_number(db, "SELECT COALESCE(MIN(log_seq), 9223372036854775807) FROM webhook_place",
                      seq_out, e);
}

bool webhook_newest(struct db *db, uint64_t *event_out, uint64_t *message_out, struct err *e)
{
    int64_t event = 0, message = 0;
    bool ok = one_number(db, "SELECT COALESCE(MAX(id), 0) FROM event", &event, e) &&
              one_number(db, "SELECT COALESCE(MAX(id), 0) FROM message", &message, e);
    *event_out = (uint64_t)event;
    *message_out = (uint64_t)message;
    return ok;
}

bool webhook_next_event(struct db *db, uint64_t after, uint64_t *id_out, int64_t *at_out,
                        const char **type_out, bool *found_out, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT id, at, kind FROM event WHERE id > $1 ORDER BY id LIMIT 1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)after);
    if (!db_step(s, found_out, e))
        return false;
    if (!*found_out)
        return true;
    *id_out = (uint64_t)db_i64(s, 0);
    *at_out = db_i64(s, 1);
    *type_out = hook_name_of_kind(db_text(s, 2));
    db_reset(s);
    return true;
}

bool webhook_messages_after(struct db *db, uint64_t after, uint32_t limit, uint64_t *out,
                            uint32_t *n_out, struct err *e)
{
    bool row = false, ok = true;
    struct stmt *s = db_stmt(db, "SELECT id FROM message WHERE id > $1 ORDER BY id LIMIT $2", e);
    *n_out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)after);
    db_bind_i64(s, 2, limit);
    while (*n_out < limit && (ok = db_step(s, &row, e)) && row)
        out[(*n_out)++] = (uint64_t)db_i64(s, 0);
    db_reset(s);
    return ok;
}

/* ---- what waits */

bool webhook_wait_put(struct db *db, uint64_t id, const struct webhook_wait *w, int64_t was_due,
                      struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO webhook_wait (webhook_id, event, attempts, due)"
                             " SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM webhook WHERE"
                             " id = $1) ON CONFLICT (webhook_id, event) DO UPDATE SET"
                             " attempts = $3, due = $4 WHERE webhook_wait.due = $5",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_cstr(s, 2, w->event);
    db_bind_i64(s, 3, w->attempts);
    db_bind_i64(s, 4, w->due);
    db_bind_i64(s, 5, was_due);
    return db_run(s, e);
}

bool webhook_wait_ask(struct db *db, uint64_t id, const char *event, int64_t now_ms, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO webhook_wait (webhook_id, event, attempts, due)"
                             " VALUES ($1, $2, 0, $3) ON CONFLICT (webhook_id, event) DO UPDATE"
                             " SET attempts = 0, due = $3",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_cstr(s, 2, event);
    db_bind_i64(s, 3, now_ms);
    return db_run(s, e);
}

bool webhook_wait_remove(struct db *db, uint64_t id, const char *event, int64_t was_due,
                         struct err *e)
{
    struct stmt *s = db_stmt(
        db, "DELETE FROM webhook_wait WHERE webhook_id = $1 AND event = $2 AND due = $3", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_cstr(s, 2, event);
    db_bind_i64(s, 3, was_due);
    return db_run(s, e);
}

bool webhook_wait_first(struct db *db, uint64_t id, uint32_t limit, struct webhook_wait *out,
                        uint32_t *n_out, struct err *e)
{
    bool row = false, ok = true;
    struct stmt *s = db_stmt(db,
                             "SELECT event, attempts, due FROM webhook_wait WHERE webhook_id = $1"
                             " ORDER BY due LIMIT $2",
                             e);
    *n_out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, limit);
    while (*n_out < limit && (ok = db_step(s, &row, e)) && row) {
        struct webhook_wait *w = &out[(*n_out)++];
        (void)str_copy(db_text(s, 0), w->event, sizeof w->event);
        w->attempts = (uint32_t)db_i64(s, 1);
        w->due = db_i64(s, 2);
    }
    db_reset(s);
    return ok;
}

bool webhook_wait_count(struct db *db, uint64_t id, uint32_t *out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT count(*) FROM webhook_wait WHERE webhook_id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    *out = (uint32_t)db_i64(s, 0);
    db_reset(s);
    return true;
}

bool webhook_wait_hurry(struct db *db, uint64_t id, int64_t now_ms, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "UPDATE webhook_wait SET due = $2 WHERE webhook_id = $1 AND due > $2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, now_ms);
    return db_run(s, e);
}

bool webhook_wait_restart(struct db *db, uint64_t id, int64_t now_ms, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "UPDATE webhook_wait SET due = $2, attempts = 0 WHERE webhook_id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, now_ms);
    return db_run(s, e);
}

bool webhook_wait_range(struct db *db, uint64_t id, int64_t since, int64_t until, bool failed_only,
                        int64_t now_ms, uint64_t *n_out, struct err *e)
{
    struct stmt *s = db_stmt(
        db,
        "INSERT INTO webhook_wait (webhook_id, event, attempts, due) SELECT $1, l.event, 0, $4"
        " FROM (SELECT event, MAX(id) AS last FROM webhook_log WHERE webhook_id = $1 AND at >= $2"
        " AND at <= $3 AND type <> 'webhook.test' GROUP BY event ORDER BY last DESC LIMIT $6) l"
        " WHERE $5 = 0 OR NOT EXISTS (SELECT 1 FROM webhook_log d WHERE d.webhook_id = $1 AND"
        " d.event = l.event AND d.detail = '')"
        " ON CONFLICT (webhook_id, event) DO UPDATE SET due = $4",
        e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, since);
    db_bind_i64(s, 3, until);
    db_bind_i64(s, 4, now_ms);
    db_bind_i64(s, 5, failed_only);
    db_bind_i64(s, 6, WEBHOOK_RESEND_MAX);
    if (!db_run(s, e))
        return false;
    *n_out = (uint64_t)db_changes(db);
    return true;
}

/* ---- the log */

bool webhook_log_add(struct db *db, const struct webhook_delivery *d, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO webhook_log (id, webhook_id, event, type, at, attempt,"
                             " status, ms, detail, reply, next_at) SELECT (SELECT COALESCE(MAX(id),"
                             " 0) + 1 FROM webhook_log), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10"
                             " WHERE EXISTS (SELECT 1 FROM webhook WHERE id = $1)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)d->webhook_id);
    db_bind_cstr(s, 2, d->event);
    db_bind_cstr(s, 3, d->type);
    db_bind_i64(s, 4, d->at);
    db_bind_i64(s, 5, d->attempt);
    db_bind_i64(s, 6, d->status);
    db_bind_i64(s, 7, d->ms);
    db_bind_cstr(s, 8, d->detail);
    if (d->reply.n)
        db_bind_text(s, 9, d->reply);
    db_bind_i64(s, 10, d->next_at);
    return db_run(s, e);
}

bool webhook_log_trim(struct db *db, uint64_t id, uint32_t limit, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "DELETE FROM webhook_log WHERE id IN (SELECT id FROM webhook_log WHERE"
                             " webhook_id = $1 AND id <= (SELECT id FROM webhook_log WHERE"
                             " webhook_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)"
                             " ORDER BY id LIMIT $3)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, WEBHOOK_LOG_MAX);
    db_bind_i64(s, 3, limit);
    return db_run(s, e);
}
