/* What the thread of webhooks wants written: collected there, written by the ledger in the
 * transactions of the results, so that it costs no sync of its own. Work may run again after a
 * rollback: it only reads the batch. */
#include "engine/hooks_inner.h"

#include "base/alloc.h"
#include "base/log.h"
#include "engine/state.h"
#include "store/events.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_BYTES (32u << 20)
#define TRIM_LOG    100 /* rows a batch */
#define TRIM_ROWS   40

struct hooks_batch *hooks_batch_new(struct hooks *h)
{
    struct hooks_batch *b = alloc_one(struct hooks_batch);
    b->hooks = h;
    b->arena = arena_new(BATCH_BYTES);
    return b;
}

void hooks_batch_free(struct hooks_batch **bp)
{
    struct hooks_batch *b = *bp;
    *bp = NULL;
    if (!b)
        return;
    arena_free(&b->arena);
    free(b->ops);
    free(b);
}

struct hooks_op *hooks_batch_add(struct hooks_batch *b, enum hooks_op_kind kind,
                                 uint64_t webhook_id)
{
    if (b->n == b->cap) {
        b->cap = MAX(b->cap * 2, (size_t)16);
        b->ops = alloc_resize(b->ops, b->cap * sizeof *b->ops);
    }
    struct hooks_op *op = &b->ops[b->n++];
    *op = (struct hooks_op){.kind = kind, .webhook_id = webhook_id};
    b->disables |= kind == OP_DISABLE;
    return op;
}

const char *hooks_batch_text(struct hooks_batch *b, struct str s)
{
    char *p = arena_alloc(b->arena, s.n + 1);
    if (!p)
        return "";
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

/* ---- on the ledger thread */

static bool disable(struct hooks_batch *b, const struct hooks_op *op, struct db *db, struct err *e)
{
    bool changed = false;
    const char *why = op->log.detail;
    if (!webhooks_disable(db, op->webhook_id, why, b->wall_ms, &changed, e))
        return false;
    struct event ev = {.at = b->wall_ms,
                       .kind = STR("webhook.disabled"),
                       .subject = str_of(op->name),
                       .reason = str_of(why)};
    if (changed)
        ev.id = ids_next(&b->hooks->core->ids, b->wall_ms);
    return !changed || events_append(db, &ev, e);
}

static bool write_op(struct hooks_batch *b, const struct hooks_op *op, struct db *db, struct err *e)
{
    switch (op->kind) {
    case OP_PLACE:
        return webhook_place_put(db, &op->place, e) &&
               webhook_log_trim(db, op->webhook_id, TRIM_LOG, e);
    case OP_WAIT: return webhook_wait_put(db, op->webhook_id, &op->wait, op->was_due, e);
    case OP_WAIT_OVER:
        return webhook_wait_remove(db, op->webhook_id, op->wait.event, op->was_due, e);
    case OP_LOG: return webhook_log_add(db, &op->log, e);
    case OP_DISABLE: return disable(b, op, db, e);
    case OP_HURRY: return webhook_wait_hurry(db, op->webhook_id, b->wall_ms, e);
    }
    return true;
}

static bool trim(struct db *db, struct err *e)
{
    int64_t through = 0;
    return webhook_places_through(db, &through, e) && outcome_log_trim(db, through, TRIM_ROWS, e);
}

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct hooks_batch *b = container_of(lj, struct hooks_batch, lj);
    for (size_t i = 0; i < b->n; i++)
        if (!write_op(b, &b->ops[i], db, e))
            return false;
    return trim(db, e);
}

/* ---- on the reactor */

static void done(struct ledger_job *lj)
{
    struct hooks_batch *b = container_of(lj, struct hooks_batch, lj);
    struct hooks *h = b->hooks;
    if (b->is_lost || !h->is_running) {
        hooks_batch_free(&b);
        return;
    }
    if (b->disables) {
        log_event(LOG_WARNING, "webhook.disabled", "a webhook was disabled: `webhook list`");
        hooks_reload(h->core);
    }
    struct hooks_note *note = alloc_one(struct hooks_note);
    note->kind = NOTE_WRITTEN;
    note->batch = b;
    hooks_tell(h, note);
}

void hooks_batch_post(struct hooks_batch *b)
{
    b->wall_ms = clock_wall_ms();
    b->lj = (struct ledger_job){
        .order = LEDGER_RESULT, .rows = (uint32_t)b->n, .work = work, .done = done};
    ledger_post(b->hooks->core->ledger, &b->lj);
}
