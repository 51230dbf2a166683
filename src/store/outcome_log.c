/* See outcome_log.h. */
#include "store/outcome_log.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "store/outbox.h"
#include "store/results.h"

#include <stdlib.h>

#define ROW_BYTES (OUTCOME_LOG_MAX * 11)

struct outcome_log {
    unsigned wanted;
    int64_t at; /* wall ms of the last note */
    uint64_t *ids, *marks;
    size_t n, cap;
};

struct outcome_log *outcome_log_new(void)
{
    return alloc_one(struct outcome_log);
}

void outcome_log_free(struct outcome_log **lp)
{
    struct outcome_log *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    free(l->ids);
    free(l->marks);
    free(l);
}

void outcome_log_want(struct outcome_log *l, unsigned wanted)
{
    l->wanted = wanted;
}

void outcome_log_drop(struct outcome_log *l)
{
    l->n = 0;
}

static void add(struct outcome_log *l, enum hook_event v, uint64_t message_id, uint32_t number)
{
    if (!(l->wanted >> v & 1))
        return;
    if (l->n == l->cap) {
        l->cap = MAX(l->cap * 2, (size_t)64);
        l->ids = alloc_resize(l->ids, l->cap * sizeof *l->ids);
        l->marks = alloc_resize(l->marks, l->cap * sizeof *l->marks);
    }
    l->ids[l->n] = message_id;
    l->marks[l->n++] = (uint64_t)number << 4 | (uint64_t)v;
}

static void note_end(struct outcome_log *l, const struct attempt *a)
{
    static const struct {
        enum message_state state;
        enum hook_event event;
    } ends[] = {{MESSAGE_SENT, HOOK_SENT},
                {MESSAGE_UNCERTAIN, HOOK_UNCERTAIN},
                {MESSAGE_BOUNCED, HOOK_BOUNCED},
                {MESSAGE_FAILED, HOOK_FAILED},
                {MESSAGE_SUPPRESSED, HOOK_SUPPRESSED},
                {MESSAGE_CANCELLED, HOOK_CANCELLED},
                {MESSAGE_EXPIRED, HOOK_EXPIRED}};
    for (size_t i = 0; i < countof(ends); i++)
        if (ends[i].state == a->state)
            add(l, ends[i].event, a->message_id, a->n);
}

void outcome_log_note(struct outcome_log *l, const struct outcome *o, bool is_new_suppression,
                      int64_t wall_ms)
{
    if (!l->wanted)
        return;
    l->at = wall_ms;
    if (o->kind == OUTCOME_END)
        note_end(l, &o->a);
    else if (o->kind == OUTCOME_LATER && (o->has_attempt || o->round_over))
        add(l, HOOK_DEFERRED, o->a.message_id, o->tries);
    if (is_new_suppression)
        add(l, HOOK_SUPPRESSION, o->a.message_id, o->a.n);
}

/* ---- writing */

static bool insert(struct outcome_log *l, size_t from, uint32_t n, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO outcome_log (seq, at, n, ids, marks) VALUES ((SELECT"
                             " COALESCE(MAX(seq), 0) + 1 FROM outcome_log), $1, $2, $3, $4)",
                             e);
    struct buf ids, marks;
    if (!s)
        return false;
    buf_init(&ids, ROW_BYTES);
    buf_init(&marks, ROW_BYTES);
    (void)outbox_ids_pack(l->ids + from, n, &ids);
    (void)outbox_ids_pack(l->marks + from, n, &marks);
    db_bind_i64(s, 1, l->at);
    db_bind_i64(s, 2, n);
    db_bind_blob(s, 3, buf_str(&ids));
    db_bind_blob(s, 4, buf_str(&marks));
    bool ok = db_run(s, e);
    buf_free(&ids);
    buf_free(&marks);
    return ok;
}

bool outcome_log_flush(struct outcome_log *l, struct db *db, struct err *e)
{
    bool ok = true;
    for (size_t from = 0; ok && from < l->n; from += OUTCOME_LOG_MAX)
        ok = insert(l, from, (uint32_t)MIN(l->n - from, (size_t)OUTCOME_LOG_MAX), db, e);
    outcome_log_drop(l);
    return ok;
}

bool outcome_log_append(struct db *db, enum hook_event v, uint64_t message_id, uint32_t number,
                        int64_t wall_ms, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT 1 FROM webhook LIMIT 1", e);
    if (!s || !db_step(s, &row, e))
        return false;
    db_reset(s);
    if (!row)
        return true;
    struct outcome_log *l = outcome_log_new();
    outcome_log_want(l, ~0u);
    l->at = wall_ms;
    add(l, v, message_id, number);
    bool ok = outcome_log_flush(l, db, e);
    outcome_log_free(&l);
    return ok;
}

/* ---- reading */

bool outcome_log_read(struct db *db, int64_t after, struct outcome_log_row *out, bool *found_out,
                      struct err *e)
{
    struct stmt *s = db_stmt(
        db, "SELECT seq, at, ids, marks FROM outcome_log WHERE seq > $1 ORDER BY seq LIMIT 1", e);
    *found_out = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, after);
    if (!db_step(s, found_out, e))
        return false;
    if (!*found_out)
        return true;
    out->seq = db_i64(s, 0);
    out->at = db_i64(s, 1);
    out->n = outbox_ids_unpack(db_blob(s, 2), out->ids, OUTCOME_LOG_MAX);
    uint32_t marks = outbox_ids_unpack(db_blob(s, 3), out->marks, OUTCOME_LOG_MAX);
    db_reset(s);
    return marks == out->n ||
           err_set(e, ERR_CORRUPT, "outcome_log: row %lld cannot be read", (long long)out->seq);
}

bool outcome_log_last(struct db *db, int64_t *seq_out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT COALESCE(MAX(seq), 0) FROM outcome_log", e);
    if (!s || !db_step(s, &row, e))
        return false;
    *seq_out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool outcome_log_trim(struct db *db, int64_t through, size_t limit, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "DELETE FROM outcome_log WHERE seq IN (SELECT seq FROM outcome_log"
                             " WHERE seq <= $1 ORDER BY seq LIMIT $2) AND seq < (SELECT MAX(seq)"
                             " FROM outcome_log)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, through);
    db_bind_i64(s, 2, (int64_t)MIN(limit, (size_t)INT32_MAX));
    return db_run(s, e);
}
